//! The bytes of one upload on their way to the disk.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::writer::{EpisodeWriter, Sealed};
use super::{Claim, IngestError, Part};
use crate::store::layout::Store;

/// A body up to this length, in bytes, is gathered before a thread is given to it: waking one for each part of a
/// small body costs more than all that is done with it. As many uploads as are admitted hold so much at most.
const GATHER_UP_TO: u64 = 128 * 1024;

/// The body of an upload, as its writer gets it.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Gathered(Vec<Bytes>),
    /// Part by part, while it comes.
    Streamed(mpsc::Receiver<Part>),
}

impl Body {
    /// Gathers a small body; a large one is left to come.
    pub async fn of(claim: &Claim, mut parts: mpsc::Receiver<Part>) -> Result<Self, IngestError> {
        if claim.length > GATHER_UP_TO {
            return Ok(Self::Streamed(parts));
        }
        let (mut gathered, mut received) = (Vec::new(), 0);
        loop {
            match parts.recv().await {
                Some(Part::Data(bytes)) => {
                    received += bytes.len() as u64;
                    if received > claim.length {
                        return Err(IngestError::LengthMismatch { promised: claim.length, received });
                    }
                    gathered.push(bytes);
                }
                Some(Part::Finish) => return Ok(Self::Gathered(gathered)),
                None => return Err(IngestError::Aborted { received }),
            }
        }
    }
}

/// Writes a body until it is complete and what was promised. `reserved` is called once the disk has its bytes on its
/// own account. After an error, and where a stream ends without `Finish`, nothing is left. Blocks.
pub fn receive(
    body: Body,
    claim: Claim,
    store: &Store,
    reserved: impl FnOnce(),
) -> Result<Sealed, IngestError> {
    let mut writer = EpisodeWriter::begin(store, claim)?;
    match body {
        // Written at once, it takes its room by that.
        Body::Gathered(parts) => {
            parts.iter().try_for_each(|bytes| writer.write(bytes))?;
            reserved();
        }
        Body::Streamed(parts) => {
            writer.reserve()?;
            reserved();
            stream(parts, &mut writer)?;
        }
    }
    writer.seal()
}

/// Writes what comes until it is said to be all.
fn stream(mut parts: mpsc::Receiver<Part>, writer: &mut EpisodeWriter) -> Result<(), IngestError> {
    loop {
        match parts.blocking_recv() {
            Some(Part::Data(bytes)) => writer.write(&bytes)?,
            Some(Part::Finish) => return Ok(()),
            None => return Err(IngestError::Aborted { received: writer.received() }),
        }
    }
}
