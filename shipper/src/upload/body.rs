//! The archive as a stream of chunks, from the one descriptor whose bytes were hashed.
//!
//! Each chunk is read in the blocking pool when awc asks for it, so an upload of any size needs the memory
//! of two chunks (invariant I8), and asking for a chunk is the sign of progress. A file that is shorter
//! than promised is an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};

use crate::upload::progress::Progress;

/// How much is read and handed to the socket at once, in bytes.
const CHUNK_BYTES: u64 = 128 * 1024;

/// The first `size_bytes` of `file`, telling `progress` of every chunk.
pub fn chunks(
    file: Arc<File>,
    size_bytes: u64,
    progress: Rc<Progress>,
) -> impl Stream<Item = io::Result<Bytes>> {
    try_unfold(0_u64, move |offset| {
        let (file, progress) = (Arc::clone(&file), Rc::clone(&progress));
        async move {
            let left = size_bytes - offset;
            if left == 0 {
                progress.sent();
                return Ok(None);
            }
            progress.chunk();
            let length = left.min(CHUNK_BYTES);
            let read = tokio::task::spawn_blocking(move || read_at(&file, offset, length));
            let chunk = read.await.map_err(io::Error::other)??;
            Ok(Some((Bytes::from(chunk), offset + length)))
        }
    })
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut chunk = vec![0; length];
    file.read_exact_at(&mut chunk, offset)?;
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{StreamExt, TryStreamExt};

    use super::*;
    use crate::upload::progress::Deadlines;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        Arc::new(file)
    }

    fn progress() -> Rc<Progress> {
        Rc::new(Progress::begin(Deadlines::default()))
    }

    #[tokio::test]
    async fn the_chunks_are_the_file_whatever_its_length() {
        for length in [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, CHUNK_BYTES * 3] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let read: Vec<Bytes> = chunks(file_of(&bytes), length, progress()).try_collect().await.unwrap();
            assert_eq!(read.concat(), bytes);
        }
    }

    #[tokio::test]
    async fn a_file_that_was_cut_is_an_error_and_not_a_short_body() {
        let mut stream = pin!(chunks(file_of(b"short"), 6, progress()));
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_file_that_grew_is_sent_as_it_was_hashed() {
        let read: Vec<Bytes> = chunks(file_of(b"longer"), 4, progress()).try_collect().await.unwrap();
        assert_eq!(read.concat(), b"long");
    }
}
