//! The settings that the configuration implies for the units of a collector; `cis490-receiver-generator` calls this.

use std::path::Path;

use cis490_shared::durable;
use cis490_shared::unit_settings::{UnitSettings, readable_secret, word};
use clap::ValueEnum;

use crate::config::{Listen, ReceiverConfig, StoreConfig};
use crate::gate::clone_paths;

/// The command that opens the clone to the service's user if its modes do not. The service sees the clone read-only, so
/// the command runs in the mount namespace of PID 1.
const OPEN_CLONE: &str = "/usr/bin/nsenter --target=1 --mount /usr/libexec/cis490/open-clone";
/// The name of the key of the receiver's certificate in the service manager's directory.
const SERVER_KEY: &str = "server-key";
/// The most time that a stop takes beyond `server.shutdown_timeout_s`, in seconds: commits, the index, the actors.
const STOP_MARGIN_S: u64 = 15;

/// The state directory of `cis490-verify.service`, where that unit may always write.
const VERIFY_STATE: &str = "/var/lib/cis490-verify";

/// A unit of a collector.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Unit {
    /// `cis490-receiver.service`
    Service,
    /// `cis490-receiver.socket`
    Socket,
    /// `cis490-verify.service`
    Verify,
}

/// Returns the text of a drop-in for this unit. Blocks.
pub(super) fn text(unit: Unit, config: &ReceiverConfig) -> String {
    match unit {
        Unit::Service => service(config),
        Unit::Socket => socket(config.server.listeners().unwrap_or_default()),
        Unit::Verify => verify(&config.store),
    }
}

fn service(config: &ReceiverConfig) -> String {
    let mut settings = UnitSettings::of("Service");
    settings.set("TimeoutStopSec", config.server.shutdown_timeout_s.saturating_add(STOP_MARGIN_S));
    if let Some(tls) = &config.server.tls {
        settings.credential(SERVER_KEY, &tls.key_file);
    }
    settings.writable(&config.store.episodes_root);
    settings.writable(durable::parent(&config.store.index));
    let repo = &config.version_gate.repo_path;
    if config.version_gate.enabled || repo.is_absolute() {
        let directories = clone_paths::directories(repo);
        for dir in &directories {
            settings.readable(dir);
        }
        settings.set("ExecStartPre", open_clone(directories.iter().map(AsRef::as_ref)));
    }
    settings.into_text()
}

/// Takes the key from the service manager's directory if only root can read its file. Blocks.
pub(super) fn take_credentials(config: &mut ReceiverConfig, dir: &Path) {
    if let Some(tls) = &mut config.server.tls {
        tls.key_file = readable_secret(&tls.key_file, SERVER_KEY, dir);
    }
}

/// Returns the command that opens the clone, as root and outside the sandbox (`+`). The receiver starts even if it
/// fails (`-`).
fn open_clone<'a>(directories: impl Iterator<Item = &'a Path>) -> String {
    let words = directories.map(|dir| word(&dir.display().to_string()).replace('$', "$$"));
    format!("-+{OPEN_CLONE} {}", words.collect::<Vec<_>>().join(" "))
}

fn socket(listen: Vec<Listen>) -> String {
    let mut settings = UnitSettings::of("Socket");
    // An empty value clears the sockets of the unit itself.
    settings.set("ListenStream", "");
    for entry in listen {
        match entry {
            Listen::Tcp(address) => settings.set("ListenStream", address),
            Listen::Unix(path) => settings.set("ListenStream", path.display()),
        }
    }
    settings.into_text()
}

/// Lets verify read the store and the index, and write its report. A report directory around the store does not make
/// the store writable, because of two nested directories the inner one counts.
fn verify(store: &StoreConfig) -> String {
    let mut settings = UnitSettings::of("Service");
    let report = durable::parent(&store.verify_report);
    if !report.starts_with(VERIFY_STATE) {
        settings.writable_anywhere(report);
    }
    // An empty value clears the unit's own directory, which may hold the report.
    settings.set("ReadOnlyPaths", "");
    for dir in [store.episodes_root.as_path(), durable::parent(&store.index)] {
        if dir != report {
            settings.read_only(dir);
        }
    }
    settings.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ReceiverConfig {
        cis490_shared::config_file::parse(text, Path::new("receiver.toml")).unwrap()
    }

    #[test]
    fn the_units_follow_the_configuration() {
        let config = config(
            "[server]\nlisten = [\"[::1]:8444\", \"unix:/run/cis490/receiver.sock\"]\nshutdown_timeout_s = 60\n\
             [store]\nepisodes_root = \"/srv/episodes\"\n[version_gate]\nrepo_path = \"/home/max/$1 50%\"\n",
        );
        assert_eq!(
            text(Unit::Service, &config),
            "[Service]\nTimeoutStopSec=75\nReadWritePaths=\"-/srv/episodes\"\n\
             BindReadOnlyPaths=\"-/home/max/$1 50%%\"\n\
             ExecStartPre=-+/usr/bin/nsenter --target=1 --mount /usr/libexec/cis490/open-clone \"/home/max/$$1 50%%\"\n"
        );
        assert_eq!(
            text(Unit::Socket, &config),
            "[Socket]\nListenStream=\nListenStream=[::1]:8444\nListenStream=/run/cis490/receiver.sock\n"
        );
    }

    #[test]
    fn verify_reads_the_store_and_writes_its_report_alone() {
        let verify = |store: &str| {
            text(Unit::Verify, &config(&format!("[version_gate]\nenabled = false\n[store]\n{store}\n")))
        };
        assert_eq!(
            verify(""),
            "[Service]\nReadOnlyPaths=\nReadOnlyPaths=\"-/var/lib/cis490/episodes\"\nReadOnlyPaths=\"-/var/lib/cis490\"\n"
        );
        assert_eq!(
            verify(
                "episodes_root = \"/srv/x/e\"\nindex = \"/srv/x/i.jsonl\"\nverify_report = \"/srv/x/v.json\""
            ),
            "[Service]\nReadWritePaths=\"-/srv/x\"\nReadOnlyPaths=\nReadOnlyPaths=\"-/srv/x/e\"\n",
            "a report beside the index"
        );
        assert_eq!(
            verify(
                "episodes_root = \"/home/x/e\"\nindex = \"/home/x/i.jsonl\"\nverify_report = \"/home/x/v/v.json\""
            ),
            "[Service]\nBindPaths=\"-/home/x/v\"\nReadOnlyPaths=\nBindReadOnlyPaths=\"-/home/x/e\"\n\
             BindReadOnlyPaths=\"-/home/x\"\n"
        );
    }

    #[test]
    fn the_key_may_be_roots_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("server.key");
        std::fs::write(&key, "key").unwrap();
        let tls = format!(
            "[server]\ntls = {{ cert_file = \"/c\", key_file = {key:?} }}\n[version_gate]\nenabled = false\n"
        );
        let mut config = config(&tls);
        let line = format!("LoadCredential=server-key:{}\n", key.display());
        assert!(text(Unit::Service, &config).contains(&line));
        std::fs::write(dir.path().join(SERVER_KEY), "handed over").unwrap();
        std::fs::remove_file(&key).unwrap();
        take_credentials(&mut config, dir.path());
        assert_eq!(config.server.tls.unwrap().key_file, dir.path().join(SERVER_KEY));
    }

    #[test]
    fn a_gate_that_is_off_needs_no_clone() {
        let off = config("[version_gate]\nenabled = false\n");
        assert_eq!(text(Unit::Service, &off), "[Service]\nTimeoutStopSec=45\n");
    }
}
