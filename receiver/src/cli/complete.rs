//! The values that the shell offers: hosts and readers, tokens, commits.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use cis490_shared::completion::{beginning, hosts_in, typed};
use cis490_shared::{config_file, durable};
use clap_complete::engine::CompletionCandidate;

use super::clone;
use crate::auth::file;
use crate::auth::tokens::TokenEntry;
use crate::config::{DEFAULT_PATH, GateConfig, ReceiverConfig};
use crate::gate::amnesty_file;

/// The number of commits that are offered: those that left the window last.
const COMMITS: usize = 100;

/// Offers the hosts that have episodes or a token.
pub(super) fn hosts(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(config) = config() else { return Vec::new() };
    let names = tokens(&config).into_iter().map(|token| token.name.to_string());
    sorted(current, names.chain(hosts_in(&config.store.episodes_root)))
}

/// Offers the names that have a token.
pub(super) fn token_names(current: &OsStr) -> Vec<CompletionCandidate> {
    let entries = config().map(|config| tokens(&config)).unwrap_or_default();
    sorted(current, entries.into_iter().map(|token| token.name.to_string()))
}

/// Offers the ids of tokens.
pub(super) fn token_ids(current: &OsStr) -> Vec<CompletionCandidate> {
    let entries = config().map(|config| tokens(&config)).unwrap_or_default();
    sorted(current, entries.into_iter().map(|token| token.id.to_string()))
}

/// Offers the commits that left the window last, the newest first.
pub(super) fn commits_outside(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(gate) = config().map(|config| config.version_gate).filter(|gate| gate.enabled) else {
        return Vec::new();
    };
    let longer = GateConfig { window: gate.window.saturating_add(COMMITS), ..gate.clone() };
    let Ok(window) = clone::read(&longer) else { return Vec::new() };
    beginning(current, window.commits().iter().skip(gate.window).map(ToString::to_string))
}

/// Offers the commits that are admitted by name.
pub(super) fn admitted_commits(current: &OsStr) -> Vec<CompletionCandidate> {
    let path = config().map(|config| amnesty_file::path_in(durable::parent(&config.store.index)));
    let admitted = path.and_then(|path| amnesty_file::list(&path).ok()).unwrap_or_default();
    sorted(current, admitted.all().iter().map(|amnesty| amnesty.commit.to_string()))
}

/// The configuration that the command will use, if the person who types can read it.
fn config() -> Option<ReceiverConfig> {
    let path = typed("--config").map_or_else(|| DEFAULT_PATH.into(), PathBuf::from);
    config_file::load(&path).ok()
}

fn tokens(config: &ReceiverConfig) -> Vec<TokenEntry> {
    let path = config.auth.tokens_file.as_ref();
    path.and_then(|path| file::list(path).ok()).map(|tokens| tokens.entries()).unwrap_or_default()
}

fn sorted(current: &OsStr, values: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    beginning(current, values.collect::<BTreeSet<_>>())
}
