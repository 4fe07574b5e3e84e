//! `status.json` on disk: written by the daemon, missing, or damaged. Blocks.
//!
//! The file is never synced, so a crash may cut it short. Losing it loses nothing else.

use std::fs;
use std::io;
use std::path::Path;

use cis490_shared::excerpt::excerpt;

use crate::report::status::{Status, Success};

/// The state of `status.json`.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// No file.
    Nothing,
    /// A status.
    Status(Box<Status>),
    /// A text that is no status, with the reason.
    Damaged(String),
}

impl Written {
    /// Reads the file.
    pub fn read(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &[u8]) -> Self {
        if text.trim_ascii().is_empty() {
            return Self::Damaged("it is empty".to_owned());
        }
        match serde_json::from_slice(text) {
            Ok(status) => Self::Status(Box::new(status)),
            Err(error) => Self::Damaged(excerpt(&error.to_string())),
        }
    }

    /// Returns the reason if the file is damaged.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Damaged(reason) => Some(reason),
            Self::Nothing | Self::Status(_) => None,
        }
    }

    /// Returns the status, if there is one.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Status(status) => Some(*status),
            Self::Nothing | Self::Damaged(_) => None,
        }
    }
}

/// Returns the last success of an earlier run. An unreadable file does not prevent the start.
pub fn last_success(path: &Path) -> Option<Success> {
    Written::read(path).ok()?.status()?.last_success
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_from_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        assert_eq!(Written::read(&path).unwrap(), Written::Nothing);
        for (text, reason) in
            [("", "it is empty"), ("\n", "it is empty"), ("{\"pid\": 1", "EOF"), ("[]x", "")]
        {
            fs::write(&path, text).unwrap();
            let Written::Damaged(told) = Written::read(&path).unwrap() else { panic!("{text}") };
            assert!(told.contains(reason), "{told}");
            assert_eq!(last_success(&path), None);
        }
        fs::write(&path, r#"{"last_success": {"episode_id": "e1"}}"#).unwrap();
        assert_eq!(last_success(&path).unwrap().episode_id, "e1");
    }
}
