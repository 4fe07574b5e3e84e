//! A bad network: a TCP proxy that cuts connections, lets them trickle, and holds them up.
//!
//! What happens to a connection is drawn from a seed, in the order in which connections come. It knows nothing of
//! HTTP: bytes are bytes. Deliberately never changes or reorders one, which TCP would not do either.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A proxy on a free port of the loopback. Dropping it cuts what is open and waits for its threads.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    is_calm: AtomicBool,
    carried: AtomicU64,
    rng: Mutex<StdRng>,
    tally: Mutex<BTreeMap<&'static str, usize>>,
    ended: Mutex<bool>,
    end: Condvar,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// Nothing.
    Fair,
    /// It is cut after so many bytes of the client.
    CutRequest(u64),
    /// It is cut after so many bytes of the server, which may be in the middle of an answer or before it.
    CutAnswer(u64),
    /// What the client sends passes in small pieces.
    Trickle,
    /// It stands still for so long after so many bytes of the client.
    Stall(u64, Duration),
}

/// How often a pump looks whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a trickle waits between two pieces.
const DRIP: Duration = Duration::from_millis(2);
/// What passes at once.
const PIECE: usize = 16 * 1024;
/// What passes at once in a trickle.
const DROP: usize = 1024;

/// What [`Proxy::tally`] calls a connection that was left in peace.
const FAIR: &str = "fair";
/// The same for one that was cut after some bytes of the client.
pub const CUT_REQUEST: &str = "cut request";
/// The same for one that was cut after some bytes of the server.
pub const CUT_ANSWER: &str = "cut answer";
/// The same for one on which the client's bytes passed piece by piece.
pub const TRICKLE: &str = "trickle";
/// The same for one that stood still for a while.
pub const STALL: &str = "stall";

impl Proxy {
    /// Begins to carry connections to `target`, `http://127.0.0.1:PORT`; what becomes of them follows the seed.
    pub fn start(target: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target: target.trim_start_matches("http://").to_owned(),
            is_calm: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            tally: Mutex::default(),
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || of_thread.accept(&listener)));
        Self { address, shared, accepting }
    }

    /// The address for clients, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that come from now on are carried without any trouble.
    pub fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
    }

    /// How many bytes were carried so far, both ways together.
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// How many connections met with what, counted when it came about: a cut that lay behind the last byte is none.
    pub fn tally(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.tally).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.end.notify_all();
        // Wakes the thread that accepts; where that is gone already, nothing is to be done.
        let _ = TcpStream::connect(self.address);
        let joined = self.accepting.take().map(JoinHandle::join);
        assert!(matches!(joined, Some(Ok(()))) || thread::panicking(), "the proxy panicked");
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut carriers = Vec::new();
        loop {
            let client = listener.accept();
            if self.has_ended() {
                break;
            }
            let Ok((client, _)) = client else { continue };
            let (shared, mood) = (Arc::clone(&self), self.draw());
            carriers.push(thread::spawn(move || shared.carry(&client, mood)));
            carriers.retain(|carrier| !carrier.is_finished());
        }
        for carrier in carriers {
            carrier.join().expect("a carrier does not panic");
        }
    }

    fn draw(&self) -> Mood {
        let mut rng = lock(&self.rng);
        let bytes = 1_u64 << rng.random_range(4..18_u32);
        let (dice, bytes) = (rng.random_range(0..10), rng.random_range(0..bytes));
        let pause = Duration::from_millis(rng.random_range(50..500));
        match dice {
            _ if self.is_calm.load(Ordering::Relaxed) => Mood::Fair,
            0..3 => Mood::Fair,
            3..5 => Mood::CutRequest(bytes),
            5..7 => Mood::CutAnswer(bytes % 400),
            7 => Mood::Trickle,
            _ => Mood::Stall(bytes, pause),
        }
    }

    fn count(&self, what: &'static str) {
        *lock(&self.tally).entry(what).or_default() += 1;
    }

    /// Carries one connection to its end, both ways.
    fn carry(&self, client: &TcpStream, mood: Mood) {
        // A server that is down: the client sees a connection that ends at once.
        let Ok(server) = TcpStream::connect(&self.target) else { return };
        let (mut up, mut down) = (Flow::default(), Flow::default());
        match mood {
            Mood::Fair => self.count(FAIR),
            Mood::CutRequest(bytes) => up.cut = Some((bytes, CUT_REQUEST)),
            Mood::CutAnswer(bytes) => down.cut = Some((bytes, CUT_ANSWER)),
            Mood::Trickle => (up.piece, up.pause) = (DROP, DRIP),
            Mood::Stall(bytes, pause) => up.stall = Some((bytes, pause)),
        }
        thread::scope(|scope| {
            scope.spawn(|| self.pump(&server, client, down));
            self.pump(client, &server, up);
        });
    }

    /// Carries one direction; what ends it other than the sender's own end cuts both.
    fn pump(&self, from: &TcpStream, to: &TcpStream, flow: Flow) {
        let was_cut = !self.carry_over(from, to, flow).unwrap_or(false);
        // A socket that is closed already needs no shutting down.
        let _ = to.shutdown(if was_cut { Shutdown::Both } else { Shutdown::Write });
        if was_cut {
            let _ = from.shutdown(Shutdown::Both);
        }
    }

    /// True where the sender came to its own end.
    fn carry_over(&self, mut from: &TcpStream, mut to: &TcpStream, mut flow: Flow) -> io::Result<bool> {
        from.set_read_timeout(Some(LOOK))?;
        to.set_write_timeout(Some(10 * LOOK))?;
        to.set_nodelay(true)?;
        let (mut buffer, mut passed, mut has_trickled) = (vec![0; flow.piece], 0, false);
        while !self.has_ended() {
            let most = flow.cut.map_or(u64::MAX, |(end, _)| end - passed).min(flow.piece as u64);
            if let (0, Some((_, name))) = (most, flow.cut) {
                self.count(name);
                break;
            }
            let most = usize::try_from(most).unwrap_or(flow.piece);
            let length = match from.read(&mut buffer[..most]) {
                Ok(0) => return Ok(true),
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error),
            };
            passed += length as u64;
            if let Some((_, pause)) = flow.stall.take_if(|(at, _)| passed > *at) {
                self.count(STALL);
                self.pause(pause);
            }
            to.write_all(&buffer[..length])?;
            self.carried.fetch_add(length as u64, Ordering::Relaxed);
            if !flow.pause.is_zero() {
                // The first piece alone would be no trickle.
                if passed > DROP as u64 && !std::mem::replace(&mut has_trickled, true) {
                    self.count(TRICKLE);
                }
                self.pause(flow.pause);
            }
        }
        Ok(false)
    }

    /// Waits for the end of the proxy, and not longer than that.
    fn pause(&self, at_most: Duration) {
        let ended = lock(&self.ended);
        drop(self.end.wait_timeout_while(ended, at_most, |ended| !*ended).expect("nobody panics under it"));
    }

    fn has_ended(&self) -> bool {
        *lock(&self.ended)
    }
}

/// How one direction flows.
#[derive(Debug, Clone, Copy)]
struct Flow {
    piece: usize,
    pause: Duration,
    /// After how many bytes it is cut, and what that counts as.
    cut: Option<(u64, &'static str)>,
    stall: Option<(u64, Duration)>,
}

impl Default for Flow {
    fn default() -> Self {
        Self { piece: PIECE, pause: Duration::ZERO, cut: None, stall: None }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics under this lock")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Sends `bytes` through a flow, and gives back what arrived, whether the sender came to its own end, and what was
    /// counted.
    fn through(flow: Flow, bytes: &[u8]) -> (Vec<u8>, bool, BTreeMap<&'static str, usize>) {
        let proxy = Proxy::start("127.0.0.1:1", 0);
        let pair = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (near, listener.accept().unwrap().0)
        };
        let ((mut sender, from), (to, mut arrived)) = (pair(), pair());
        sender.write_all(bytes).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
        let came_to_its_end = proxy.shared.carry_over(&from, &to, flow).unwrap();
        drop(to);
        let mut all = Vec::new();
        arrived.read_to_end(&mut all).unwrap();
        (all, came_to_its_end, proxy.tally())
    }

    fn bytes() -> Vec<u8> {
        (0..50_000_u32).map(|n| n.to_le_bytes()[0]).collect()
    }

    #[test]
    fn a_cut_comes_after_exactly_as_many_bytes_as_were_said() {
        for end in [0, 1, 40_001] {
            let cut = Some((end, CUT_REQUEST));
            let (arrived, came_to_its_end, tally) = through(Flow { cut, ..Flow::default() }, &bytes());
            let length = usize::try_from(end).unwrap();
            assert_eq!((arrived, came_to_its_end), (bytes()[..length].to_vec(), false));
            assert_eq!(tally, BTreeMap::from([(CUT_REQUEST, 1)]));
        }
        let cut = Some((50_001, CUT_REQUEST));
        let behind_the_end = through(Flow { cut, ..Flow::default() }, &bytes());
        assert_eq!(behind_the_end, (bytes(), true, BTreeMap::new()));
    }

    #[test]
    fn a_stall_and_a_trickle_take_their_time_and_lose_nothing() {
        let pause = Duration::from_millis(30);
        for (flow, name, least) in [
            (Flow { stall: Some((100, pause)), ..Flow::default() }, STALL, pause),
            (Flow { piece: DROP, pause: DRIP, ..Flow::default() }, TRICKLE, DRIP * 48),
        ] {
            let begin = Instant::now();
            assert_eq!(through(flow, &bytes()), (bytes(), true, BTreeMap::from([(name, 1)])));
            assert!(begin.elapsed() >= least, "{name}: {:?}", begin.elapsed());
        }
    }
}
