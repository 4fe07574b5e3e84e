//! Temp file and hash of one upload. Every function here blocks.

use std::io::{self, Write};

use bytes::Bytes;
use cis490_shared::durable::Temp;

use super::hasher::Hasher;
use super::sync_scheduler::SyncScheduler;
use super::{DeclaredUpload, IngestError};
use crate::store::spool::Spool;

/// An upload that is being written. Dropping it removes the temp file.
#[derive(Debug)]
pub struct EpisodeWriter {
    declared: DeclaredUpload,
    temp: Temp,
    hasher: Hasher,
    received: u64,
    /// The number of bytes after which a step was last considered.
    stepped: u64,
}

/// Bytes that match the declaration, still under a temporary name.
#[derive(Debug)]
pub struct Sealed {
    /// The declaration that the bytes match.
    pub declared: DeclaredUpload,
    /// The file, not yet synced.
    pub temp: Temp,
}

impl EpisodeWriter {
    /// Creates the temp file.
    pub fn begin(spool: &Spool, declared: DeclaredUpload) -> io::Result<Self> {
        let temp = spool.begin()?;
        let hasher = Hasher::begin(declared.length)?;
        Ok(Self { declared, temp, hasher, received: 0, stepped: 0 })
    }

    /// Reserves the declared length, so that a full disk shows before the body has come.
    pub fn reserve(&self) -> io::Result<()> {
        self.temp.reserve(self.declared.length)
    }

    /// Hashes and writes the next bytes. Refuses bytes beyond the declared length and writes none of them.
    pub fn write(&mut self, bytes: &Bytes) -> Result<(), IngestError> {
        let received = self.received + bytes.len() as u64;
        if received > self.declared.length {
            return Err(IngestError::LengthMismatch { promised: self.declared.length, received });
        }
        self.hasher.update(bytes)?;
        self.temp.write_all(bytes)?;
        self.received = received;
        Ok(())
    }

    /// Syncs the bytes written since the last step if short uploads would otherwise wait for them.
    /// Does nothing if these are fewer than `least` bytes.
    pub fn yield_to_short(&mut self, scheduler: &SyncScheduler, least: u64) -> io::Result<()> {
        if self.received - self.stepped < least {
            return Ok(());
        }
        self.stepped = self.received;
        if scheduler.is_wanted() { scheduler.step(|| self.temp.sync_so_far()) } else { Ok(()) }
    }

    /// Returns the number of bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Ends the upload if its length and hash are as declared.
    pub fn seal(self) -> Result<Sealed, IngestError> {
        let promised = &self.declared;
        if self.received != promised.length {
            return Err(IngestError::LengthMismatch { promised: promised.length, received: self.received });
        }
        let received = self.hasher.finish()?;
        if received != promised.sha256 {
            return Err(IngestError::DigestMismatch { promised: promised.sha256, received });
        }
        Ok(Sealed { declared: self.declared, temp: self.temp })
    }
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};
    use sha2::{Digest, Sha256};

    use super::*;

    fn sha256_of(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest::from_bytes(Sha256::digest(bytes).into())
    }

    fn declared(promised: &[u8]) -> DeclaredUpload {
        DeclaredUpload {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse("e").unwrap(),
            sha256: sha256_of(promised),
            length: promised.len() as u64,
            commit: None,
            amnesty: None,
        }
    }

    /// Uploads `body` where `promised` was declared; returns the result and the number of files left in `.incoming`.
    fn upload(promised: &[u8], body: &'static [u8]) -> (Result<(), IngestError>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let mut writer = EpisodeWriter::begin(&spool, declared(promised)).unwrap();
        let sealed = match writer.write(&Bytes::from_static(body)) {
            Ok(()) => writer.seal().map(drop),
            Err(error) => {
                drop(writer);
                Err(error)
            }
        };
        (sealed, std::fs::read_dir(spool.dir()).unwrap().count())
    }

    #[test]
    fn only_what_was_promised_is_sealed_and_nothing_else_is_left() {
        assert!(matches!(upload(b"abc", b"abc"), (Ok(()), 0)));
        assert!(matches!(upload(b"abc", b"abd"), (Err(IngestError::DigestMismatch { .. }), 0)));
        let short = upload(b"abc", b"ab").0.unwrap_err();
        assert!(matches!(short, IngestError::LengthMismatch { promised: 3, received: 2 }));
        let long = upload(b"abc", b"abcd").0.unwrap_err();
        assert!(matches!(long, IngestError::LengthMismatch { promised: 3, received: 4 }));
    }
    #[test]
    fn bytes_beyond_the_declared_length_are_refused_when_they_come_and_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let mut writer = EpisodeWriter::begin(&spool, declared(b"abc")).unwrap();
        writer.write(&Bytes::from_static(b"ab")).unwrap();
        writer.write(&Bytes::from_static(b"cd")).unwrap_err();
        assert_eq!((writer.received(), std::fs::metadata(writer.temp.path()).unwrap().len()), (2, 2));
    }
}
