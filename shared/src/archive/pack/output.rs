//! Writes and hashes the compressor's output, on a separate thread if the archive is large.
//!
//! Compression is the slowest part of packing. With hashing and disk writes on another thread, it can use nearly all of
//! one core. A small archive is buffered and written at once, because starting a thread would cost more than it saves.
//! The bytes are the same either way.

use std::io::{self, Write};
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use super::Packed;
use crate::ids::Sha256Digest;

/// Size in bytes of a block for the thread: large enough that waking the thread is cheap compared with its work. An
/// archive smaller than this needs no thread.
const BLOCK_BYTES: usize = 256 * 1024;
/// Maximum number of blocks that wait for the thread.
const WAITING_BLOCKS: usize = 4;

/// The destination of an archive.
type Sink<'env> = &'env mut (dyn Write + Send);

/// Runs `pack` with a writer to `out`. If that needs a thread, the thread has ended on return.
pub(super) fn through<T>(
    out: &mut (dyn Write + Send),
    pack: impl for<'scope, 'env> FnOnce(Output<'scope, 'env>) -> T,
) -> T {
    thread::scope(|scope| pack(Output { filling: Vec::new(), way: Way::Direct { scope, out } }))
}

/// The writer for the compressor.
pub(super) struct Output<'scope, 'env> {
    filling: Vec<u8>,
    way: Way<'scope, 'env>,
}

enum Way<'scope, 'env> {
    /// Nothing has been written yet.
    Direct { scope: &'scope Scope<'scope, 'env>, out: Sink<'env> },
    /// A thread writes.
    Beside { blocks: SyncSender<Vec<u8>>, writer: ScopedJoinHandle<'scope, io::Result<Packed>> },
    /// The thread has ended early, and its error has been returned.
    Failed,
}

impl Output<'_, '_> {
    /// Writes the remaining bytes, and returns hash and length of the whole archive.
    pub(super) fn finish(self) -> io::Result<Packed> {
        match self.way {
            Way::Direct { out, .. } => {
                let mut written = Written::default();
                written.write(&self.filling, out)?;
                written.finish(out)
            }
            Way::Beside { blocks, writer } => {
                // If the thread has ended early, `join` returns its error.
                let _ = blocks.send(self.filling);
                drop(blocks);
                join(writer)
            }
            Way::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let block = mem::take(&mut self.filling);
        let (blocks, writer) = match mem::replace(&mut self.way, Way::Failed) {
            Way::Direct { scope, out } => {
                let (sender, blocks) = sync_channel(WAITING_BLOCKS);
                (sender, scope.spawn(move || write_all(&blocks, out)))
            }
            Way::Beside { blocks, writer } => (blocks, writer),
            Way::Failed => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        if blocks.send(block).is_err() {
            // The thread ends early only with an error.
            return Err(join(writer).err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()));
        }
        self.way = Way::Beside { blocks, writer };
        Ok(())
    }
}

impl Write for Output<'_, '_> {
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

/// Joins the thread and passes on its panic: the process ends, and the archive stays partial.
fn join(writer: ScopedJoinHandle<'_, io::Result<Packed>>) -> io::Result<Packed> {
    writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn write_all(blocks: &Receiver<Vec<u8>>, out: Sink<'_>) -> io::Result<Packed> {
    let mut written = Written::default();
    for block in blocks {
        written.write(&block, out)?;
    }
    written.finish(out)
}

/// Hash and length of the bytes written so far.
#[derive(Default)]
struct Written {
    hash: Sha256,
    size_bytes: u64,
}

impl Written {
    fn write(&mut self, block: &[u8], out: &mut dyn Write) -> io::Result<()> {
        out.write_all(block)?;
        self.hash.update(block);
        self.size_bytes += block.len() as u64;
        Ok(())
    }

    fn finish(self, out: &mut dyn Write) -> io::Result<Packed> {
        out.flush()?;
        let sha256 = Sha256Digest::from_bytes(self.hash.finalize().into());
        Ok(Packed { sha256, size_bytes: self.size_bytes })
    }
}
