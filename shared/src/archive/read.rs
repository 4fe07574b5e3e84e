//! Taking `meta.json` out of an archive, as a stream and in bounded memory.
//!
//! An archive comes from another machine: it may be cut, damaged, or made to hurt. Nothing is unpacked to
//! disk, no link is followed, every count has an end, and reading stops as soon as `meta.json` was read.
//! Which file that is: the first regular file whose path is `meta.json`, or `meta.json` in exactly one plain
//! directory (whatever its name); a leading `./`, as `tar` writes it for a `.`, does not count.
//! `x-meta.json`, `meta.json.bak` and `a/b/meta.json` are other files, and so is a link, a device or a directory of
//! that name. A second meta.json is never reached.
//!
//! It deliberately proves nothing about the rest of the archive, which may be cut off or garbage: that is what its
//! sha256 is for. It guards invariant I8 (memory is flat).

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_compression::tokio::bufread::ZstdDecoder;
use async_compression::zstd::DParameter;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader, ReadBuf};
use tokio_stream::StreamExt;
use tokio_tar::{Archive, Entry};

use crate::archive::META_NAME;
use crate::excerpt::excerpt;
use crate::meta::MAX_META_BYTES;

/// What the headers of one member may take up, in bytes: with long names and extensions a few hundred.
const MAX_HEADER_BYTES: u64 = 1024 * 1024;

/// How much is read or thrown away at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// How far an archive is searched for its meta.json.
///
/// The defaults fit archives that do not begin with it, since early episodes may not. A row that lost its commit never
/// gets it back, so what an honest archive runs into must not depend on the machine: counts of bytes and members end the
/// search, and the time only where bytes were made to take long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// The most members that are looked at.
    pub max_entries: u64,
    /// The most decompressed bytes that are looked at.
    pub max_decompressed_bytes: u64,
    /// The largest window that the decoder may be made to hold, as a power of two between 10 and 27.
    /// Packers at level 19 or below, without long mode, need 23 at most (8 MiB).
    pub window_log: u32,
    /// The largest meta.json in bytes.
    pub max_meta_bytes: u64,
    /// How long a processor may work on it.
    pub max_time: Duration,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_decompressed_bytes: 4 * 1024 * 1024 * 1024,
            window_log: 23,
            max_meta_bytes: MAX_META_BYTES,
            // A Raspberry Pi decompresses the bytes above in less.
            max_time: Duration::from_mins(1),
        }
    }
}

/// Why no meta.json came out of an archive.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive's bytes could not be had; says nothing about the archive.
    #[error("the archive cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The archive ends in the middle.
    #[error("the archive is cut short")]
    Truncated,
    /// Not zstd, damaged, or in need of a larger window than is allowed.
    #[error("the archive cannot be decompressed: {}", excerpt(&.0.to_string()))]
    Compression(#[source] io::Error),
    /// What was decompressed is not a tar.
    #[error("the archive is no usable tar: {}", excerpt(&.0.to_string()))]
    Tar(#[source] io::Error),
    /// A sparse file, of which a few bytes can claim to be any number of zeros. Ours come after meta.json.
    #[error("the archive holds a sparse file before its {META_NAME}")]
    Sparse,
    /// More members than are looked at.
    #[error("no {META_NAME} among the first {0} members of the archive")]
    TooManyEntries(u64),
    /// More data than is looked at.
    #[error("no {META_NAME} in the first {0} bytes of the decompressed archive")]
    TooMuchData(u64),
    /// More work than is done.
    #[error("no {META_NAME} in the archive after {0:?} of work")]
    TooMuchWork(Duration),
    /// A name or an extension header that goes on and on.
    #[error("a member of the archive has more than {MAX_HEADER_BYTES} bytes of headers")]
    HeaderTooLong,
    /// A meta.json above the limit.
    #[error("{META_NAME} has {size} bytes, at most {limit} are read")]
    MetaTooLarge {
        /// Its size as the archive states it.
        size: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A whole archive without one.
    #[error("the archive holds no {META_NAME}")]
    NoMeta,
}

/// Reads the bytes of meta.json out of a tar.zst, and no more of it than that takes.
///
/// `worked` tells how long a processor has worked by now, from whatever start. Dropping the future at any time is safe.
pub async fn read_meta<R: AsyncRead + Unpin + Send>(
    archive: R,
    limits: &ReadLimits,
    worked: impl Fn() -> Duration + Sync,
) -> Result<Vec<u8>, ReadError> {
    let budget = Budget::new(limits, &worked);
    let found = find_meta(Decompressed::new(archive, limits, &budget), limits, &budget).await;
    // The readers below hand up their own errors inside of io::Error; whatever is left is the tar's.
    found.map_err(|error| error.downcast::<ReadError>().unwrap_or_else(ReadError::Tar))
}

async fn find_meta<R: AsyncRead + Unpin>(
    tar: R,
    limits: &ReadLimits,
    budget: &Budget<'_>,
) -> io::Result<Vec<u8>> {
    let mut entries = Archive::new(tar).entries()?;
    for _ in 0..limits.max_entries {
        budget.allow_headers();
        let Some(entry) = entries.next().await else {
            return Err(io::Error::other(ReadError::NoMeta));
        };
        budget.allow_content();
        let mut entry = entry?;
        if entry.header().entry_type().is_file() && is_meta(&entry.path_bytes()?) {
            return read_content(&mut entry, limits).await;
        }
        skip_content(&mut entry).await?;
    }
    Err(io::Error::other(ReadError::TooManyEntries(limits.max_entries)))
}

/// Whether a member's path is that of meta.json.
fn is_meta(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let Some(top) = path.strip_suffix(META_NAME.as_bytes()) else {
        return false;
    };
    match top.strip_suffix(b"/") {
        Some(dir) => !dir.is_empty() && !dir.contains(&b'/') && dir != b"." && dir != b"..",
        None => top.is_empty(),
    }
}

async fn read_content<R: AsyncRead + Unpin>(
    entry: &mut Entry<R>,
    limits: &ReadLimits,
) -> io::Result<Vec<u8>> {
    let size = entry.effective_size();
    if size > limits.max_meta_bytes {
        return Err(io::Error::other(ReadError::MetaTooLarge { size, limit: limits.max_meta_bytes }));
    }
    let mut content = Vec::new();
    // What GNU tar would expand, others would take as it stands: nobody could say what was recorded.
    if is_sparse(entry).await? {
        return Err(io::Error::other(ReadError::Sparse));
    }
    // A member with less content than its header promises is an error of the tar reader.
    entry.read_to_end(&mut content).await?;
    Ok(content)
}

/// Whether a file stands in the archive without its zeros, by its type or by its extension header.
async fn is_sparse<R: AsyncRead + Unpin>(entry: &mut Entry<R>) -> io::Result<bool> {
    if entry.header().entry_type().is_gnu_sparse() {
        return Ok(true);
    }
    let Some(extensions) = entry.pax_extensions().await? else { return Ok(false) };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads past a member here, so that while the next one is looked for only headers can come.
async fn skip_content<R: AsyncRead + Unpin>(entry: &mut Entry<R>) -> io::Result<()> {
    if entry.header().entry_type().is_gnu_sparse() {
        return Err(io::Error::other(ReadError::Sparse));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    while entry.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// What may still be decompressed and done, shared by the search and the readers below the tar.
///
/// The tar reader keeps a whole extension header in memory, however long it claims to be: while it looks
/// for the next member it gets no more than [`MAX_HEADER_BYTES`].
struct Budget<'a> {
    max: u64,
    total: AtomicU64,
    headers: AtomicU64,
    max_time: Duration,
    began: Duration,
    worked: &'a (dyn Fn() -> Duration + Sync),
}

impl<'a> Budget<'a> {
    fn new(limits: &ReadLimits, worked: &'a (dyn Fn() -> Duration + Sync)) -> Self {
        let (max, max_time) = (limits.max_decompressed_bytes, limits.max_time);
        let (total, headers) = (AtomicU64::new(max), AtomicU64::new(0));
        Self { max, total, headers, max_time, began: worked(), worked }
    }

    fn allow_headers(&self) {
        self.headers.store(MAX_HEADER_BYTES, Ordering::Relaxed);
    }

    fn allow_content(&self) {
        self.headers.store(u64::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: u64) -> io::Result<()> {
        let take = |left: &AtomicU64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
        };
        take(&self.total).map_err(|_| io::Error::other(ReadError::TooMuchData(self.max)))?;
        take(&self.headers).map_err(|_| io::Error::other(ReadError::HeaderTooLong))?;
        self.check_time()
    }

    fn check_time(&self) -> io::Result<()> {
        match (self.worked)().saturating_sub(self.began) > self.max_time {
            true => Err(io::Error::other(ReadError::TooMuchWork(self.max_time))),
            false => Ok(()),
        }
    }
}

/// The decompressed archive, within its budget and with errors that say whose they are.
struct Decompressed<'a, R> {
    decoder: ZstdDecoder<BufReader<Source<'a, R>>>,
    budget: &'a Budget<'a>,
}

impl<'a, R: AsyncRead + Unpin> Decompressed<'a, R> {
    fn new(archive: R, limits: &ReadLimits, budget: &'a Budget<'a>) -> Self {
        let source = BufReader::with_capacity(CHUNK_BYTES, Source { archive, budget });
        let window = DParameter::window_log_max(limits.window_log.clamp(10, 27));
        let mut decoder = ZstdDecoder::with_params(source, &[window]);
        // Otherwise everything after the first frame is dropped without a word.
        decoder.multiple_members(true);
        Self { decoder, budget }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Decompressed<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.decoder).poll_read(cx, into));
        Poll::Ready(match read {
            Ok(()) => self.budget.spend((into.filled().len() - before) as u64),
            Err(error) => Err(io::Error::other(of_its_layer(error))),
        })
    }
}

/// Tells the archive's own errors, which come through the decoder unchanged, from the decoder's.
fn of_its_layer(error: io::Error) -> ReadError {
    error.downcast::<ReadError>().unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Truncated,
        _ => ReadError::Compression(error),
    })
}

/// The archive as handed in, with its errors marked as its own.
///
/// The time is looked at here as well, since there can be any number of frames and blocks that hold nothing.
struct Source<'a, R> {
    archive: R,
    budget: &'a Budget<'a>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Source<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.budget.check_time()?;
        let read = ready!(Pin::new(&mut self.archive).poll_read(cx, into));
        Poll::Ready(read.map_err(|error| io::Error::other(ReadError::Source(error))))
    }
}

#[cfg(test)]
mod tests;
