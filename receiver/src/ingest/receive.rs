//! Receives the body of one upload and writes it to the disk.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::sync_scheduler::{STEP_BYTES, SyncScheduler};
use super::writer::{EpisodeWriter, Sealed};
use super::{DeclaredUpload, IngestError, Part};
use crate::store::spool::Spool;

/// The longest body, in bytes, that is gathered before it gets a thread. Waking a thread for each part of a small body
/// costs more than the copy.
const GATHER_UP_TO: usize = 128 * 1024;

/// The body of an upload, as the writer gets it.
#[derive(Debug)]
pub enum Body {
    /// The whole body.
    Gathered(Bytes),
    /// The parts, as they come.
    Streamed(mpsc::Receiver<Part>),
}

impl Body {
    /// Returns true if the whole body has been received.
    pub fn is_gathered(&self) -> bool {
        matches!(self, Self::Gathered(_))
    }

    /// Returns true if a body of this length is gathered.
    pub fn is_small(length: u64) -> bool {
        length <= GATHER_UP_TO as u64
    }

    /// Gathers a small body; leaves a large one as a stream of parts.
    ///
    /// Copies the parts into one buffer of the declared length. Kept as they come, parts of a few bytes each would hold
    /// many times that.
    pub async fn of(declared: &DeclaredUpload, mut parts: mpsc::Receiver<Part>) -> Result<Self, IngestError> {
        let length = match usize::try_from(declared.length) {
            Ok(length) if Self::is_small(declared.length) => length,
            _ => return Ok(Self::Streamed(parts)),
        };
        let mut gathered = BytesMut::with_capacity(length);
        loop {
            match parts.recv().await {
                Some(Part::Data(bytes)) if bytes.len() > length - gathered.len() => {
                    let received = (gathered.len() + bytes.len()) as u64;
                    return Err(IngestError::LengthMismatch { promised: declared.length, received });
                }
                Some(Part::Data(bytes)) => gathered.extend_from_slice(&bytes),
                Some(Part::Finish) => return Ok(Self::Gathered(gathered.freeze())),
                None => return Err(IngestError::Aborted { received: gathered.len() as u64 }),
            }
        }
    }
}

/// Writes a body to a temp file until it is complete, and checks its length and hash. Calls `reserved` once the disk
/// accounts for its bytes. After an error, or if the stream ends without `Finish`, the temp file is gone. Blocks.
pub fn receive(
    body: Body,
    declared: DeclaredUpload,
    spool: &Spool,
    scheduler: &SyncScheduler,
    reserved: impl FnOnce(),
) -> Result<Sealed, IngestError> {
    let mut writer = EpisodeWriter::begin(spool, declared)?;
    match body {
        // It is written at once, so it needs no reservation.
        Body::Gathered(bytes) => {
            writer.write(&bytes)?;
            reserved();
        }
        Body::Streamed(parts) => {
            writer.reserve()?;
            reserved();
            stream(parts, &mut writer, scheduler)?;
        }
    }
    writer.seal()
}

/// Writes the parts until `Finish`.
fn stream(
    mut parts: mpsc::Receiver<Part>,
    writer: &mut EpisodeWriter,
    scheduler: &SyncScheduler,
) -> Result<(), IngestError> {
    loop {
        match parts.blocking_recv() {
            Some(Part::Data(bytes)) => {
                writer.write(&bytes)?;
                writer.yield_to_short(scheduler, STEP_BYTES)?;
            }
            Some(Part::Finish) => return Ok(writer.yield_to_short(scheduler, 1)?),
            None => return Err(IngestError::Aborted { received: writer.received() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use cis490_shared::ids::{EpisodeId, HostId, Sha256Digest};

    use super::*;

    #[tokio::test]
    async fn a_small_body_that_comes_byte_by_byte_holds_its_declared_length_and_no_more() {
        let declared = DeclaredUpload {
            host_id: HostId::parse("h").unwrap(),
            episode_id: EpisodeId::parse("e").unwrap(),
            sha256: Sha256Digest::from_bytes([0; 32]),
            length: 1000,
            commit: None,
            amnesty: None,
        };
        let (sender, parts) = mpsc::channel(1);
        let sending = async move {
            for byte in 0..1000_u32 {
                // One byte that keeps a whole buffer of the socket alive.
                let part = Bytes::from(vec![byte.to_le_bytes()[0]; 4096]).slice(..1);
                sender.send(Part::Data(part)).await.unwrap();
            }
            sender.send(Part::Finish).await.unwrap();
        };
        let (body, ()) = futures_util::future::join(Body::of(&declared, parts), sending).await;
        let Body::Gathered(bytes) = body.unwrap() else { panic!("it is small") };
        let expected: Vec<u8> = (0..1000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        assert_eq!(bytes, expected);
        let buffer = bytes.try_into_mut().expect("nobody else holds it");
        assert!(buffer.capacity() < 2 * 1000, "{} bytes are held", buffer.capacity());
    }
}
