//! File system errors with the operation, the path and the system's reason.
//!
//! For errors that a person reads unchanged. The caller adds what to do about them.

use std::io;
use std::path::{Path, PathBuf};

/// A failed operation on a file or directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} `{}`: {source}", path.display())]
pub struct FsError {
    /// The operation, as a verb.
    pub verb: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl FsError {
    /// Wraps the system's error; for use in `map_err`.
    pub fn at(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { verb, path: path.to_owned(), source }
    }

    /// Returns the kind of the system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Returns a copy of the error, for another caller that it concerns.
    #[must_use]
    pub fn again(&self) -> Self {
        let source =
            self.source.raw_os_error().map_or_else(|| self.kind().into(), io::Error::from_raw_os_error);
        Self { verb: self.verb, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_was_tried_and_on_what_also_the_second_time() {
        let failed =
            std::fs::read("/nonexistent/x").map_err(FsError::at("read", Path::new("/nonexistent/x")));
        let error = failed.unwrap_err();
        let told = "cannot read `/nonexistent/x`: No such file or directory (os error 2)";
        assert_eq!((error.to_string().as_str(), error.kind()), (told, io::ErrorKind::NotFound));
        assert_eq!(error.again().to_string(), told);
    }
}
