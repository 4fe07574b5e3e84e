//! Parses JSON objects into structs. Serde alone also accepts an array for a struct, by the order of its fields. It
//! does not check the UTF-8 of a value that it skips. Every other reader of our formats would reject both.

use serde::Deserialize;
use serde::de::{Error, IgnoredAny};

/// Parses a text that must be an object, and valid UTF-8 even in the values that are skipped.
pub fn object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, serde_json::Error> {
    let text = str::from_utf8(text).map_err(serde_json::Error::custom)?;
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{') | None => serde_json::from_str(text),
        // A text that is not JSON at all gets the parser's error.
        Some(_) => {
            serde_json::from_str::<IgnoredAny>(text).and(Err(serde_json::Error::custom("it is no object")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Pair {
        #[serde(rename = "a")]
        first: u8,
        #[serde(rename = "b")]
        second: u8,
    }

    #[test]
    fn an_object_is_read_and_an_array_is_not() {
        let pair: Pair = object(b" \n{\"a\": 1, \"b\": 2}").unwrap();
        assert_eq!((pair.first, pair.second), (1, 2));
        for (text, reason) in [
            (&b"[1, 2]"[..], "it is no object"),
            (b"1", "it is no object"),
            (b"[1,", "EOF"),
            (b"x", "expected value"),
            (b"", "EOF"),
            (b"{\"a\": 1, \"b\": 2, \"c\": \"\xff\"}", "invalid utf-8"),
        ] {
            let error = object::<Pair>(text).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
