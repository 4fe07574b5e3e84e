//! The service manager's end of the notification socket: hears what a program says about itself.
//!
//! It reads all the time: a program whose manager does not listen would block once the socket is full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

/// A line, and when it was heard.
type Notice = (Instant, String);

/// Everything that one program has said, line by line, for as long as this lives.
pub(crate) struct Notices {
    address: PathBuf,
    heard: Arc<Mutex<Vec<Notice>>>,
    thread: Option<JoinHandle<()>>,
}

impl Notices {
    /// Listens at `address`, which goes to the program as `NOTIFY_SOCKET`.
    pub(crate) fn listen(address: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&address).expect("a socket in the sandbox");
        // A program that runs as another user must be heard as well; strangers do not get into the sandbox.
        fs::set_permissions(&address, fs::Permissions::from_mode(0o666)).expect("our own socket");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let heard = Arc::clone(&heard);
            move || hear(&socket, &heard)
        });
        Self { address, heard, thread: Some(thread) }
    }

    /// Where the program is to send.
    pub(crate) fn address(&self) -> &Path {
        &self.address
    }

    /// The first line so far that `wanted` takes.
    pub(crate) fn find<T>(&self, mut wanted: impl FnMut(&String) -> Option<T>) -> Option<T> {
        let heard = self.heard.lock().expect("nobody panics under this lock");
        heard.iter().find_map(|(_, line)| wanted(line))
    }

    /// When a line was heard, each time.
    pub(crate) fn times(&self, wanted: &str) -> Vec<Instant> {
        let heard = self.heard.lock().expect("nobody panics under this lock");
        heard.iter().filter(|(_, line)| line == wanted).map(|(when, _)| *when).collect()
    }
}

/// Reads until an empty message, which no program sends.
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
        // Where the thread could not be told to end, it ends with the process; waiting for it would hang.
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
