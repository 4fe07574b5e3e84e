//! The client's side of HTTP/1.1, only the part that a load driver needs: one request at a time on a kept connection.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may be silent before it is given up.
const PATIENCE: Duration = Duration::from_mins(2);
/// The longest head of an answer, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Whether the connection can take another request.
    pub(crate) keeps: bool,
}

impl Connection {
    /// Opens a connection.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn exchange<'a>(
        &mut self,
        head: &'a [u8],
        mut body: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<Answer> {
        let sent = self.send(head, &mut body);
        // A server may answer and hang up before it has read everything. Its answer says more than the broken pipe.
        let answer = self.receive()?;
        Ok(Answer { keeps: answer.keeps && sent.is_ok(), ..answer })
    }

    fn send<'a>(&mut self, head: &'a [u8], body: &mut impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        // The head goes out with the first bytes of the body, which saves a small upload one call and one packet.
        let first = [head, body.next().unwrap_or_default(), body.next().unwrap_or_default()];
        let mut slices = first.map(IoSlice::new);
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = self.stream.write_vectored(left)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
        body.try_for_each(|piece| self.stream.write_all(piece))
    }

    fn receive(&mut self) -> io::Result<Answer> {
        self.received.clear();
        let (end, head) = loop {
            if let Some(head) = Head::parse(&self.received)? {
                break head;
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        while match head.body {
            Length::Known(length) => self.received.len() < end + length,
            Length::Chunked => !self.received[end..].ends_with(b"0\r\n\r\n"),
            Length::UntilClosed => true,
        } {
            if self.more()? == 0 {
                break;
            }
        }
        Ok(Answer { status: head.status, keeps: head.keeps && head.body != Length::UntilClosed })
    }

    fn more(&mut self) -> io::Result<usize> {
        let before = self.received.len();
        self.received.resize(before + 4096, 0);
        let read = self.stream.read(&mut self.received[before..]);
        self.received.truncate(before + read.as_ref().copied().unwrap_or(0));
        read
    }
}

/// The end of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClosed,
}

/// The parts of an answer's head that matter for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    keeps: bool,
    body: Length,
}

impl Head {
    /// Returns the head and its end. `None` as long as the head is not complete.
    fn parse(received: &[u8]) -> io::Result<Option<(usize, Self)>> {
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match received.len() > HEAD_BYTES {
                true => Err(io::Error::new(io::ErrorKind::InvalidData, "the head of an answer does not end")),
                false => Ok(None),
            };
        };
        let text = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        let mut lines = text.lines();
        let mut words = lines.next().unwrap_or_default().split_whitespace();
        let keeps = words.next() == Some("http/1.1");
        let status = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut head = Self { status, keeps, body: Length::UntilClosed };
        if matches!(status, 204 | 304) {
            head.body = Length::Known(0);
        }
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            match (name, value.trim()) {
                ("content-length", value) => head.body = value.parse().map_or(head.body, Length::Known),
                ("transfer-encoding", "chunked") => head.body = Length::Chunked,
                ("connection", "close") => head.keeps = false,
                _ => {}
            }
        }
        Ok(Some((end + 4, head)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_the_answer_goes_on() {
        let parse = |text: &str| Head::parse(text.as_bytes()).unwrap();
        let head = |status, keeps, body| Head { status, keeps, body };
        assert_eq!(parse("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n"), None);
        let cases = [
            ("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n", head(201, true, Length::Known(2))),
            ("HTTP/1.1 204 No Content\r\n\r\n", head(204, true, Length::Known(0))),
            (
                "HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                head(413, false, Length::Known(0)),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", head(200, true, Length::Chunked)),
            ("HTTP/1.0 200 OK\r\n\r\n", head(200, false, Length::UntilClosed)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Some((text.len(), expected)), "{text}");
        }
    }
}
