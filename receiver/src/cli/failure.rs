//! The failure of a command: its message on standard error for a person, and its exit code for a script.

use std::fmt::Display;
use std::io;

use cis490_shared::config_file::ConfigError;
use cis490_shared::terminal::{self, CannotPrint};

/// The exit code of success.
pub(super) const DONE: u8 = 0;
/// The exit code of any failure without a code of its own.
pub(super) const NOT_DONE: u8 = 1;
/// The exit code for wrong flags or a wrong environment.
pub(super) const USAGE: u8 = 2;
/// EX_CONFIG of sysexits(3); the unit does not restart after it.
pub(super) const CONFIG: u8 = 78;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error with a message.
    Told {
        /// The exit code.
        code: u8,
        /// The message.
        error: String,
        /// The next step.
        help: Option<String>,
    },
    /// The command succeeded, but its result cannot be printed.
    Printing(CannotPrint),
}

impl Failure {
    /// Creates a failure with its exit code.
    pub(super) fn new(code: u8, error: &impl Display) -> Self {
        Self::Told { code, error: error.to_string(), help: None }
    }

    /// Creates the failure for a configuration that cannot be read or used.
    pub(super) fn of_config(error: &ConfigError) -> Self {
        Self::new(CONFIG, error).with_help(Some(config_help(error)))
    }

    /// Adds a next step.
    pub(super) fn with_help(mut self, next: Option<impl Into<String>>) -> Self {
        if let Self::Told { help, .. } = &mut self {
            *help = next.map(Into::into);
        }
        self
    }

    /// Prints the failure and returns the exit code.
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

/// Returns the next step for a maintainer after a configuration error.
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
