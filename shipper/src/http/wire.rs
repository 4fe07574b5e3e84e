//! The bytes of a connection, with or without TLS. Hides all interim responses from the HTTP library, except the first
//! `100 Continue`.
//!
//! A server may send any number of interim responses before its answer (RFC 9110, 15.2). Caddy sends `100 Continue`
//! twice if it asks for a body at the same moment as the receiver. awc takes anything after the first one for the
//! answer, and so would not learn that an episode is stored.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_rt::net::{ActixStream, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a head that are read at a time; usually the whole head.
const HEAD_BYTES: usize = 4096;
/// The longest head of an answer, in bytes. A longer one is passed on for the library to refuse.
const MAX_HEAD: usize = 64 * 1024;

/// The beginning of every head.
const BEGINNING: &[u8] = b"HTTP/1.";

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A connection, with or without TLS.
pub struct Wire {
    stream: Box<dyn Duplex>,
    answers: Answers,
    /// Bytes that were read with a head and are not handed over yet.
    shown: VecDeque<u8>,
}

impl Wire {
    /// Returns a connection over this stream.
    pub(super) fn over(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), answers: Answers::default(), shown: VecDeque::new() }
    }

    fn hand_over(&mut self, into: &mut ReadBuf<'_>) {
        let length = into.remaining().min(self.shown.len());
        let bytes: Vec<u8> = self.shown.drain(..length).collect();
        into.put_slice(&bytes);
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.shown.is_empty() {
            if self.answers.are_passed_on() {
                return Pin::new(&mut self.stream).poll_read(cx, into);
            }
            let mut bytes = [0; HEAD_BYTES];
            let mut head = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut head))?;
            let has_ended = head.filled().is_empty();
            let shown = if has_ended { self.answers.ended() } else { self.answers.came(head.filled()) };
            self.shown.extend(shown);
            if has_ended {
                break;
            }
        }
        self.hand_over(into);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.sent();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Required by awc's bounds but never called by awc, which finds out by its own reads and writes.
impl ActixStream for Wire {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::READABLE))
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        Poll::Ready(Ok(Ready::WRITABLE))
    }
}

/// The bytes that come back over one connection, on which each request follows the answer to the previous one.
#[derive(Debug, Default)]
struct Answers {
    /// The part of an incomplete head that has come.
    held: Vec<u8>,
    /// Whether the head of the answer has come. No other head comes before the next request.
    is_answered: bool,
    /// Whether the request has had its `100 Continue`.
    continued: bool,
}

impl Answers {
    /// Returns true if further bytes are passed on unchanged.
    const fn are_passed_on(&self) -> bool {
        self.is_answered
    }

    /// Records that bytes are sent. After an answer they are the next request.
    const fn sent(&mut self) {
        if self.is_answered {
            (self.is_answered, self.continued) = (false, false);
        }
    }

    /// Takes bytes that came, and returns those that the library may see.
    fn came(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        self.held.extend_from_slice(bytes);
        while !self.is_answered {
            let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") else { break };
            let head: Vec<u8> = self.held.drain(..end + 4).collect();
            let is_interim = head.get(BEGINNING.len() + 2) == Some(&b'1');
            let is_continue =
                is_interim && head.get(BEGINNING.len() + 2..).is_some_and(|s| s.starts_with(b"100"));
            if !is_interim || (is_continue && !self.continued) {
                shown.extend_from_slice(&head);
            }
            self.continued |= is_continue;
            self.is_answered = !is_interim;
        }
        let is_http = self.held.iter().zip(BEGINNING).all(|(ours, expected)| ours == expected);
        if self.is_answered || !is_http || self.held.len() > MAX_HEAD {
            self.is_answered = true;
            shown.append(&mut self.held);
        }
        shown
    }

    /// Records the end of the connection, and returns the rest of a head for the library to judge.
    fn ended(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    const ANSWER: &str =
        "HTTP/1.1 201 Created\r\ncontent-length: 28\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nbody";

    /// Returns the bytes shown to the library when `bytes` come in parts of `part` bytes.
    fn shown(answers: &mut Answers, bytes: &str, part: usize) -> String {
        let shown: Vec<u8> = bytes.as_bytes().chunks(part).flat_map(|part| answers.came(part)).collect();
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn one_continue_is_shown_for_each_request_and_nothing_else_before_its_answer() {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        for part in 1..150 {
            let mut answers = Answers::default();
            answers.sent();
            let twice = format!("{CONTINUE}{CONTINUE}{hints}{ANSWER}");
            assert_eq!(shown(&mut answers, &twice, part), format!("{CONTINUE}{ANSWER}"), "{part}");
            assert!(answers.are_passed_on());
            answers.sent();
            answers.sent();
            let next = format!("{hints}{CONTINUE}{CONTINUE}{ANSWER}");
            assert_eq!(shown(&mut answers, &next, part), format!("{CONTINUE}{ANSWER}"), "{part}");
            answers.sent();
            assert_eq!(shown(&mut answers, ANSWER, part), ANSWER);
        }
    }

    #[test]
    fn what_is_no_head_is_shown_as_it_came() {
        let mut answers = Answers::default();
        assert_eq!(shown(&mut answers, "SSH-2.0 hello\r\n", 3), "SSH-2.0 hello\r\n");
        let mut answers = Answers::default();
        assert_eq!(shown(&mut answers, "HTTP/1.1 2", 1), "");
        assert_eq!(answers.ended(), b"HTTP/1.1 2");
        let mut answers = Answers::default();
        let endless = format!("HTTP/1.1 200 {}", "x".repeat(2 * MAX_HEAD));
        assert_eq!(shown(&mut answers, &endless, 1000), endless);
    }
}
