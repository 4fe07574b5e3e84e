//! The way of a body into its file: read, written, hashed, synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use cis490_shared::durable;
use cis490_shared::ids::Sha256Digest;
use rustix::fs::Advice;
use sha2::{Digest, Sha256};

use super::request::{BUFFER_BYTES, Head, Incoming};
use super::{Flags, WriteBack};

/// Bodies longer than this are hashed by a second thread. Below it, starting the thread costs more than it saves.
const PIPELINE_FROM: usize = 4 * 1024 * 1024;
/// Buffers between the receiving thread and the hashing one.
const BUFFERS: usize = 8;
/// Bytes after which the kernel is asked to begin writing, so that the sync at the end has little left to do.
const EARLY_BYTES: usize = 8 * 1024 * 1024;

/// A synced file under a temporary name, and the hash of its contents.
pub(crate) struct Archived {
    pub(crate) partial: PathBuf,
    pub(crate) sha256: String,
}

/// Reads the body of `request` from the socket into a synced file.
pub(crate) fn receive(
    stream: &mut TcpStream,
    incoming: &mut Incoming,
    request: &Head,
    dir: &Path,
    flags: &Flags,
) -> io::Result<Archived> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let partial = dir.join(format!(".{}.partial", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let open = || OpenOptions::new().write(true).create_new(true).open(&partial);
    let file = open().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            durable::create_dir(dir, 0o750)?;
            open()
        }
        _ => Err(error),
    })?;
    let mut writer = Writer { file, written: 0, handed_over: 0, write_back: flags.write_back };
    let hasher = match request.length > PIPELINE_FROM && !flags.no_pipeline {
        true => on_two_threads(stream, incoming, request.length, &mut writer)?,
        false => on_one_thread(stream, incoming, request.length, &mut writer)?,
    };
    durable::sync_data(&writer.file)?;
    Ok(Archived { partial, sha256: Sha256Digest::from_bytes(hasher.finalize().into()).to_string() })
}

fn on_one_thread(
    stream: &mut TcpStream,
    incoming: &mut Incoming,
    length: usize,
    writer: &mut Writer,
) -> io::Result<Sha256> {
    let mut hasher = Sha256::new();
    let early = &incoming.buffer[incoming.early.clone()];
    hasher.update(early);
    writer.write(early)?;
    while writer.written < length {
        let room = incoming.buffer.len().min(length - writer.written);
        let read = stream.read(&mut incoming.buffer[..room])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        writer.write(&incoming.buffer[..read])?;
        hasher.update(&incoming.buffer[..read]);
    }
    Ok(hasher)
}

fn on_two_threads(
    stream: &mut TcpStream,
    incoming: &Incoming,
    length: usize,
    writer: &mut Writer,
) -> io::Result<Sha256> {
    let early = &incoming.buffer[incoming.early.clone()];
    let (to_hash, hashing) = mpsc::sync_channel::<Vec<u8>>(BUFFERS);
    let (back, free) = mpsc::sync_channel::<Vec<u8>>(BUFFERS);
    thread::scope(|scope| {
        let hasher = scope.spawn(move || {
            let mut hasher = Sha256::new_with_prefix(early);
            for buffer in hashing {
                hasher.update(&buffer);
                // The other side may have ended with an error.
                let _ = back.send(buffer);
            }
            hasher
        });
        writer.write(early)?;
        let mut made = 0;
        while writer.written < length {
            let mut buffer = match made < BUFFERS {
                true => Vec::new(),
                false => free.recv().map_err(|_| io::ErrorKind::BrokenPipe)?,
            };
            made += 1;
            buffer.resize(BUFFER_BYTES.min(length - writer.written), 0);
            stream.read_exact(&mut buffer)?;
            writer.write(&buffer)?;
            to_hash.send(buffer).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        drop(to_hash);
        hasher.join().map_err(|_| io::ErrorKind::Other.into())
    })
}

/// A file that reaches the disk while it is still being written.
struct Writer {
    file: File,
    written: usize,
    handed_over: usize,
    write_back: WriteBack,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len();
        let fresh = self.written - self.handed_over;
        if fresh < EARLY_BYTES {
            return Ok(());
        }
        match self.write_back {
            // Dirty bytes that are not needed again begin their way to the disk. That is the effect of
            // sync_file_range(2) with SYNC_FILE_RANGE_WRITE, which no safe interface offers.
            WriteBack::Early => {
                let length = NonZero::new(fresh as u64);
                rustix::fs::fadvise(&self.file, self.handed_over as u64, length, Advice::DontNeed)?;
            }
            WriteBack::Bounded => durable::sync_data(&self.file)?,
            WriteBack::Late => {}
        }
        self.handed_over = self.written;
        Ok(())
    }
}
