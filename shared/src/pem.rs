//! Reads certificates and keys from the PEM files that a configuration names. Every error names the configuration key.
//! Blocks.

use std::path::{Path, PathBuf};

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::file_fingerprint::FileFingerprint;
use crate::fs_error::FsError;
use crate::small_file::SmallFile;

/// Maximum size of a file in bytes: more than any chain, key or list of a lab's authority needs.
const MAX_BYTES: u64 = 16 << 20;

/// The reason why a PEM file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("`{key}`: {source}")]
    Read {
        /// The key that names the file.
        key: &'static str,
        /// The file and the reason.
        source: FsError,
    },
    /// The file does not hold the wanted content.
    #[error("`{key}`: `{}` holds no {wanted} in PEM form", path.display())]
    Content {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The wanted content.
        wanted: &'static str,
    },
}

/// An open file, so that its state and its bytes belong together.
#[derive(Debug)]
pub struct PemFile<'a> {
    key: &'static str,
    path: &'a Path,
    file: SmallFile,
}

impl<'a> PemFile<'a> {
    /// Opens the file that the configuration names under `key`.
    pub fn open(key: &'static str, path: &'a Path) -> Result<Self, PemError> {
        let file = SmallFile::open(path, MAX_BYTES).map_err(FsError::at("read", path));
        Ok(Self { key, path, file: file.map_err(|source| PemError::Read { key, source })? })
    }

    /// Returns the state of the file when it was opened.
    pub fn stamp(&self) -> FileFingerprint {
        self.file.stamp()
    }

    /// Returns all items of a kind. Returns an error, which calls the kind `wanted`, if there is none or one is
    /// invalid.
    pub fn all<T: PemObject>(&self, wanted: &'static str) -> Result<Vec<T>, PemError> {
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&self.bytes()?).collect();
        found.ok().filter(|found| !found.is_empty()).ok_or_else(|| self.holds_no(wanted))
    }

    /// Returns the first private key in the file.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?).map_err(|_| self.holds_no("private key"))
    }

    fn bytes(&self) -> Result<Vec<u8>, PemError> {
        let bytes = self.file.bytes().map_err(FsError::at("read", self.path));
        bytes.map_err(|source| PemError::Read { key: self.key, source })
    }

    /// Returns the error for a file without the wanted content.
    pub fn holds_no(&self, wanted: &'static str) -> PemError {
        PemError::Content { key: self.key, path: self.path.to_owned(), wanted }
    }
}
