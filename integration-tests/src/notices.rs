//! The service manager's end of the notification socket, which receives the messages of a program.
//!
//! A thread reads all the time, because a program would block once the socket is full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// The time when a line arrived, and the line.
type Notice = (Instant, String);

/// All messages of one program, line by line, while this value exists.
pub(crate) struct Notices {
    address: PathBuf,
    heard: Arc<Mutex<Vec<Notice>>>,
    thread: Option<JoinHandle<()>>,
}

impl Notices {
    /// Listens at `address`, which the program gets as `NOTIFY_SOCKET`.
    pub(crate) fn listen(address: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&address).expect("a socket in the sandbox");
        // A program that runs as another user must be able to send, too. The sandbox keeps strangers out.
        fs::set_permissions(&address, fs::Permissions::from_mode(0o666)).expect("our own socket");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let heard = Arc::clone(&heard);
            move || hear(&socket, &heard)
        });
        Self { address, heard, thread: Some(thread) }
    }

    /// Returns the address to which the program sends.
    pub(crate) fn address(&self) -> &Path {
        &self.address
    }

    /// Returns the result of `wanted` for the first line that it accepts.
    pub(crate) fn find<T>(&self, mut wanted: impl FnMut(&String) -> Option<T>) -> Option<T> {
        let heard = self.heard.lock().expect("nobody panics under this lock");
        heard.iter().find_map(|(_, line)| wanted(line))
    }

    /// Returns each time when this line arrived.
    pub(crate) fn times(&self, wanted: &str) -> Vec<Instant> {
        let heard = self.heard.lock().expect("nobody panics under this lock");
        heard.iter().filter(|(_, line)| line == wanted).map(|(when, _)| *when).collect()
    }
}

/// Reads until an empty message arrives, which no program sends.
fn hear(socket: &UnixDatagram, heard: &Mutex<Vec<Notice>>) {
    let mut buffer = [0; 8192];
    while let Ok(length @ 1..) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        let notices = text.lines().map(|line| (Instant::now(), line.to_owned()));
        heard.lock().expect("nobody panics under this lock").extend(notices);
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], &self.address));
        // A thread that could not be told to end ends with the process; waiting for it would hang.
        if let (Ok(_), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::{PATIENCE, wait_until};

    #[test]
    fn a_program_that_says_much_is_heard_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let notices = Notices::listen(dir.path().join("notify"));
        let program = UnixDatagram::unbound().unwrap();
        for n in 0..1000 {
            program.send_to(format!("STATUS={n}\nWATCHDOG=1").as_bytes(), notices.address()).unwrap();
        }
        let last = |line: &String| (line == "STATUS=999").then_some(());
        wait_until("the last line is heard", PATIENCE, || notices.find(last));
        let times = notices.times("WATCHDOG=1");
        assert!(times.len() >= 999 && times.is_sorted(), "{}", times.len());
    }
}
