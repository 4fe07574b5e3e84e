//! Files that people change while a program runs. A changed file is read again, and an invalid change leaves the last
//! good value in force.

use std::fmt::Display;
use std::time::SystemTime;

use tracing::{error, info};

use crate::latest::Latest;

/// A set of files that are read together.
pub trait WatchedFiles: Send + Unpin + 'static {
    /// The content of the files.
    type Value: Send + Sync + Unpin + 'static;
    /// The reason why the files cannot be used.
    type Error: std::error::Error + Send + Sync + 'static;
    /// The name of the value in the log, in the plural.
    const WHAT: &'static str;

    /// Reads the files, if one of them has changed since the last read, and at the first call; otherwise returns
    /// `None`. Blocks.
    fn read_if_changed(&mut self) -> Result<Option<Self::Value>, Self::Error>;

    /// Returns what a maintainer can do about an error.
    fn help(_error: &Self::Error) -> &'static str {
        MEND
    }

    /// Logs the reminders about the value in force that are due at this time.
    fn remind(&mut self, _in_force: &Self::Value, _now: SystemTime) {}
}

const MEND: &str = "mend the file, it is read again within seconds";

/// The last good value, and whether the files are still valid.
#[derive(Debug)]
pub struct Kept<T> {
    latest: Latest<T>,
    /// The name of the value in the log, in the plural.
    what: &'static str,
    /// The last logged problem with the files, as long as it lasts.
    problem: Option<String>,
}

impl<T> Kept<T> {
    /// Creates a keeper that updates `latest`; the log calls it `what`, a plural.
    pub const fn new(what: &'static str, latest: Latest<T>) -> Self {
        Self { latest, what, problem: None }
    }

    /// Returns the value in force.
    pub const fn latest(&self) -> &Latest<T> {
        &self.latest
    }

    /// Returns true if the files cannot be used as they are.
    pub const fn is_failing(&self) -> bool {
        self.problem.is_some()
    }

    /// Applies the result of a read: a new value, no change, or an error. The beginning and the end of a problem are
    /// logged. Returns true if the value in force is that of the files.
    pub fn conclude(&mut self, outcome: Result<Option<T>, impl Display>) -> bool {
        let what = self.what;
        match outcome {
            Ok(changed) => {
                if let Some(value) = changed {
                    self.latest.publish(value);
                    info!(what, "watched files have changed and are in force");
                }
                if self.problem.take().is_some() {
                    info!(what, "watched files can be used again");
                }
            }
            Err(failure) => self.fail(&failure, MEND),
        }
        !self.is_failing()
    }

    /// Records that the files cannot be used. Logs the reason if it is not the last logged one.
    pub fn fail(&mut self, reason: &impl Display, help: &str) {
        let reason = reason.to_string();
        if self.problem.as_ref() != Some(&reason) {
            error!(what = self.what, error = %reason, help, "watched files cannot be used, the last good ones stay in force");
            self.problem = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_change_takes_nothing_away() {
        let mut kept = Kept::new("numbers", Latest::new(1));
        assert!(kept.conclude(Ok::<_, &str>(None)));
        assert_eq!((*kept.latest().now(), kept.is_failing()), (1, false));
        assert!(!kept.conclude(Err("not a number")));
        assert_eq!((*kept.latest().now(), kept.is_failing()), (1, true));
        assert!(kept.conclude(Ok::<_, &str>(Some(2))));
        assert_eq!((*kept.latest().now(), kept.is_failing()), (2, false));
    }
}
