//! The last success and the last failure of storing, so that health does not ask a disk that may hang.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The last success of an upload, and the last failure of the disk in any request.
#[derive(Debug, Default)]
pub struct Storing(Mutex<Told>);

/// A copy of the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// True if the last try failed.
    pub fails: bool,
    /// The time of the last success.
    pub last_success: Option<SystemTime>,
    /// The time of the last failure.
    pub last_failure: Option<SystemTime>,
}

impl Storing {
    /// Records a success; returns true if the last try had failed.
    pub fn succeeded(&self, now: SystemTime) -> bool {
        let mut told = self.lock();
        told.last_success = Some(now);
        std::mem::replace(&mut told.fails, false)
    }

    /// Records a failure; returns true if the last try had not failed.
    pub fn failed(&self, now: SystemTime) -> bool {
        let mut told = self.lock();
        told.last_failure = Some(now);
        !std::mem::replace(&mut told.fails, true)
    }

    /// Returns a copy of the state.
    pub fn told(&self) -> Told {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_turn_from_good_to_bad_and_back_is_news() {
        let (storing, at) = (Storing::default(), |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        let news = [
            storing.succeeded(at(1)),
            storing.failed(at(2)),
            storing.failed(at(3)),
            storing.succeeded(at(4)),
            storing.succeeded(at(5)),
        ];
        assert_eq!(news, [false, true, false, true, false]);
        assert_eq!(
            storing.told(),
            Told { fails: false, last_success: Some(at(5)), last_failure: Some(at(3)) }
        );
    }
}
