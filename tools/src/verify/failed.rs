//! The reasons why a run has no result, each with its remedy and its exit code.

use std::io;
use std::path::PathBuf;

use cis490_receiver::store::scan::ScanError;
use cis490_shared::terminal::CannotPrint;

use super::request::CheckError;
use crate::place::BadConfig;
use crate::usage::USAGE;

/// A configuration that cannot be used: EX_CONFIG of sysexits(3), as with receiver and shipper.
const BAD_CONFIG: u8 = 78;
/// A missing store, or a missing index for a copy: EX_NOINPUT.
const NO_INPUT: u8 = 66;
/// Any other failure.
const FAILURE: u8 = 1;

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// `--report` without a file and without a configuration that names one.
    #[error("`--report` needs a file, because no configuration names one")]
    NoReportFile,
    /// The report would be written into the store or over the index.
    #[error("`{}` lies in the store or in place of its index, where this program never writes", .0.display())]
    InTheStore(PathBuf),
    /// The check failed.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Standard output cannot be written.
    #[error(transparent)]
    Output(#[from] CannotPrint),
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error from the system.
        source: io::Error,
    },
}

impl Failed {
    /// Returns the exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Check(CheckError::Store(ScanError::NoRoot(_)) | CheckError::NoIndex(_)) => NO_INPUT,
            Self::Config(_) => BAD_CONFIG,
            Self::NoReportFile => USAGE,
            Self::InTheStore(_) | Self::Check(_) | Self::Output(_) | Self::Write { .. } => FAILURE,
        }
    }

    /// Returns the next step for a maintainer.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Config(error) => Some(error.remedy("cis490-verify")),
            Self::NoReportFile => Some("name it with `--report FILE`".to_owned()),
            Self::InTheStore(_) => Some("name another file".to_owned()),
            Self::Check(error) => Some(remedy_of(error)),
            Self::Output(_) => None,
            Self::Write { .. } => Some("name a file that this user may write".to_owned()),
        }
    }
}

fn remedy_of(error: &CheckError) -> String {
    match error {
        CheckError::Store(ScanError::NoRoot(_)) => "name the directory with `--episodes-root DIR`".to_owned(),
        CheckError::NoIndex(_) => {
            "copy `index.jsonl` of the collector too, and name it with `--index FILE`".to_owned()
        }
        CheckError::Store(ScanError::Root { root, .. }) => {
            format!("check its permissions: `ls -ld {}`", root.display())
        }
        CheckError::Index(error) => error.remedy(),
        CheckError::Resume(error) => error.remedy(),
        CheckError::Hash(_) => {
            "run `cis490-verify` on another machine, and test this one's memory".to_owned()
        }
        CheckError::Thread(_) => "`ulimit -u` and `systemd-cgtop` show what is used up".to_owned(),
    }
}
