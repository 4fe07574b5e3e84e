//! `--check-config`: reads the configuration and the files that it names, and shows what they mean. Blocks.

use std::path::Path;

use cis490_shared::terminal::{self, CannotPrint};

use super::{SUCCESS, bad_files};
use crate::config::Config;
use crate::config::local_time::Zone;
use crate::config::rate_limit::RateLimit;
use crate::http::target::TargetFiles;

/// Shows what the configuration at `path` means, and returns the exit code.
pub(super) fn run(config: &Config, path: &Path) -> Result<u8, CannotPrint> {
    if let Err(error) = TargetFiles::read(&config.receiver) {
        return Ok(bad_files(&error, path));
    }
    let Config { host_id, paths, receiver, queue, retention } = config;
    let lines = [
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
    ];
    terminal::print(&lines.join("\n"))?;
    Ok(SUCCESS)
}

/// What is configured, and what holds now.
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
