//! Files that people change while a program runs: read again when they changed, and a bad change takes nothing away.

use std::fmt::Display;
use std::time::SystemTime;

use tracing::{error, info};

use crate::latest::Latest;

/// Files that are read together.
pub trait WatchedFiles: Send + Unpin + 'static {
    /// What they say.
    type Value: Send + Sync + Unpin + 'static;
    /// Why they cannot be used.
    type Error: std::error::Error + Send + Sync + 'static;
    /// What the log calls it, in the plural.
    const WHAT: &'static str;

    /// What they say, where one of them is another than it was when they were read last, and the first time. Blocks.
    fn read_if_changed(&mut self) -> Result<Option<Self::Value>, Self::Error>;

    /// What a maintainer can do about an error.
    fn help(_error: &Self::Error) -> &'static str {
        MEND
    }

    /// Logs what is due at this time, of what is in force.
    fn remind(&mut self, _in_force: &Self::Value, _now: SystemTime) {}
}

const MEND: &str = "mend the file, it is read again within seconds";

/// What was learned last, and whether the files still say so.
#[derive(Debug)]
pub struct Kept<T> {
    latest: Latest<T>,
    /// For the log, in the plural.
    what: &'static str,
    /// What was last said to be wrong with the files, while it is.
    problem: Option<String>,
}

impl<T> Kept<T> {
    /// Keeps `latest` current; `what` is what the log calls it, in the plural.
    pub const fn new(what: &'static str, latest: Latest<T>) -> Self {
        Self { latest, what, problem: None }
    }

    /// What is in force.
    pub const fn latest(&self) -> &Latest<T> {
        &self.latest
    }

    /// Whether the files cannot be used as they are.
    pub const fn is_failing(&self) -> bool {
        self.problem.is_some()
    }

    /// Takes in what a read of the files came to: something else, nothing new, or that they cannot be used, which is
    /// logged when it begins and when it is over. True where what is in force is what they say.
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

    /// Takes in that the files cannot be used. Another reason than the last is logged too.
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
