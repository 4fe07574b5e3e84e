//! Waiting for a condition in another process, always with a deadline and a message.

use std::time::{Duration, Instant};

/// Deadline that is long enough for a slow machine, so that exceeding it shows a fault.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Interval between two checks of a condition, which is short compared with every wait.
const LOOK: Duration = Duration::from_millis(5);

/// Calls `probe` until it returns a value, and returns that; panics with `what` after `deadline`.
pub fn wait_until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} for this, in vain: {what}");
        pause();
    }
}

/// Waits for a condition that may never come true, at most for `deadline`. Returns true if it did.
pub fn wait_at_most(deadline: Duration, mut probe: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    while Instant::now() < end {
        if probe() {
            return true;
        }
        pause();
    }
    false
}

/// Sleeps for [`LOOK`]. This is the only sleep of the tests, because a condition in another process can only be polled.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn pause() {
    std::thread::sleep(LOOK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_the_probe_found() {
        let mut looks = 0;
        let found = wait_until("the third look", PATIENCE, || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }
}
