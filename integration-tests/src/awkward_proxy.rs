//! A proxy that speaks HTTP/1.1 and makes mistakes, request by request as the test says.
//!
//! The proxy counts requests, so tests without any mistake use it too. Unlike [`crate::proxy`] it understands heads and
//! bodies, but not chunked bodies, which neither side sends. It opens a connection to the receiver for each request.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// The parts of a request's head that a test may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method, for example `PUT`.
    pub method: String,
    /// The path.
    pub path: String,
    /// True if the client waits for `100 Continue`.
    pub expects: bool,
    /// The length of its body in bytes.
    pub length: u64,
    /// The number of earlier requests.
    pub number: usize,
}

/// The treatment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The request is passed on, as by a good proxy.
    Pass,
    /// The proxy reads the whole body before it passes anything on, and then the whole answer.
    Buffer,
    /// The proxy drops the `Expect` header, and nobody sends 100.
    SwallowExpect,
    /// The proxy answers itself with this status and body, and closes the connection.
    Say(u16, &'static str),
    /// The proxy reads this many bytes of the body, then neither reads nor answers. The connection stays open.
    StandStill(u64),
    /// The proxy reads the whole body and discards it. The connection stays open.
    Swallow,
    /// The proxy passes everything on except the answer, and closes the connection instead.
    LoseAnswer,
}

type Choose = dyn FnMut(&Asked) -> Manner + Send;

/// A proxy on a free port of the loopback interface. Dropping it cuts open connections and waits for its threads.
pub struct AwkwardProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    choose: Mutex<Box<Choose>>,
    asked: Mutex<Vec<Asked>>,
    /// All client connections, so that none outlives the proxy.
    clients: Mutex<Vec<TcpStream>>,
    has_ended: AtomicBool,
}

impl AwkwardProxy {
    /// Starts a proxy in front of `target`, `http://127.0.0.1:PORT`.
    pub fn start(target: &str, choose: impl FnMut(&Asked) -> Manner + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target: target.trim_start_matches("http://").to_owned(),
            choose: Mutex::new(Box::new(choose)),
            asked: Mutex::default(),
            clients: Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || of_thread.accept(&listener)));
        Self { address, shared, accepting }
    }

    /// Returns the address for clients, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Treats every request from now on by `choose`.
    pub fn from_now_on(&self, choose: impl FnMut(&Asked) -> Manner + Send + 'static) {
        *lock(&self.shared.choose) = Box::new(choose);
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// Returns the number of requests so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.asked).len()
    }

    /// Returns the number of requests with this method so far.
    pub fn count_of(&self, method: &str) -> usize {
        lock(&self.shared.asked).iter().filter(|asked| asked.method == method).count()
    }
}

impl Drop for AwkwardProxy {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        for client in lock(&self.shared.clients).iter() {
            // The connection may be closed already.
            let _ = client.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread. An error means that the thread has ended already.
        let _ = TcpStream::connect(self.address);
        let joined = self.accepting.take().map(JoinHandle::join);
        assert!(matches!(joined, Some(Ok(()))) || thread::panicking(), "the proxy panicked");
    }
}

/// The further use of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Next,
    Close,
    /// Neither read nor closed.
    Leave,
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        loop {
            let accepted = listener.accept();
            // Under the lock, so that a connection is either registered or never served.
            let mut clients = lock(&self.clients);
            if self.has_ended.load(Ordering::SeqCst) {
                break;
            }
            let Ok((client, _)) = accepted else { continue };
            clients.push(client.try_clone().expect("a second handle of a socket"));
            drop(clients);
            let shared = Arc::clone(&self);
            threads.push(thread::spawn(move || {
                // A broken connection ends like any other.
                if !matches!(shared.serve(&client), Ok(Then::Leave)) {
                    let _ = client.shutdown(Shutdown::Both);
                }
            }));
            threads.retain(|thread| !thread.is_finished());
        }
        for thread in threads {
            thread.join().expect("serving does not panic");
        }
    }

    fn serve(&self, client: &TcpStream) -> io::Result<Then> {
        client.set_nodelay(true)?;
        let mut from = BufReader::new(client);
        while let Some(head) = read_head(&mut from)? {
            let asked = self.note(&head);
            let manner = (lock(&self.choose))(&asked);
            let then = match manner {
                Manner::Pass => self.pass(&head, &asked, asked.expects, &mut from)?,
                Manner::SwallowExpect => self.pass(&head, &asked, false, &mut from)?,
                Manner::Buffer => self.buffer(&head, &asked, &mut from, client)?,
                Manner::Say(status, body) => say(status, body, client)?,
                Manner::StandStill(after) => {
                    go_on(&asked, client)?;
                    io::copy(&mut from.by_ref().take(after), &mut io::sink())?;
                    Then::Leave
                }
                Manner::Swallow => {
                    go_on(&asked, client)?;
                    io::copy(&mut from, &mut io::sink())?;
                    Then::Close
                }
                Manner::LoseAnswer => {
                    self.buffer(&head, &asked, &mut from, io::sink())?;
                    Then::Close
                }
            };
            if then != Then::Next {
                return Ok(then);
            }
        }
        Ok(Then::Close)
    }

    fn note(&self, head: &[String]) -> Asked {
        let mut first = head.first().map_or("", String::as_str).split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        let expects = header(head, "expect").is_some();
        let mut all = lock(&self.asked);
        let asked = Asked { method, path, expects, length: length(head), number: all.len() };
        all.push(asked.clone());
        asked
    }

    fn pass(
        &self,
        head: &[String],
        asked: &Asked,
        with_expect: bool,
        from: &mut BufReader<&TcpStream>,
    ) -> io::Result<Then> {
        let mut server = self.begin(head, with_expect)?;
        let client = *from.get_ref();
        if with_expect {
            let first = read_head(&mut server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if status(&first) != "100" {
                carry_answer(&first, asked, &mut server, client)?;
                return Ok(Then::Close);
            }
            write_head(&first, client)?;
        }
        copy_exactly(asked.length, from, server.get_mut())?;
        let answer = read_head(&mut server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        carry_answer(&answer, asked, &mut server, client)
    }

    fn buffer(
        &self,
        head: &[String],
        asked: &Asked,
        from: &mut BufReader<&TcpStream>,
        to: impl Write,
    ) -> io::Result<Then> {
        go_on(asked, from.get_ref())?;
        let mut body = Vec::new();
        copy_exactly(asked.length, from, &mut body)?;
        let mut server = self.begin(head, false)?;
        server.get_mut().write_all(&body)?;
        let answer = read_head(&mut server)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut whole = Vec::new();
        let then = carry_answer(&answer, asked, &mut server, &mut whole)?;
        let mut to = to;
        to.write_all(&whole)?;
        Ok(then)
    }

    /// Opens a connection to the receiver and sends the head.
    fn begin(&self, head: &[String], with_expect: bool) -> io::Result<BufReader<TcpStream>> {
        let mut server = TcpStream::connect(&self.target)?;
        server.set_nodelay(true)?;
        let is_kept = |line: &&String| with_expect || !line.to_ascii_lowercase().starts_with("expect:");
        let kept: Vec<String> = head.iter().filter(is_kept).cloned().collect();
        write_head(&kept, &mut server)?;
        Ok(BufReader::new(server))
    }
}

/// Sends 100 to a client that waits for it.
fn go_on(asked: &Asked, mut client: &TcpStream) -> io::Result<()> {
    if asked.expects { client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n") } else { Ok(()) }
}

fn say(status: u16, body: &str, mut client: &TcpStream) -> io::Result<Then> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    client.write_all(answer.as_bytes())?;
    Ok(Then::Close)
}

/// Reads the lines of a head, without the empty line that ends it; `None` if the connection ends first.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end_matches(['\r', '\n']) {
            "" => return Ok(Some(lines)),
            text => lines.push(text.to_owned()),
        }
    }
}

fn write_head(head: &[String], mut to: impl Write) -> io::Result<()> {
    to.write_all((head.join("\r\n") + "\r\n\r\n").as_bytes())
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let fields = head.iter().filter_map(|line| line.split_once(':'));
    fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn length(head: &[String]) -> u64 {
    header(head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn status(head: &[String]) -> &str {
    head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
}

fn carry_answer(
    head: &[String],
    asked: &Asked,
    from: &mut impl Read,
    mut to: impl Write,
) -> io::Result<Then> {
    write_head(head, &mut to)?;
    let has_body = asked.method != "HEAD";
    copy_exactly(if has_body { length(head) } else { 0 }, from, &mut to)?;
    let closes = header(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(if closes { Then::Close } else { Then::Next })
}

fn copy_exactly(length: u64, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let copied = io::copy(&mut from.by_ref().take(length), to)?;
    if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics under this lock")
}
