//! The bearer token of this host, for receivers that ask for one. Blocks.
//!
//! Read once, at the start, like certificates and keys.

use std::path::{Path, PathBuf};
use std::{fs, io};

use awc::http::header::HeaderValue;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("`receiver.token_file`: cannot read `{}`: {source}; write into it what `cis490-receiver token add HOST` prints on the collector", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It holds something else. What it holds is not repeated.
    #[error("`receiver.token_file`: `{}` must hold one line, as `cis490-receiver token add HOST` printed it", .0.display())]
    Content(PathBuf),
}

/// The value of the `Authorization` header.
pub fn authorization(path: &Path) -> Result<HeaderValue, TokenError> {
    let text =
        fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    let token = text.trim();
    let is_one_word = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    let value = is_one_word.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
    let mut value = value.ok_or_else(|| TokenError::Content(path.to_owned()))?;
    // Kept out of every debugging output.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_one_word_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            authorization(&path)
        };
        assert_eq!(of("cis490-ab\n").unwrap().to_str().unwrap(), "Bearer cis490-ab");
        assert!(!format!("{:?}", of("cis490-ab").unwrap()).contains("cis490-ab"));
        for wrong in ["", "\n", "one two", "secret\nsecret", "s\u{e9}cret"] {
            let error = of(wrong).unwrap_err();
            assert!(
                matches!(error, TokenError::Content(_)) && !error.to_string().contains("secret"),
                "{error}"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(authorization(&path), Err(TokenError::Read { .. })));
    }
}
