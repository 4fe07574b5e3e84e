//! The deadline that counts at each moment of an upload.
//!
//! Pure, except for the cell that body and guard share; both live on one thread. awc reads no answer while it sends. So
//! its requests for the next chunk of the body are the only thing to watch.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The deadlines of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From the connection to `100 Continue`.
    pub continue_wait: Duration,
    /// From one chunk of the body to the next.
    pub stall: Duration,
    /// From the last byte to the answer; the receiver syncs in this time.
    pub answer: Duration,
    /// From a small request to the head of its answer. The body of an answer gets as long again.
    pub small: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            continue_wait: Duration::from_secs(10),
            stall: Duration::from_mins(1),
            answer: Duration::from_mins(2),
            small: Duration::from_secs(15),
        }
    }
}

impl Deadlines {
    /// Returns the deadlines of a host that lets an upload stand still for `stall`.
    pub fn with_stall(stall: Duration) -> Self {
        Self { stall, answer: 2 * stall, ..Self::default() }
    }
}

/// The deadline that an upload has missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Late {
    /// Neither `100 Continue` nor a refusal came: something on the way may have swallowed the `Expect`.
    #[error("nobody answered the Expect header within {} s", .0.as_secs_f32())]
    Continue(Duration),
    /// The receiver took no more of the body.
    #[error("the receiver took no more of the body for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// The whole body was sent, but no answer came.
    #[error("no answer within {} s of the last byte", .0.as_secs_f32())]
    Answer(Duration),
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The head was sent, or will be as soon as there is a connection.
    Waiting(Instant),
    /// The body is being sent; the time of its latest chunk.
    Sending(Instant),
    /// The rate limit holds the next chunk back, which is not a fault.
    HeldBack,
    /// The whole body was sent.
    Sent(Instant),
}

/// The progress of an upload.
#[derive(Debug)]
pub struct Progress {
    phase: Cell<Phase>,
    /// Wakes the guard when another deadline applies, because it may be an earlier one.
    another_phase: Notify,
    deadlines: Deadlines,
}

impl Progress {
    /// Begins an upload now.
    pub fn begin(deadlines: Deadlines) -> Self {
        Self { phase: Cell::new(Phase::Waiting(Instant::now())), another_phase: Notify::new(), deadlines }
    }

    /// Records that awc asked for a chunk of the body, or got one.
    pub fn chunk(&self) {
        if !matches!(self.phase.get(), Phase::Sending(_)) {
            self.another_phase.notify_one();
        }
        self.phase.set(Phase::Sending(Instant::now()));
    }

    /// Records that this host holds the next chunk back until the next [`Self::chunk`].
    pub fn held_back(&self) {
        self.another_phase.notify_one();
        self.phase.set(Phase::HeldBack);
    }

    /// Records that the whole body was handed over.
    pub fn sent(&self) {
        self.another_phase.notify_one();
        self.phase.set(Phase::Sent(Instant::now()));
    }

    /// Returns true if a byte of the body may have left this host.
    pub fn body_began(&self) -> bool {
        !matches!(self.phase.get(), Phase::Waiting(_))
    }

    /// Waits until the upload is late. Calls `last_connected` for each deadline.
    pub async fn late(&self, last_connected: impl Fn() -> Option<Instant>) -> Late {
        loop {
            let Some((deadline, late)) = self.deadline(last_connected()) else {
                self.another_phase.notified().await;
                continue;
            };
            if Instant::now() >= deadline {
                return late;
            }
            // Woken early or not, the loop computes the deadline again.
            let _ = timeout_at(deadline, self.another_phase.notified()).await;
        }
    }

    /// Returns the time at which the upload is late if nothing moves, and the missed deadline. `None` while it is held
    /// back.
    fn deadline(&self, last_connected: Option<Instant>) -> Option<(Instant, Late)> {
        let Deadlines { continue_wait, stall, answer, .. } = self.deadlines;
        match self.phase.get() {
            Phase::Waiting(begin) => {
                let since = last_connected.map_or(begin, |connected| connected.max(begin));
                Some((since + continue_wait, Late::Continue(continue_wait)))
            }
            Phase::Sending(since) => Some((since + stall, Late::Stalled(stall))),
            Phase::HeldBack => None,
            Phase::Sent(since) => Some((since + answer, Late::Answer(answer))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn an_upload_may_stand_still_as_long_as_the_configuration_says_by_default() {
        let queue = crate::config::Queue::default();
        assert_eq!(Deadlines::with_stall(queue.stall_timeout()), Deadlines::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_deadline_of_the_next_phase_is_not_overslept() {
        let deadlines = Deadlines { answer: Duration::from_secs(1), ..Deadlines::default() };
        let progress = Rc::new(Progress::begin(deadlines));
        let begin = Instant::now();
        let guard = progress.late(|| None);
        let upload = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            progress.chunk();
            tokio::time::sleep(Duration::from_secs(2)).await;
            progress.sent();
        };
        let (late, ()) = tokio::join!(guard, upload);
        assert_eq!((late, begin.elapsed()), (Late::Answer(deadlines.answer), Duration::from_secs(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_rate_limit_holds_back_is_not_late_and_counts_anew_once_it_goes() {
        let deadlines = Deadlines::default();
        let progress = Rc::new(Progress::begin(deadlines));
        let begin = Instant::now();
        let upload = async {
            progress.chunk();
            progress.held_back();
            tokio::time::sleep(deadlines.stall * 3).await;
            progress.chunk();
        };
        let (late, ()) = tokio::join!(progress.late(|| None), upload);
        assert_eq!((late, begin.elapsed()), (Late::Stalled(deadlines.stall), deadlines.stall * 4));
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline_and_progress_moves_it() {
        let deadlines = Deadlines::default();
        let progress = Progress::begin(deadlines);
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(progress.deadline(None), Some((after(10), Late::Continue(deadlines.continue_wait))));
        assert_eq!(
            progress.deadline(Some(after(4))).map(|(at, _)| at),
            Some(after(14)),
            "a slow connection does not shorten the wait"
        );
        assert!(!progress.body_began());
        tokio::time::advance(Duration::from_secs(5)).await;
        progress.chunk();
        assert_eq!(progress.deadline(None), Some((after(65), Late::Stalled(deadlines.stall))));
        tokio::time::advance(Duration::from_secs(30)).await;
        progress.chunk();
        assert_eq!(progress.deadline(None).map(|(at, _)| at), Some(after(95)));
        progress.sent();
        assert_eq!(progress.deadline(None), Some((after(155), Late::Answer(deadlines.answer))));
        assert!(progress.body_began());
    }
}
