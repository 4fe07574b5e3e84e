//! A bad network: a TCP proxy that cuts, slows down and stalls connections.
//!
//! The seed decides what happens to each connection, in the order in which connections arrive. The proxy does not
//! understand HTTP. It deliberately never changes or reorders bytes, because TCP would not do so either.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A proxy on a free port of the loopback interface. Dropping it cuts open connections and waits for its threads.
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

/// The fate of a connection.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// It is passed on unchanged.
    Fair,
    /// It is cut after this many bytes of the client.
    CutRequest(u64),
    /// It is cut after this many bytes of the server, which may be before or within an answer.
    CutAnswer(u64),
    /// The client's bytes pass in small pieces.
    Trickle,
    /// It stalls for this long after this many bytes of the client.
    Stall(u64, Duration),
}

/// Interval between two checks of a pump whether it should end.
const LOOK: Duration = Duration::from_millis(100);
/// Pause of a trickle between two pieces.
const DRIP: Duration = Duration::from_millis(2);
/// Maximum number of bytes that pass at once.
const PIECE: usize = 16 * 1024;
/// Maximum number of bytes that pass at once in a trickle.
const DROP: usize = 1024;

/// Name in [`Proxy::tally`] of a connection that was passed on unchanged.
const FAIR: &str = "fair";
/// Name in [`Proxy::tally`] of a connection that was cut after some bytes of the client.
pub const CUT_REQUEST: &str = "cut request";
/// Name in [`Proxy::tally`] of a connection that was cut after some bytes of the server.
pub const CUT_ANSWER: &str = "cut answer";
/// Name in [`Proxy::tally`] of a connection on which the client's bytes passed in small pieces.
pub const TRICKLE: &str = "trickle";
/// Name in [`Proxy::tally`] of a connection that stalled for a while.
pub const STALL: &str = "stall";

impl Proxy {
    /// Starts to carry connections to `target`, `http://127.0.0.1:PORT`; the seed decides their fates.
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

    /// Returns the address for clients, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Carries new connections without any trouble from now on.
    pub fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::Relaxed);
    }

    /// Returns the number of bytes carried so far, in both directions together.
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Relaxed)
    }

    /// Returns the number of connections by fate. A fate counts when it takes effect, so a cut behind the last byte
    /// does not count.
    pub fn tally(&self) -> BTreeMap<&'static str, usize> {
        lock(&self.shared.tally).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.end.notify_all();
        // Wakes the accepting thread. An error means that the thread has ended already.
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

    /// Carries one connection to its end, in both directions.
    fn carry(&self, client: &TcpStream, mood: Mood) {
        // If the server is down, the client sees a connection that ends at once.
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

    /// Carries one direction. Any end other than the sender's own cuts both directions.
    fn pump(&self, from: &TcpStream, to: &TcpStream, flow: Flow) {
        let was_cut = !self.carry_over(from, to, flow).unwrap_or(false);
        // A socket may be closed already, so errors are ignored.
        let _ = to.shutdown(if was_cut { Shutdown::Both } else { Shutdown::Write });
        if was_cut {
            let _ = from.shutdown(Shutdown::Both);
        }
    }

    /// Returns true if the sender ended the direction itself.
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
                // The first piece alone is not a trickle.
                if passed > DROP as u64 && !std::mem::replace(&mut has_trickled, true) {
                    self.count(TRICKLE);
                }
                self.pause(flow.pause);
            }
        }
        Ok(false)
    }

    /// Waits for the end of the proxy, at most for `at_most`.
    fn pause(&self, at_most: Duration) {
        let ended = lock(&self.ended);
        drop(self.end.wait_timeout_while(ended, at_most, |ended| !*ended).expect("nobody panics under it"));
    }

    fn has_ended(&self) -> bool {
        *lock(&self.ended)
    }
}

/// The parameters of one direction.
#[derive(Debug, Clone, Copy)]
struct Flow {
    piece: usize,
    pause: Duration,
    /// The number of bytes after which it is cut, and the name in the tally.
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

    /// Sends `bytes` through a flow. Returns the bytes that arrived, true if the sender ended the direction itself, and
    /// the tally.
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
