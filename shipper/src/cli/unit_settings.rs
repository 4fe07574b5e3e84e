//! The settings that the configuration implies for `cis490-shipper.service`; `cis490-shipper-generator` calls this.
//!
//! The service manager reads the secrets, so that only root needs access to them.

use std::path::{Path, PathBuf};

use cis490_shared::unit_settings::{UnitSettings, readable_secret};

use crate::config::{Config, Receiver};

/// Returns the secrets that the configuration may name, each with its name in the service manager's directory.
fn secrets(receiver: &mut Receiver) -> [(&'static str, &mut Option<PathBuf>); 2] {
    [("token", &mut receiver.token_file), ("client-key", &mut receiver.client_key_file)]
}

/// Returns the text of a drop-in. Blocks.
pub(super) fn text(config: &Config) -> String {
    let mut settings = UnitSettings::of("Service");
    settings.writable(&config.paths.data_root);
    for (name, path) in secrets(&mut config.receiver.clone()) {
        if let Some(path) = path {
            settings.credential(name, path);
        }
    }
    settings.into_text()
}

/// Takes secrets that only root can read from the service manager's directory. Blocks.
pub(super) fn take_credentials(receiver: &mut Receiver, dir: &Path) {
    for (name, path) in secrets(receiver) {
        if let Some(path) = path {
            *path = readable_secret(path, name, dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> Config {
        let text = format!(
            "host_id = \"lab-1\"\n[paths]\ndata_root = \"/home/lab/data\"\n[receiver]\nurl = \"https://collector.wg\"\n\
             token_file = \"{0}/token file\"\nclient_cert_file = \"{0}/pem\"\nclient_key_file = \"{0}/gone\"\n",
            dir.display()
        );
        cis490_shared::config_file::parse(&text, Path::new("lab-host.toml")).unwrap()
    }

    #[test]
    fn the_unit_follows_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token file");
        std::fs::write(&token, "secret").unwrap();
        let expected =
            format!("[Service]\nBindPaths=\"-/home/lab/data\"\nLoadCredential=token:{}\n", token.display());
        assert_eq!(text(&config(dir.path())), expected);
    }

    #[test]
    fn a_secret_that_is_roots_alone_is_taken_from_the_service_manager_where_it_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let mut receiver = config(dir.path()).receiver;
        std::fs::write(dir.path().join("client-key"), "key").unwrap();
        take_credentials(&mut receiver, dir.path());
        assert_eq!(receiver.client_key_file, Some(dir.path().join("client-key")));
        receiver.client_key_file = None;
        take_credentials(&mut receiver, dir.path());
        assert_eq!(receiver.client_key_file, None, "nothing asks for it");
    }
}
