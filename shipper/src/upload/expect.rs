//! Whether uploads wait for `100 Continue`: not for a while after nobody answered the `Expect` header of one.
//!
//! Pure but for the lock. Clones share what is known, so that a proxy that swallows the header costs one wait and one
//! entry in the log, whatever the number of uploaders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a receiver that ignored an `Expect` is not sent another one.
const WITHOUT_EXPECT: Duration = Duration::from_mins(10);

/// What this host knows of the way to the receiver in this matter.
#[derive(Debug, Clone, Default)]
pub struct Expect(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    without_until: Option<Instant>,
    is_ignored: bool,
}

impl Expect {
    /// Whether an upload that begins at `now` waits for `100 Continue`.
    pub fn is_sent(&self, now: Instant) -> bool {
        self.state().without_until.is_none_or(|until| now >= until)
    }

    /// An upload that sent the header went through only without it. Whether that is news.
    pub fn was_ignored(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.without_until = Some(now + WITHOUT_EXPECT);
        !std::mem::replace(&mut state.is_ignored, true)
    }

    /// An upload that sent the header was answered. Whether that is news.
    pub fn was_answered(&self) -> bool {
        let mut state = self.state();
        state.without_until = None;
        std::mem::take(&mut state.is_ignored)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_header_is_news_once_for_all_uploaders_and_tried_again_after_a_while() {
        let (expect, now) = (Expect::default(), Instant::now());
        let of_another = expect.clone();
        assert!(expect.is_sent(now) && !expect.was_answered());
        assert!(expect.was_ignored(now));
        assert!(!of_another.is_sent(now) && !of_another.was_ignored(now));
        let later = now + WITHOUT_EXPECT;
        assert!(of_another.is_sent(later), "it may have been mended");
        assert!(!expect.was_ignored(later), "still the same");
        assert!(of_another.was_answered() && expect.is_sent(later));
        assert!(expect.was_ignored(later), "news again");
    }
}
