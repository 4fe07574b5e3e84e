//! The amount of work of tests that find more with more work, but ever less of it: rounds, chances, episodes.
//!
//! One variable sets it for all tests, `CIS490_DEPTH`. docs/testing.md says what each depth runs and how long it takes.
//! Each depth covers all system calls that are killed or failed, all rules of losing, and all steps that are left out.

/// The depth of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// While a person edits: a quick check.
    Quick,
    /// The checks that a change must pass.
    Gate,
    /// The checks for a night.
    Deep,
}

impl Depth {
    /// Returns the depth in `CIS490_DEPTH`, or `Quick` if it is unset or empty. Panics at an unknown word.
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    pub fn chosen() -> Self {
        match std::env::var("CIS490_DEPTH").as_deref() {
            Err(_) | Ok("" | "quick") => Self::Quick,
            Ok("gate") => Self::Gate,
            Ok("deep") => Self::Deep,
            Ok(other) => panic!("CIS490_DEPTH is `{other}`: it may be quick, gate or deep"),
        }
    }

    /// Returns one of three values, by depth.
    pub fn pick<T>(self, quick: T, gate: T, deep: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Gate => gate,
            Self::Deep => deep,
        }
    }
}
