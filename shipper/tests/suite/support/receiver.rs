//! A receiver that follows a script, byte by byte, on a listener of its own.
//!
//! Each connection has a thread, which is joined at the end of the test. A read waits for bytes or for the end of the
//! connection, never for a time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use cis490_shared::ids::Sha256Digest;
use sha2::{Digest, Sha256};

/// The head of a request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns host and episode of an upload.
    pub fn pair(&self) -> (&str, &str) {
        let path = self.path.trim_start_matches("/v1/episodes/").trim_end_matches(".tar.zst");
        path.split_once('/').unwrap()
    }

    pub fn length(&self) -> usize {
        self.header("content-length").map_or(0, |text| text.parse().unwrap())
    }

    /// Returns, for example, `PUT /v1/...`, without the host and file part.
    pub fn kind(&self) -> String {
        let path = if self.path.starts_with("/v1/episodes/") { "/v1/episodes" } else { &self.path };
        format!("{} {path}", self.method)
    }
}

pub trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// The connection that a request came on.
pub struct Conn {
    stream: Box<dyn Duplex>,
    tcp: TcpStream,
    /// Bytes that were read beyond the head.
    ahead: Vec<u8>,
    open: bool,
}

impl Conn {
    pub fn send(&mut self, text: &str) {
        // The client may be gone; the test is about that then.
        let _ = self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush());
    }

    /// Answers with a JSON body and keeps the connection.
    pub fn answer(&mut self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        self.send(&format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ));
    }

    /// Sends 100 if the client waits for it, and reads the body.
    pub fn take_body(&mut self, request: &Request) -> Vec<u8> {
        if request.header("expect").is_some() {
            self.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut body = std::mem::take(&mut self.ahead);
        let missing = request.length() - body.len();
        let mut rest = vec![0; missing];
        match self.stream.read_exact(&mut rest) {
            Ok(()) => body.extend(rest),
            Err(_) => self.open = false,
        }
        body
    }

    /// Returns how many more bytes come until the client closes.
    pub fn count_until_closed(&mut self) -> usize {
        let mut rest = std::mem::take(&mut self.ahead);
        // A reset ends the read as well as a close.
        let _ = self.stream.read_to_end(&mut rest);
        self.open = false;
        rest.len()
    }

    /// Returns how many bytes came with the head that are not part of it.
    pub fn bytes_ahead(&self) -> usize {
        self.ahead.len()
    }

    /// Reads no more from the connection, which stays open until the receiver ends.
    pub fn leave_unread(&mut self) {
        self.open = false;
    }

    /// Ends the connection without an answer.
    pub fn close(&mut self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
        self.open = false;
    }

    fn read_head(&mut self) -> io::Result<Option<String>> {
        let mut buffer = std::mem::take(&mut self.ahead);
        loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                self.ahead = buffer.split_off(end + 4);
                return Ok(Some(String::from_utf8(buffer).expect("a head is text")));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                read => buffer.extend(&chunk[..read]),
            }
        }
    }
}

type Script = dyn FnMut(&Request, &mut Conn) + Send;

/// Makes a connection out of a TCP stream, for example with TLS on top.
pub type Wrap = dyn Fn(TcpStream) -> io::Result<Box<dyn Duplex>> + Send + Sync;

pub struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    tcp: Arc<Mutex<Vec<TcpStream>>>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Calls `script` for each request, one at a time per connection.
    pub fn start(script: impl FnMut(&Request, &mut Conn) + Send + 'static) -> Self {
        Self::start_with(Box::new(|tcp| Ok(Box::new(tcp))), script)
    }

    pub fn start_with(wrap: Box<Wrap>, script: impl FnMut(&Request, &mut Conn) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self::serve(listener, wrap, script)
    }

    pub fn serve(
        listener: TcpListener,
        wrap: Box<Wrap>,
        script: impl FnMut(&Request, &mut Conn) + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, tcp, stopping) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let shared =
            Shared { seen: Arc::clone(&seen), script: Arc::new(Mutex::new(script)), wrap: wrap.into() };
        let (streams, stop) = (Arc::clone(&tcp), Arc::clone(&stopping));
        let acceptor = std::thread::spawn(move || accept(&listener, &shared, &streams, &stop));
        Self { address, seen, tcp, stopping, acceptor: Some(acceptor) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns all requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the kinds of all requests, in order.
    pub fn kinds(&self) -> Vec<String> {
        self.seen().iter().map(Request::kind).collect()
    }
}

struct Shared {
    seen: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<Script>>,
    wrap: Arc<Wrap>,
}

fn accept(listener: &TcpListener, shared: &Shared, streams: &Mutex<Vec<TcpStream>>, stopping: &AtomicBool) {
    let mut threads = Vec::new();
    for tcp in listener.incoming() {
        let tcp = tcp.unwrap();
        // The flag is checked under the lock, so a connection is either counted or not begun.
        let mut streams = streams.lock().unwrap();
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        streams.push(tcp.try_clone().unwrap());
        drop(streams);
        let (seen, script, wrap) =
            (Arc::clone(&shared.seen), Arc::clone(&shared.script), Arc::clone(&shared.wrap));
        threads.push(std::thread::spawn(move || serve(tcp, &seen, &script, &*wrap)));
    }
    for thread in threads {
        thread.join().expect("a script that does not panic");
    }
}

fn serve(tcp: TcpStream, seen: &Mutex<Vec<Request>>, script: &Mutex<Script>, wrap: &Wrap) {
    let Ok(stream) = wrap(tcp.try_clone().unwrap()) else { return };
    let mut conn = Conn { stream, tcp, ahead: Vec::new(), open: true };
    while conn.open {
        let Ok(Some(head)) = conn.read_head() else { return };
        let request = parse(&head, seen);
        (script.lock().unwrap())(&request, &mut conn);
    }
}

fn parse(head: &str, seen: &Mutex<Vec<Request>>) -> Request {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut seen = seen.lock().unwrap();
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let request = Request { method, path, headers };
    seen.push(request.clone());
    request
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        for tcp in self.tcp.lock().unwrap().iter() {
            // The connection may be closed already.
            let _ = tcp.shutdown(Shutdown::Both);
        }
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        let joined = self.acceptor.take().unwrap().join();
        if !std::thread::panicking() {
            joined.expect("a script that does not panic");
        }
    }
}

/// Returns the hash of `bytes` in the form of the headers.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256Digest::from_bytes(Sha256::digest(bytes).into()).to_string()
}

/// Returns a receiver's answer to a PUT that it has stored.
pub fn stored(request: &Request, body: &[u8]) -> String {
    let (host, episode) = request.pair();
    let hash = sha256(body);
    format!(
        r#"{{"status": "stored", "host_id": "{host}", "episode_id": "{episode}", "sha256": "{hash}", "size_bytes": {}}}"#,
        body.len()
    )
}

/// Returns the gate's answer about a commit.
pub fn gate(path: &str, admitted: bool) -> String {
    let commit = path.rsplit('/').next().unwrap();
    let head = "cd".repeat(20);
    let (position, remediation) =
        if admitted { ("7", String::new()) } else { ("null", r#", "remediation": "git pull\n""#.to_owned()) };
    format!(
        r#"{{"commit": "{commit}", "admitted": {admitted}, "position": {position}, "window": 100, "head_commit": "{head}", "polled_s_ago": 1.2{remediation}}}"#
    )
}

/// Admits and stores everything.
pub fn stores_everything(request: &Request, conn: &mut Conn) {
    match request.kind().as_str() {
        "PUT /v1/episodes" => {
            let body = conn.take_body(request);
            conn.answer(201, "x-cis490-commit-position: 7/100\r\n", &stored(request, &body));
        }
        "POST /v1/ping" => {
            conn.answer(
                200,
                "",
                r#"{"status": "ok", "version": "1", "server_time": "2025-01-02T03:04:05.000006+00:00"}"#,
            );
        }
        "HEAD /v1/episodes" => conn.send("HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"),
        "GET /v1/gate" => conn.answer(
            200,
            "",
            &format!(
                r#"{{"enabled": true, "ready": true, "window": 100, "commits": 7, "head_commit": "{}", "polled_s_ago": 2.0}}"#,
                "cd".repeat(20)
            ),
        ),
        _ => conn.answer(200, "", &gate(&request.path, true)),
    }
}
