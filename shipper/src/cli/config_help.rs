//! The next step if the configuration, or a file that it names, cannot be used.
//!
//! A missing permission is no mistake in the file: another user must run the command.

use std::io::ErrorKind;
use std::path::Path;

use cis490_shared::config_file::ConfigError;
use cis490_shared::pem::PemError;

use crate::config::DEFAULT_PATH;
use crate::http::target::{TargetError, TlsError, TokenError};

/// Returns the next step if the configuration at `path` cannot be loaded.
pub(super) fn unreadable(error: &ConfigError, path: &Path) -> String {
    let kind = match error {
        ConfigError::Read(error) => Some(error.kind()),
        ConfigError::UnknownKey { .. } | ConfigError::Malformed { .. } | ConfigError::Invalid { .. } => None,
    };
    match kind {
        Some(ErrorKind::PermissionDenied) => {
            "this user may not read it; ask as the user of the shipper: sudo -u cis490 cis490-shipper ...".to_owned()
        }
        Some(ErrorKind::IsADirectory) => {
            format!("it is a directory; name the file in it: --config {}/lab-host.toml", path.display())
        }
        Some(ErrorKind::NotFound) if path == Path::new(DEFAULT_PATH) => {
            "copy the example etc/lab-host.toml to that place and edit it, or name another file: --config FILE".to_owned()
        }
        Some(ErrorKind::NotFound) => format!("check the path after --config; the default is {DEFAULT_PATH}"),
        Some(_) => "look at the file: `ls -l` it, `dmesg | tail`".to_owned(),
        None => edit(path),
    }
}

/// Returns the next step if a file that the configuration at `path` names cannot be used.
pub(super) fn bad_file(error: &TargetError, path: &Path) -> String {
    let failed = match error {
        TargetError::Tls(TlsError::File(PemError::Read { source, .. }))
        | TargetError::Token(TokenError::Read(source)) => source,
        TargetError::Tls(_) | TargetError::Token(TokenError::Content(_)) => return edit(path),
    };
    match failed.kind() {
        ErrorKind::PermissionDenied => format!(
            "`ls -l {}` shows who may read it; ask as the user of the shipper (sudo -u cis490 cis490-shipper ...), or as \
             root, as which the unit reads it (sudo cis490-shipper ...)",
            failed.path.display()
        ),
        _ => edit(path),
    }
}

/// Returns the next step if the file was readable a moment ago.
pub(super) fn changed(path: &Path) -> String {
    format!("look at it and check it once more: `ls -l {}`", path.display())
}

fn edit(path: &Path) -> String {
    format!("edit it, then: cis490-shipper --check-config --config {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::io;

    use cis490_shared::fs_error::FsError;

    use super::*;

    #[test]
    fn only_a_file_with_a_mistake_in_it_is_to_be_edited() {
        let path = Path::new("/etc/x");
        let help = |kind: ErrorKind| {
            let source = FsError::at("read", path)(io::Error::from(kind));
            unreadable(&ConfigError::Read(source), path)
        };
        assert!(help(ErrorKind::PermissionDenied).contains("sudo -u cis490 cis490-shipper"));
        assert_eq!(
            help(ErrorKind::IsADirectory),
            "it is a directory; name the file in it: --config /etc/x/lab-host.toml"
        );
        assert!(help(ErrorKind::NotFound).contains("--config"));
        assert!(!help(ErrorKind::InvalidData).contains("edit"));
        let token = |kind: ErrorKind| {
            let source = FsError::at("read", Path::new("/etc/token"))(io::Error::from(kind));
            bad_file(&TargetError::Token(TokenError::Read(source)), path)
        };
        let told = token(ErrorKind::PermissionDenied);
        assert!(told.contains("ls -l /etc/token") && told.contains("sudo -u cis490"), "{told}");
        assert!(token(ErrorKind::NotFound).starts_with("edit it, then: "));
    }
}
