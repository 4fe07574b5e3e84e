//! Header names and the formats of their values (protocol 2.1 and 2.4). Names are lower case, as HTTP compares them.

use std::fmt;
use std::str::FromStr;

/// The sha256 of the body, on a PUT and on the answer to a HEAD.
pub const CONTENT_SHA256: &str = "x-content-sha256";
/// The commit that recorded the episode.
pub const CODE_COMMIT: &str = "x-cis490-code-commit";
/// The version of the episode format; `1`.
pub const SCHEMA_VERSION: &str = "x-schema-version";
/// Repeats the host of the path.
pub const LAB_HOST: &str = "x-lab-host";
/// Repeats the episode of the path.
pub const EPISODE_ID: &str = "x-episode-id";
/// On a 2xx answer to a PUT whose commit is in the window: the position of that commit.
pub const COMMIT_POSITION: &str = "x-cis490-commit-position";
/// The media type of an episode.
pub const EPISODE_MEDIA_TYPE: &str = "application/zstd";
/// The media type of an error body (RFC 9457).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// The position of a commit in the window: 1 is the head, `window` the oldest that is still admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPosition {
    /// 1 for the head.
    pub position: usize,
    /// The size of the window as configured.
    pub window: usize,
}

impl CommitPosition {
    /// Returns true if the commit is in the last tenth of the window: after a few more commits its episodes are
    /// refused.
    pub const fn is_ageing(self) -> bool {
        self.position.saturating_mul(10) > self.window.saturating_mul(9)
    }
}

impl fmt::Display for CommitPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.position, self.window)
    }
}

/// The error for a text that is not `POSITION/WINDOW`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a commit position has the form 7/100")]
pub struct NotAPosition;

impl FromStr for CommitPosition {
    type Err = NotAPosition;
    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (position, window) = text.split_once('/').ok_or(NotAPosition)?;
        let number = |text: &str| text.parse().map_err(|_| NotAPosition);
        Ok(Self { position: number(position)?, window: number(window)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_tenth_of_the_window_is_ageing() {
        for (position, window, expected) in [
            (1, 100, false),
            (90, 100, false),
            (91, 100, true),
            (100, 100, true),
            (4, 5, false),
            (5, 5, true),
        ] {
            assert_eq!(CommitPosition { position, window }.is_ageing(), expected, "{position}/{window}");
        }
    }

    #[test]
    fn a_position_reads_back() {
        let position = CommitPosition { position: 7, window: 100 };
        assert_eq!(position.to_string(), "7/100");
        assert_eq!("7/100".parse(), Ok(position));
        for odd in ["", "7", "7/", "/100", "seven/100", "7/100/1"] {
            assert_eq!(odd.parse::<CommitPosition>(), Err(NotAPosition), "{odd}");
        }
    }
}
