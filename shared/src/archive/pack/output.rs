//! The way of a packed archive out of the compressor: written and hashed by a thread of its own.
//!
//! Compression is what packing waits for; with the hash and the disk beside it, it takes nearly all of one core and
//! packing no longer than that. The bytes are the same as without.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sha2::{Digest, Sha256};

use super::{PackError, Packed};
use crate::ids::Sha256Digest;

/// How much goes to the thread at once, in bytes: enough that waking it is cheap beside what it does.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks that may wait for it.
const WAITING_BLOCKS: usize = 4;

/// Lets `pack` write while a thread takes what it writes to `out`. What the thread says comes first: where it failed,
/// `pack` only knows that nobody takes its bytes any more.
pub(super) fn on_a_thread(
    mut out: impl Write + Send,
    pack: impl FnOnce(Blocks) -> Result<(), PackError>,
) -> Result<Packed, PackError> {
    thread::scope(|scope| {
        let (sender, blocks) = sync_channel(WAITING_BLOCKS);
        let writer = scope.spawn(move || write_all(&blocks, &mut out));
        let packed = pack(Blocks { filling: Vec::new(), sender });
        // A panic there is one here: the process ends, and the archive stays a partial one.
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (packed, written) {
            (Err(PackError::Write(_)), Err(error)) => Err(PackError::Write(error)),
            (Err(error), _) => Err(error),
            (Ok(()), written) => written.map_err(PackError::Write),
        }
    })
}

fn write_all(blocks: &Receiver<Vec<u8>>, out: &mut impl Write) -> io::Result<Packed> {
    let (mut hash, mut size_bytes) = (Sha256::new(), 0);
    for block in blocks {
        out.write_all(&block)?;
        hash.update(&block);
        size_bytes += block.len() as u64;
    }
    out.flush()?;
    Ok(Packed { sha256: Sha256Digest::from_bytes(hash.finalize().into()), size_bytes })
}

/// The compressor's end.
pub(super) struct Blocks {
    filling: Vec<u8>,
    sender: SyncSender<Vec<u8>>,
}

impl Blocks {
    /// Sends what is left; the thread ends with it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.filling);
        self.sender.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filling.extend_from_slice(bytes);
        if self.filling.len() >= BLOCK_BYTES {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
