//! The bearer token of this host, for receivers that ask for one. Blocks.

use std::path::{Path, PathBuf};

use awc::http::header::HeaderValue;
use cis490_shared::file_fingerprint::FileFingerprint;
use cis490_shared::fs_error::FsError;
use cis490_shared::small_file::SmallFile;

/// More than any token has, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error(
        "`receiver.token_file`: {0}; write into it what `cis490-receiver token add HOST` prints on the collector"
    )]
    Read(#[from] FsError),
    /// It holds something else. What it holds is not repeated.
    #[error("`receiver.token_file`: `{}` must hold one line, as `cis490-receiver token add HOST` printed it", .0.display())]
    Content(PathBuf),
}

/// A token's file, open.
#[derive(Debug)]
pub struct TokenFile<'a> {
    path: &'a Path,
    file: SmallFile,
}

impl<'a> TokenFile<'a> {
    /// Opens it.
    pub fn open(path: &'a Path) -> Result<Self, TokenError> {
        Ok(Self { path, file: SmallFile::open(path, MAX_BYTES).map_err(FsError::at("read", path))? })
    }

    /// The state that it is in.
    pub fn stamp(&self) -> FileFingerprint {
        self.file.stamp()
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self) -> Result<HeaderValue, TokenError> {
        let text = self.file.text().map_err(FsError::at("read", self.path))?;
        let token = text.trim();
        let is_one_word = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
        let value = is_one_word.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok()).flatten();
        let mut value = value.ok_or_else(|| TokenError::Content(self.path.to_owned()))?;
        // Kept out of every debugging output.
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_token_is_the_one_word_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            TokenFile::open(&path).unwrap().authorization()
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
        assert!(matches!(TokenFile::open(&path), Err(TokenError::Read(_))));
    }
}
