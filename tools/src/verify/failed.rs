//! Why nobody knows whether anything is wrong, what to do about it, and the exit code.

use std::io;
use std::path::PathBuf;

use cis490_receiver::store::scan::ScanError;

use super::request::CheckError;
use crate::place::BadConfig;

/// A configuration that cannot be used: EX_CONFIG of sysexits(3), as with receiver and shipper.
const BAD_CONFIG: u8 = 78;
/// There is nothing to look at.
const NO_EPISODES: u8 = 2;
/// Anything else.
const FAILURE: u8 = 1;
/// Flags that mean nothing.
pub const USAGE: u8 = 2;

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// `--report` without a file and without a configuration that names one.
    #[error("`--report` needs a file, because no configuration names one")]
    NoReportFile,
    /// The report would replace what is looked at.
    #[error("`{}` lies in the store or in place of its index, where this program never writes", .0.display())]
    InTheStore(PathBuf),
    /// The check itself.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Standard output.
    #[error("the report cannot be written: {0}")]
    Output(#[source] io::Error),
    /// The report that is kept.
    #[error("the report cannot be written to `{}`: {source}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Failed {
    /// What the program ends with.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Check(CheckError::Store(ScanError::NoRoot(_))) => NO_EPISODES,
            Self::Config(_) => BAD_CONFIG,
            Self::NoReportFile => USAGE,
            Self::InTheStore(_) | Self::Check(_) | Self::Output(_) | Self::Report { .. } => FAILURE,
        }
    }

    /// What a maintainer can do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Config(error) => Some(error.remedy("cis490-verify")),
            Self::NoReportFile => Some("name it with `--report FILE`".to_owned()),
            Self::InTheStore(_) => Some("name another file".to_owned()),
            Self::Check(error) => Some(remedy_of(error)),
            Self::Output(_) => None,
            Self::Report { .. } => Some("name a file that this user may write with `--report FILE`".to_owned()),
        }
    }
}

fn remedy_of(error: &CheckError) -> String {
    match error {
        CheckError::Store(ScanError::NoRoot(_)) => "name the directory with `--episodes-root DIR`".to_owned(),
        CheckError::Store(ScanError::Root { root, .. }) => format!("`ls -ld {}` shows who may", root.display()),
        CheckError::Index(error) => error.remedy(),
        CheckError::Resume(error) => error.remedy(),
        CheckError::Hash(_) => "run `cis490-verify` on another machine, and test this one's memory".to_owned(),
        CheckError::Thread(_) => "`ulimit -u` and `systemd-cgtop` show what is used up".to_owned(),
    }
}
