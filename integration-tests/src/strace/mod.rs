//! A program under strace: which system calls it makes, and what it does when one of them fails.
//!
//! The idea is that of the strictest storage tests: record the calls of one operation, then repeat the operation
//! once per call with a fault at that call. A [`Walk`] does that, and proves from the traces that every call that
//! was recorded was really hit.
//!
//! - `run`: strace itself, attached to a process ([`Strace`]) or around a program ([`Traced`])
//! - `trace`, `object`, `point`: what strace wrote, as points that have the same name in every run
//! - `aim`: how strace is told to hit one of them, `schedule`: while the threads take turns in one way or another
//! - `walk`: all of them, one after the other, and the account of it

mod aim;
mod object;
mod point;
mod run;
mod schedule;
mod trace;
mod walk;

use std::fmt;

pub use aim::{Fired, Shot};
pub use object::Names;
pub use point::Point;
pub use run::{Strace, Traced};
pub use trace::Trace;
pub use walk::{Least, Walk};

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The whole process is killed before the call.
    Kill,
    /// The call is not made and says that the device failed.
    Eio,
    /// The call is not made and says that the disk is full.
    Enospc,
}

impl Fault {
    /// How strace is told.
    const fn option(self) -> &'static str {
        match self {
            Self::Kill => "signal=SIGKILL",
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "SIGKILL",
            Self::Eio => "EIO",
            Self::Enospc => "ENOSPC",
        })
    }
}
