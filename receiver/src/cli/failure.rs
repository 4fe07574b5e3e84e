//! Why a command was not done: what a person reads on standard error, and the exit code that a script reads.

use std::fmt::Display;
use std::io;

use cis490_shared::config_file::ConfigError;
use cis490_shared::terminal::{self, CannotPrint};

/// Done.
pub(super) const DONE: u8 = 0;
/// Not done, for any reason that has no code of its own.
pub(super) const NOT_DONE: u8 = 1;
/// Flags or an environment that mean nothing.
pub(super) const USAGE: u8 = 2;
/// EX_CONFIG of sysexits(3); the unit does not restart on it.
pub(super) const CONFIG: u8 = 78;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// A person reads why.
    Told {
        /// The exit code.
        code: u8,
        /// What is wrong.
        error: String,
        /// The next step.
        help: Option<String>,
    },
    /// It was done, and what is to be printed cannot be.
    Printing(CannotPrint),
}

impl Failure {
    /// A failure with its exit code.
    pub(super) fn new(code: u8, error: &impl Display) -> Self {
        Self::Told { code, error: error.to_string(), help: None }
    }

    /// A configuration that cannot be read or used.
    pub(super) fn of_config(error: &ConfigError) -> Self {
        Self::new(CONFIG, error).with_help(Some(config_help(error)))
    }

    /// The same with a next step.
    pub(super) fn with_help(mut self, next: Option<impl Into<String>>) -> Self {
        if let Self::Told { help, .. } = &mut self {
            *help = next.map(Into::into);
        }
        self
    }

    /// Says so and returns the exit code.
    pub(super) fn report(&self) -> u8 {
        match self {
            Self::Told { code, error, help } => {
                terminal::error(error, help.as_deref());
                *code
            }
            Self::Printing(error) => error.report(),
        }
    }
}

impl From<CannotPrint> for Failure {
    fn from(error: CannotPrint) -> Self {
        Self::Printing(error)
    }
}

/// What a maintainer can do about a configuration that cannot be used.
pub(super) fn config_help(error: &ConfigError) -> String {
    let path = match error {
        ConfigError::Read(error) => {
            return match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "read it as root or as the service: sudo -u cis490 cis490-receiver ..."
                }
                io::ErrorKind::IsADirectory => "name the file itself: --config FILE",
                io::ErrorKind::NotFound => "name the configuration file: --config FILE",
                io::ErrorKind::InvalidData => "write it anew as UTF-8 text",
                _ => "look at its file system: `df -h` it, `dmesg | tail`",
            }
            .to_owned();
        }
        ConfigError::UnknownKey { path, .. }
        | ConfigError::Malformed { path, .. }
        | ConfigError::Invalid { path, .. } => path,
    };
    format!("edit it, then check it: cis490-receiver --check-config --config {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cis490_shared::fs_error::FsError;

    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_not_to_be_edited() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::IsADirectory, io::ErrorKind::NotFound] {
            let error = FsError::at("read", Path::new("/etc/x"))(kind.into());
            let help = config_help(&error.into());
            assert!(!help.contains("edit"), "{help}");
            assert_eq!(help.contains("sudo"), kind == io::ErrorKind::PermissionDenied, "{help}");
        }
    }
}
