//! How storing goes: when it last succeeded and failed, so that nobody has to ask a disk that may not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The last success and the last failure of the disk, by what became of uploads and reports.
#[derive(Debug, Default)]
pub struct Storing(Mutex<Told>);

/// What is known at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the last try failed.
    pub fails: bool,
    /// When something was last stored.
    pub last_success: Option<SystemTime>,
    /// When the disk last failed.
    pub last_failure: Option<SystemTime>,
}

impl Storing {
    /// Something was stored; true where that had failed before.
    pub fn succeeded(&self, now: SystemTime) -> bool {
        let mut told = self.lock();
        told.last_success = Some(now);
        std::mem::replace(&mut told.fails, false)
    }

    /// The disk failed; true where it had not before.
    pub fn failed(&self, now: SystemTime) -> bool {
        let mut told = self.lock();
        told.last_failure = Some(now);
        !std::mem::replace(&mut told.fails, true)
    }

    /// How it goes.
    pub fn told(&self) -> Told {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Nothing can panic while it is held.
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
