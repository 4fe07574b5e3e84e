//! Extracts `meta.json` from an archive, as a stream and in bounded memory.
//!
//! An archive comes from another machine: it may be truncated, damaged or malicious. Nothing is unpacked to disk, no
//! link is followed, every count has a limit, and reading stops as soon as `meta.json` has been read.
//!
//! `meta.json` is the first regular file whose path is `meta.json`, or `meta.json` in exactly one plain directory of
//! any name. A leading `./`, as `tar` writes it for a `.`, is ignored. `x-meta.json`, `meta.json.bak` and
//! `a/b/meta.json` are other files, and so is a link, a device or a directory of that name. A second meta.json is never
//! reached.
//!
//! This module deliberately does not check the rest of the archive, which may be truncated or garbage: its sha256 does
//! that. It guards invariant I8 (memory is flat).

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

use crate::excerpt::excerpt;
use crate::meta::{MAX_META_BYTES, META_NAME};

/// Maximum size in bytes of the headers of one member. With long names and extensions they take a few hundred.
const MAX_HEADER_BYTES: u64 = 1024 * 1024;

/// Number of bytes read or skipped at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Limits of the search for meta.json in an archive.
///
/// The defaults also fit archives that do not begin with meta.json, as early episodes may not. A row that was written
/// without its commit never gets it later, so the result for an honest archive must not depend on the machine. For that
/// reason the counts of bytes and members end the search. The time limit only stops an archive that was made to be
/// slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Maximum number of members examined.
    pub max_entries: u64,
    /// Maximum number of decompressed bytes.
    pub max_decompressed_bytes: u64,
    /// Maximum window of the decoder, as a power of two between 10 and 27. Packers at level 19 or below, without long
    /// mode, need 23 at most (8 MiB).
    pub window_log: u32,
    /// Maximum size of meta.json in bytes.
    pub max_meta_bytes: u64,
    /// Maximum processor time for one archive.
    pub max_time: Duration,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_decompressed_bytes: 4 * 1024 * 1024 * 1024,
            window_log: 23,
            max_meta_bytes: MAX_META_BYTES,
            // A Raspberry Pi decompresses `max_decompressed_bytes` in less.
            max_time: Duration::from_mins(1),
        }
    }
}

/// The reason why no meta.json was read from an archive.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The archive's bytes cannot be read, which says nothing about their content.
    #[error("the archive cannot be read: {0}")]
    Source(#[source] io::Error),
    /// The archive is truncated.
    #[error("the archive is cut short")]
    Truncated,
    /// The archive is not zstd, is damaged, or needs a larger window than allowed.
    #[error("the archive cannot be decompressed: {}", excerpt(&.0.to_string()))]
    Compression(#[source] io::Error),
    /// The decompressed bytes are not a valid tar.
    #[error("the archive is no usable tar: {}", excerpt(&.0.to_string()))]
    Tar(#[source] io::Error),
    /// A sparse file comes before meta.json or is meta.json. A few bytes of one can claim any number of zeros. Our
    /// packer writes sparse files after meta.json.
    #[error("the archive holds a sparse file before its {META_NAME}")]
    Sparse,
    /// The first `max_entries` members contain no meta.json.
    #[error("no {META_NAME} among the first {0} members of the archive")]
    TooManyEntries(u64),
    /// The first `max_decompressed_bytes` bytes contain no meta.json.
    #[error("no {META_NAME} in the first {0} bytes of the decompressed archive")]
    TooMuchData(u64),
    /// The search used more processor time than `max_time`.
    #[error("no {META_NAME} in the archive after {0:?} of work")]
    TooMuchWork(Duration),
    /// The name or the extension header of a member exceeds the limit.
    #[error("a member of the archive has more than {MAX_HEADER_BYTES} bytes of headers")]
    HeaderTooLong,
    /// The meta.json is larger than the limit.
    #[error("{META_NAME} has {size} bytes, at most {limit} are read")]
    MetaTooLarge {
        /// Its size as the archive states it.
        size: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The archive ends properly, but contains no meta.json.
    #[error("the archive holds no {META_NAME}")]
    NoMeta,
}

/// Reads meta.json from a tar.zst, and no more of the archive than necessary.
///
/// `worked` returns the processor time used so far, counted from any fixed moment. Dropping the future at any time is
/// safe.
pub async fn read_meta<R: AsyncRead + Unpin + Send>(
    archive: R,
    limits: &ReadLimits,
    worked: impl Fn() -> Duration + Sync,
) -> Result<Vec<u8>, ReadError> {
    let budget = Budget::new(limits, &worked);
    let found = find_meta(Decompressed::new(archive, limits, &budget), limits, &budget).await;
    // The readers below pass their own errors inside an io::Error; any other error is the tar reader's.
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

/// Returns true if a member's path is that of meta.json.
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
    // GNU tar would expand a sparse member and other readers would not, so its recorded content would be ambiguous.
    if is_sparse(entry).await? {
        return Err(io::Error::other(ReadError::Sparse));
    }
    // If a member has less content than its header states, the tar reader returns an error.
    entry.read_to_end(&mut content).await?;
    Ok(content)
}

/// Returns true if a member is stored without its zeros, by its type or by its extension header.
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

/// Skips the content of a member here, so that the search for the next member only reads headers.
async fn skip_content<R: AsyncRead + Unpin>(entry: &mut Entry<R>) -> io::Result<()> {
    if entry.header().entry_type().is_gnu_sparse() {
        return Err(io::Error::other(ReadError::Sparse));
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    while entry.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// The remaining bytes and processor time, shared by the search and the readers below the tar.
///
/// The tar reader keeps a whole extension header in memory, however long it claims to be. So during the search for the
/// next member it gets at most [`MAX_HEADER_BYTES`].
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

/// The decompressed archive, limited by its budget. Its errors name the layer that failed.
struct Decompressed<'a, R> {
    decoder: ZstdDecoder<BufReader<Source<'a, R>>>,
    budget: &'a Budget<'a>,
}

impl<'a, R: AsyncRead + Unpin> Decompressed<'a, R> {
    fn new(archive: R, limits: &ReadLimits, budget: &'a Budget<'a>) -> Self {
        let source = BufReader::with_capacity(CHUNK_BYTES, Source { archive, budget });
        let window = DParameter::window_log_max(limits.window_log.clamp(10, 27));
        let mut decoder = ZstdDecoder::with_params(source, &[window]);
        // Without this the decoder silently drops everything after the first frame.
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

/// Separates the errors of the source, which pass through the decoder unchanged, from those of the decoder.
fn of_its_layer(error: io::Error) -> ReadError {
    error.downcast::<ReadError>().unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Truncated,
        _ => ReadError::Compression(error),
    })
}

/// The archive as passed in. Its errors are marked as errors of the source.
///
/// The time is checked here as well, because an archive can have any number of empty frames and blocks.
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
