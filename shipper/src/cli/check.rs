//! `--check-config`: shows the values in force and their origin, the identity of this host, and the state of the
//! directories. Blocks, and changes nothing.
//!
//! Exits as a start would: with 78 if the configuration or a file that it names cannot be used, with 1 if the service's
//! user cannot use the directories. A problem that may be intended, or that depends on another user's rights, is a
//! warning.

use std::path::Path;

use cis490_shared::certificate::Remaining;
use cis490_shared::clock::system_time;
use cis490_shared::service_user::Users;
use cis490_shared::terminal::{self, CannotPrint};

use self::places::Places;
use super::{FAILURE, bad_files, config_help, failed};
use crate::config::local_time::Zone;
use crate::config::rate_limit::RateLimit;
use crate::config::{self, Config};
use crate::http::target::{Target, TargetFiles};

mod places;
mod secrets;
mod settings;
mod user;

/// Checks the configuration at `path`, prints the result, and returns the exit code.
pub(super) fn run(config: &Config, path: &Path) -> Result<u8, CannotPrint> {
    let target = match TargetFiles::read(&config.receiver) {
        Ok((target, _)) => target,
        Err(error) => return Ok(bad_files(&error, path)),
    };
    let settings = match settings::lines(config, path) {
        Ok(lines) => lines,
        Err(error) => return Ok(failed(FAILURE, &error, Some(&config_help::changed(path)))),
    };
    let users = Users::now(path == Path::new(config::DEFAULT_PATH));
    let places = match Places::of(&config.paths.data_root, &users) {
        Ok(places) => places,
        Err(error) => {
            return Ok(failed(
                FAILURE,
                &error,
                Some("run it as that user: sudo -u cis490 cis490-shipper ..."),
            ));
        }
    };
    let mut lines = meaning(config, path);
    lines.extend(secrets::lines(config, &target));
    lines.push(format!("user: {}", user::described(&users)));
    lines.push("directories:".to_owned());
    lines.extend(places.lines().iter().map(|line| format!("  {line}")));
    lines.push("values in force, and where each is from:".to_owned());
    lines.extend(settings.iter().map(|line| format!("  {line}")));
    terminal::print(&lines.join("\n"))?;
    for warning in warnings(config, &target) {
        terminal::warning(&warning);
    }
    Ok(places.judge(&users))
}

/// Describes the values in words.
fn meaning(config: &Config, path: &Path) -> Vec<String> {
    let Config { host_id, paths, receiver, queue, retention } = config;
    vec![
        format!("configuration ok: {}", path.display()),
        format!("host_id: {host_id}"),
        format!("data_root: {}", paths.data_root.display()),
        format!("receiver: {}", receiver.url),
        format!("rate limit: {}", rate_limit(&queue.rate_limit)),
        format!(
            "queue: every {} s, {} at a time, level {}, quarantine kept {}",
            queue.scan_interval_s,
            queue.parallel_uploads,
            queue.compression_level,
            match queue.quarantine_keep_days {
                0 => "for ever".to_owned(),
                days => format!("{days} days"),
            }
        ),
        format!("retention: {retention}"),
    ]
}

fn warnings(config: &Config, target: &Target) -> Vec<String> {
    let mut warnings = secrets::warnings(&config.receiver);
    if config.receiver.shows_its_token() {
        warnings.push(
            "the token of this host is sent over plain http, unencrypted: use https in `receiver.url`, unless the way \
             there is encrypted"
                .to_owned(),
        );
    }
    let expires = target.tls.as_ref().and_then(|tls| tls.expires);
    let remaining = expires.map(|expires| Remaining::of(expires, system_time()));
    warnings.extend(remaining.filter(|remaining| remaining.is_short()).map(|remaining| {
        format!("the certificate of this host {remaining}: put a new one in its place, no restart is needed")
    }));
    warnings
}

/// Describes the configured rate limit, and the one in force now.
fn rate_limit(limit: &RateLimit) -> String {
    if limit.is_none() {
        return "none".to_owned();
    }
    if !limit.has_hours() {
        return limit.to_string();
    }
    let (zone, note) = match Zone::of_this_host() {
        Ok(zone) => (zone, String::new()),
        Err(error) => (Zone::utc(), format!("; {error}")),
    };
    let local = zone.now();
    let now = limit.text_at(local).unwrap_or("none");
    format!("{limit}; on {} {zone}: {now}{note}", local.strftime("%a %H:%M"))
}
