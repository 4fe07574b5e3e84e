//! A program under strace: the system calls that it makes, and its behaviour when one of them fails.
//!
//! The idea is that of the strictest storage tests. They record the calls of one operation, then repeat the operation
//! once per call with a fault at that call. A [`Walk`] does that, and proves from the traces that every recorded call
//! was hit.
//!
//! - `run`: strace itself, attached to a process ([`Strace`]) or around a program ([`Traced`])
//! - `trace`, `object`, `point`: the output of strace, as points that have the same name in every run
//! - `aim`: options that make strace hit one point; `schedule`: different orders in which the threads take turns
//! - `walk`: all points in turn, and the account

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

/// The fault that is injected at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The whole process is killed before the call.
    Kill,
    /// The call is skipped and reports that the device failed.
    Eio,
    /// The call is skipped and reports that the disk is full.
    Enospc,
}

impl Fault {
    /// Returns the option of strace.
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
