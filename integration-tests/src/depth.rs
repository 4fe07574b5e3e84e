//! How much a test does where more finds more, but ever less of it: rounds, chances, episodes.
//!
//! One knob for all, the variable `CIS490_DEPTH`; docs/testing.md says what each depth runs and how long it takes.
//! Which system calls are killed or failed, which rules of losing are tried and which steps are left out is no matter
//! of depth: those walks are whole at each.

/// How deep a run of the tests looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// While somebody writes: whether it holds at all.
    Quick,
    /// What a change must pass.
    Gate,
    /// For a night.
    Deep,
}

impl Depth {
    /// What `CIS490_DEPTH` says: `quick` where it says nothing. Panics at another word.
    #[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
    pub fn chosen() -> Self {
        match std::env::var("CIS490_DEPTH").as_deref() {
            Err(_) | Ok("" | "quick") => Self::Quick,
            Ok("gate") => Self::Gate,
            Ok("deep") => Self::Deep,
            Ok(other) => panic!("CIS490_DEPTH is `{other}`: it may be quick, gate or deep"),
        }
    }

    /// One of three, by depth.
    pub fn pick<T>(self, quick: T, gate: T, deep: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Gate => gate,
            Self::Deep => deep,
        }
    }
}
