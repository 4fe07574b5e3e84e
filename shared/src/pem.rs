//! Certificates and keys in PEM files that a configuration names; every error names the key to look at. Blocks.

use std::path::{Path, PathBuf};

use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::file_fingerprint::FileFingerprint;
use crate::fs_error::FsError;
use crate::small_file::SmallFile;

/// More than any chain, key or list of a lab's authority needs, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("`{key}`: {source}")]
    Read {
        /// The key that names the file.
        key: &'static str,
        /// Which file, and the reason.
        source: FsError,
    },
    /// It is there, but what it should hold is not in it.
    #[error("`{key}`: `{}` holds no {wanted} in PEM form", path.display())]
    Content {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
}

/// A file that is open, so that its state and its bytes belong together.
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

    /// The state that it is in.
    pub fn stamp(&self) -> FileFingerprint {
        self.file.stamp()
    }

    /// Everything of a kind in it, of which there must be some; `wanted` is what the error calls it.
    pub fn all<T: PemObject>(&self, wanted: &'static str) -> Result<Vec<T>, PemError> {
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&self.bytes()?).collect();
        found.ok().filter(|found| !found.is_empty()).ok_or_else(|| self.holds_no(wanted))
    }

    /// The first private key in it.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?).map_err(|_| self.holds_no("private key"))
    }

    fn bytes(&self) -> Result<Vec<u8>, PemError> {
        let bytes = self.file.bytes().map_err(FsError::at("read", self.path));
        bytes.map_err(|source| PemError::Read { key: self.key, source })
    }

    /// The error for a file that holds something, and not what is wanted.
    pub fn holds_no(&self, wanted: &'static str) -> PemError {
        PemError::Content { key: self.key, path: self.path.to_owned(), wanted }
    }
}
