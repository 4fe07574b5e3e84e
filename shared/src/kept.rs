//! What was learned last from files that people change while a program runs: a bad change takes nothing away.

use std::fmt::Display;

use tracing::{error, info};

use crate::latest::Latest;

/// What counts, and whether the files still say so.
#[derive(Debug)]
pub struct Kept<T> {
    latest: Latest<T>,
    /// For the log.
    what: &'static str,
    is_failing: bool,
}

impl<T> Kept<T> {
    /// Keeps `latest` current; `what` is what the log calls it.
    pub const fn new(what: &'static str, latest: Latest<T>) -> Self {
        Self { latest, what, is_failing: false }
    }

    /// What counts now.
    pub const fn latest(&self) -> &Latest<T> {
        &self.latest
    }

    /// Whether the files cannot be used as they are.
    pub const fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Takes in what a look at the files came to: something else, nothing new, or that they cannot be used, which is
    /// logged when it begins and when it is over. True where what counts is what they say.
    pub fn conclude(&mut self, outcome: Result<Option<T>, impl Display>) -> bool {
        let what = self.what;
        match outcome {
            Ok(changed) => {
                if let Some(value) = changed {
                    self.latest.publish(value);
                    info!(what, "credentials have changed and are in force");
                }
                if std::mem::take(&mut self.is_failing) {
                    info!(what, "credentials can be used again");
                }
                true
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    error!(what, error = %failure, help = "mend the file, it is looked at every few seconds", "the last good credentials stay in force");
                }
                false
            }
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
