//! Decodes an archive completely and checks that it is an episode, and the one that its name and its row say.
//!
//! The gate judges the commit that a header names, before a byte of the archive has arrived. This module compares the
//! recorded commit with the judged one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use cis490_shared::archive::read::{ReadError, ReadLimits, read_meta};
use cis490_shared::archive::whole::{WholeError, WholeLimits, read_whole};
use cis490_shared::clock::thread_time;
use cis490_shared::excerpt::excerpt;
use cis490_shared::ids::{CommitHash, EpisodeId};
use cis490_shared::meta::EpisodeMeta;
use cis490_shared::regular;
use rustix::fs::CWD;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Runtime;

/// The expected contents of an archive's meta.json.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The episode, by its name.
    pub episode_id: &'a EpisodeId,
    /// The commit in its row; `None` if the row has none, and any commit is right.
    pub commit: Option<&'a CommitHash>,
}

/// A fault in an archive that has the right bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read to its end, or has no usable meta.json.
    NoEpisode(String),
    /// Its meta.json names another episode than its file name.
    OtherEpisode(EpisodeId),
    /// Its meta.json names another commit than its row. Holds an excerpt of that commit; `None` if it names none.
    OtherCommit(Option<String>),
}

/// A decoder of archives, for one thread.
pub struct Opener {
    runtime: Runtime,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// Creates an opener for one thread.
    pub fn new() -> io::Result<Self> {
        // The reader of meta.json is async, but here it only ever waits for the file.
        Ok(Self { runtime: tokio::runtime::Builder::new_current_thread().build()? })
    }

    /// Reads an archive up to its meta.json and checks that. Blocks.
    pub fn judge_meta(&self, path: &Path, expected: Expected<'_>) -> io::Result<Option<Fault>> {
        let file = Blocking(regular::open(CWD, path)?);
        match self.runtime.block_on(read_meta(file, &ReadLimits::default(), thread_time)) {
            Ok(text) => Ok(judge(&text, expected)),
            Err(ReadError::Source(error)) => Err(error),
            Err(error) => Ok(Some(Fault::NoEpisode(error.to_string()))),
        }
    }
}

/// Reads an archive to its end and returns the fault in its form, if any. Blocks.
pub fn judge_form(archive: impl Read) -> io::Result<Option<Fault>> {
    match read_whole(archive, &WholeLimits::default(), thread_time) {
        Ok(()) => Ok(None),
        Err(WholeError::Source(error)) => Err(error),
        Err(error) => Ok(Some(Fault::NoEpisode(error.to_string()))),
    }
}

/// Returns the fault in this meta.json, if any.
fn judge(text: &[u8], expected: Expected<'_>) -> Option<Fault> {
    let meta = match EpisodeMeta::parse(text) {
        Ok(meta) => meta,
        Err(error) => return Some(Fault::NoEpisode(error.to_string())),
    };
    if meta.episode_id != *expected.episode_id {
        return Some(Fault::OtherEpisode(meta.episode_id));
    }
    let judged = expected.commit?;
    match meta.commit() {
        Some(Ok(recorded)) if recorded == *judged => None,
        Some(_) => Some(Fault::OtherCommit(meta.commit_text().map(excerpt))),
        None => Some(Fault::OtherCommit(None)),
    }
}

/// A file for an async reader. It is always ready: it blocks instead, on a thread that does nothing else.
struct Blocking(File);

impl AsyncRead for Blocking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.0.read(into.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return Poll::Ready(read.map(|read| into.advance(read))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_compared_with_what_was_judged() {
        let (episode_id, commit) =
            (EpisodeId::parse("e1").unwrap(), CommitHash::parse(&"ab".repeat(20)).unwrap());
        let judged =
            |text: &str, commit| judge(text.as_bytes(), Expected { episode_id: &episode_id, commit });
        let meta = |commit: &str| format!(r#"{{"episode_id":"e1","code_version":{{"commit":"{commit}"}}}}"#);
        let (same, other) = (meta(&"AB".repeat(20)), meta(&"cd".repeat(20)));
        assert_eq!(judged(&same, Some(&commit)), None);
        assert_eq!(judged(&other, Some(&commit)), Some(Fault::OtherCommit(Some("cd".repeat(20)))));
        assert_eq!(
            judged(&meta("unknown"), Some(&commit)),
            Some(Fault::OtherCommit(Some("unknown".to_owned())))
        );
        assert_eq!(judged(r#"{"episode_id":"e1"}"#, Some(&commit)), Some(Fault::OtherCommit(None)));
        assert_eq!(judged(&other, None), None, "a row without a commit says nothing");
        let e2 = EpisodeId::parse("e2").unwrap();
        assert_eq!(judged(r#"{"episode_id":"e2"}"#, None), Some(Fault::OtherEpisode(e2)));
        assert!(matches!(judged("", None), Some(Fault::NoEpisode(_))));
        assert!(matches!(judged("{}", None), Some(Fault::NoEpisode(_))));
    }
}
