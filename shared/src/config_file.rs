//! Configuration files: TOML, strict, with errors that a person can act on.
//!
//! An unknown key is an error that names the line, the key and the nearest known key. A typo in a safety setting must
//! not silently select its default.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::fs_error::FsError;

/// The reason why a configuration cannot be used. Programs end with exit code 78 on any of them.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] FsError),
    /// An unknown key, usually misspelt.
    #[error("`{}`, line {line}: unknown key `{key}`, {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line of the key, counted from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// The nearest known key, or all known keys if none is similar.
        hint: String,
    },
    /// The text is not TOML, or a value has the wrong type.
    #[error("`{}`, line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
    /// A value has the right type but is not valid.
    #[error("`{}`: `{}` {}", path.display(), invalid.key, invalid.reason)]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key and the reason.
        invalid: InvalidValue,
    },
}

/// An invalid value: `key` with its section, and a reason that continues a sentence which begins with the key.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// The key, for example `version_gate.window`.
    pub key: &'static str,
    /// The reason, for example "is 0, at least 1 is needed".
    pub reason: String,
}

impl InvalidValue {
    /// Creates an error for a key.
    pub fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

/// A configuration that can check its own values.
pub trait Validate {
    /// Checks every value, and returns the first that is not valid.
    fn validate(&self) -> Result<(), InvalidValue>;
}

/// Reads, parses and validates the file at `path`. Blocks.
pub fn load<T: DeserializeOwned + Validate>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(FsError::at("read", path))?;
    parse(&text, path)
}

/// Returns the keys that the file at `path` gives a value, with their sections: `server.listen`. Blocks.
pub fn keys_in(path: &Path) -> Result<BTreeSet<String>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(FsError::at("read", path))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| explain(&error, &text, path))?;
    let mut keys = BTreeSet::new();
    collect_keys("", &table, &mut keys);
    Ok(keys)
}

fn collect_keys(section: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            toml::Value::Table(table) => collect_keys(&key, table, keys),
            _ => drop(keys.insert(key)),
        }
    }
}

/// Parses and validates a text; `path` is what errors call it.
pub fn parse<T: DeserializeOwned + Validate>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let config: T = toml::from_str(text).map_err(|error| explain(&error, text, path))?;
    match config.validate() {
        Ok(()) => Ok(config),
        Err(invalid) => Err(ConfigError::Invalid { path: path.to_owned(), invalid }),
    }
}

fn explain(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text[..start].matches('\n').count() + 1;
    let path = path.to_owned();
    // serde names the key and all known keys in backticks: "unknown field `x`, expected one of `a`, `b`".
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(key) if error.message().starts_with("unknown field") => {
            let known: Vec<&str> = quoted.collect();
            ConfigError::UnknownKey { path, line, key: key.to_owned(), hint: hint(key, &known) }
        }
        _ => {
            let wrong = wrong_value(error.message(), key_before(&text[..start]));
            let reason = wrong.unwrap_or_else(|| error.message().to_owned());
            ConfigError::Malformed { path, line, reason }
        }
    }
}

/// The key whose value begins where `text` ends.
fn key_before(text: &str) -> Option<&str> {
    let before = text.trim_end().strip_suffix('=')?.trim_end();
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = &before[before.trim_end_matches(is_of_key).len()..];
    (!key.is_empty()).then_some(key)
}

/// Translates serde's error about a wrong type ("invalid type: string "x", expected usize") into words of TOML.
fn wrong_value(message: &str, key: Option<&str>) -> Option<String> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", number)) => {
            format!("the number {}", number.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", value)) => value.trim_matches('`').to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ if found == "map" => "a table".to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected.trim_end() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list in `[` and `]`",
        other => other.strip_prefix("struct ").map_or(other, |_| "a table"),
    };
    let subject = key.map_or("a value".to_owned(), |key| format!("`{key}`"));
    Some(format!("{subject} is {found}, and must be {expected}"))
}

/// Below this similarity (0 to 1) a suggestion would confuse more than help.
const SIMILAR: f64 = 0.7;

fn hint(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::jaro_winkler(key, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((similarity, nearest)) if similarity > SIMILAR => format!("did you mean `{nearest}`?"),
        _ => format!("known here: `{}`", known.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        server: Server,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Server {
        listen: Vec<String>,
        #[serde(default)]
        max_upload_bytes: u64,
    }

    impl Validate for Sample {
        fn validate(&self) -> Result<(), InvalidValue> {
            match self.server.listen.is_empty() {
                true => Err(InvalidValue::new("server.listen", "is empty, name at least one address")),
                false => Ok(()),
            }
        }
    }

    fn error_of(text: &str) -> String {
        parse::<Sample>(text, Path::new("receiver.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        let sample: Sample =
            parse("[server]\nlisten = [\"x\"]\nmax_upload_bytes = 7\n", Path::new("x")).unwrap();
        assert_eq!(sample.server.max_upload_bytes, 7);
    }

    #[test]
    fn a_misspelt_key_names_its_line_and_the_nearest_known_key() {
        assert_eq!(
            error_of("[server]\nlisten = []\nmax_upload_byte = 1\n"),
            "`receiver.toml`, line 3: unknown key `max_upload_byte`, did you mean `max_upload_bytes`?"
        );
        assert_eq!(
            error_of("[server]\nlisten = []\ncolour = 1\n"),
            "`receiver.toml`, line 3: unknown key `colour`, known here: `listen`, `max_upload_bytes`"
        );
        assert_eq!(
            error_of("[servr]\nlisten = []\n"),
            "`receiver.toml`, line 1: unknown key `servr`, did you mean `server`?"
        );
    }

    #[test]
    fn other_mistakes_name_their_line_or_their_key() {
        for (text, told) in [
            ("listen = 5", "`listen` is the number 5, and must be a list in `[` and `]`"),
            ("listen = [5]", "a value is the number 5, and must be a text in quotes"),
            (
                "max_upload_bytes = \"8, expected\"",
                "`max_upload_bytes` is the text \"8, expected\", and must be a whole number from 0 on",
            ),
            (
                "max_upload_bytes = -1",
                "`max_upload_bytes` is the number -1, and must be a whole number from 0 on",
            ),
            (
                "max_upload_bytes = 0.5",
                "`max_upload_bytes` is the number 0.5, and must be a whole number from 0 on",
            ),
            ("max_upload_bytes = true", "`max_upload_bytes` is true, and must be a whole number from 0 on"),
        ] {
            let error = error_of(&format!("[server]\n{text}\n"));
            assert_eq!(error, format!("`receiver.toml`, line 2: {told}"));
        }
        assert_eq!(
            error_of("server = 5\n"),
            "`receiver.toml`, line 1: `server` is the number 5, and must be a table"
        );
        assert!(error_of("[server\n").starts_with("`receiver.toml`, line 1: "));
        assert_eq!(
            error_of("[server]\nlisten = []\n"),
            "`receiver.toml`: `server.listen` is empty, name at least one address"
        );
    }

    #[test]
    fn the_keys_that_a_file_says_are_known_from_their_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, "a = 1\n[server]\nlisten = []\ntls = { cert_file = \"x\" }\n").unwrap();
        let keys: Vec<_> = keys_in(&path).unwrap().into_iter().collect();
        assert_eq!(keys, ["a", "server.listen", "server.tls.cert_file"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>(Path::new("/nonexistent/receiver.toml")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read `/nonexistent/receiver.toml`: "), "{error}");
    }
}
