//! The head of a request, and the bytes that came with it.

use std::io::{self, Read};
use std::net::TcpStream;

/// Bytes that are read from a socket at once, and the size of all buffers: several times the buffer of a socket.
pub(crate) const BUFFER_BYTES: usize = 256 * 1024;

/// The parts of a request's head that describe its body.
#[derive(Debug)]
pub(crate) struct Head {
    /// The path as sent.
    pub(crate) path: String,
    /// The length of the body.
    pub(crate) length: usize,
    /// The promised hash.
    pub(crate) sha256: String,
}

/// A connection's buffer, for the head and then for later pieces of the body.
pub(crate) struct Incoming {
    /// The bytes that were read.
    pub(crate) buffer: Vec<u8>,
    /// Bytes of the body that came with the head, as a part of `buffer`.
    pub(crate) early: std::ops::Range<usize>,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], early: 0..0 }
    }

    /// Reads up to the end of the next head. `None` if the client has hung up.
    pub(crate) fn next_head(&mut self, stream: &mut TcpStream) -> io::Result<Option<Head>> {
        let mut filled = 0;
        loop {
            let read = stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Ok(None);
            }
            let searched = filled.saturating_sub(3);
            filled += read;
            let found = self.buffer[searched..filled].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                let end = searched + at + 4;
                self.early = end..filled;
                return parse(&self.buffer[..end]).map(Some);
            }
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Head> {
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "a request that the floor does not know");
    let text = std::str::from_utf8(bytes).map_err(|_| odd())?;
    let path = text.strip_prefix("PUT ").and_then(|rest| rest.split(' ').next()).ok_or_else(odd)?;
    let value = |wanted: &str| {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.trim()))
    };
    let length = value("content-length").and_then(|length| length.parse().ok()).ok_or_else(odd)?;
    let sha256 = value("x-content-sha256").ok_or_else(odd)?;
    Ok(Head { path: path.to_owned(), length, sha256: sha256.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_names_path_length_and_hash() {
        let text =
            "PUT /v1/episodes/h/e.tar.zst HTTP/1.1\r\nContent-Length: 7\r\nX-Content-SHA256: ab\r\n\r\n";
        let head = parse(text.as_bytes()).unwrap();
        assert_eq!(
            (head.path.as_str(), head.length, head.sha256.as_str()),
            ("/v1/episodes/h/e.tar.zst", 7, "ab")
        );
        assert!(parse(b"GET / HTTP/1.1\r\n\r\n").is_err());
    }
}
