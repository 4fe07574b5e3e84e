//! HTTP/1.1 by hand, for tests that act between head and body.
//!
//! Deliberately simple: one connection, no redirects, no reuse rules, no TLS. It sends exactly what the test says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::until::PATIENCE;

/// One connection, open until it is dropped.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// Returns the request line and headers, and the blank line that ends them.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: collector.test\r\n").into_bytes();
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("memory takes it");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to an address of the form `http://127.0.0.1:PORT`.
    pub fn open(url: &str) -> Self {
        let stream = TcpStream::connect(authority(url)).unwrap_or_else(|error| panic!("`{url}`: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("small writes can be sent at once");
        Self { stream: BufReader::new(stream) }
    }

    /// Sets how long to wait for a server that may never answer.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a timeout can be set");
        self
    }

    /// Sends the request line and headers, and the blank line that ends them.
    pub fn send_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.send(&head(method, path, headers)).expect("the server takes a head");
    }

    /// Sends bytes as they are. Returns an error if the server has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer to `method`. That may be an interim answer such as 100, which has no body.
    pub fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| invalid(&format!("not a status line: `{status_line}`")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method != "HEAD" && status >= 200 && status != 204 && status != 304 {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    /// Returns true if the server has closed the connection and all its bytes have been read.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    fn body(&mut self, head: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if head.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
                let mut chunk = vec![0; size];
                self.stream.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk);
                self.line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match head.header("content-length") {
            Some(length) => {
                body.resize(length.parse().map_err(io::Error::other)?, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => {
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

impl Answer {
    /// Returns the first header of that name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Parses the body as JSON; panics if it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends one request on a connection of its own.
pub fn request(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut connection = Connection::open(url);
    let length = body.len().to_string();
    let mut all = vec![("connection", "close")];
    if !body.is_empty() || method == "PUT" || method == "POST" {
        all.push(("content-length", &length));
    }
    all.extend_from_slice(headers);
    connection.send_head(method, path, &all);
    // A server that refuses early may have closed the connection already, so only its answer counts.
    let _ = connection.send(body);
    connection.answer(method).unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
}

/// Sends a GET for a path on a connection of its own.
pub fn get(url: &str, path: &str) -> Answer {
    request(url, "GET", path, &[], &[])
}

fn authority(url: &str) -> &str {
    url.strip_prefix("http://")
        .unwrap_or_else(|| panic!("`{url}` is not a plain http address"))
        .trim_end_matches('/')
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Starts a server that reads one head and answers with these bytes.
    fn peer(answer: &'static [u8]) -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            stream.get_mut().write_all(answer).unwrap();
        });
        (url, thread)
    }

    #[test]
    fn an_interim_answer_and_a_chunked_body_are_told_apart() {
        let (url, thread) = peer(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );
        let mut connection = Connection::open(&url);
        connection.send_head("PUT", "/x", &[("content-length", "1")]);
        assert_eq!(connection.answer("PUT").unwrap().status, 100);
        let answer = connection.answer("PUT").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (201, &b"abcde"[..]));
        assert!(connection.is_closed());
        thread.join().unwrap();
    }

    #[test]
    fn a_head_has_a_length_and_no_body() {
        let (url, thread) = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
        let answer = request(&url, "HEAD", "/x", &[], &[]);
        assert_eq!((answer.header("content-length"), answer.body.len()), (Some("77"), 0));
        thread.join().unwrap();
    }
}
