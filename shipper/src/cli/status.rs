//! `cis490-shipper status`: how the shipper of this host does, for a person or for a program.
//!
//! It succeeds where it could look, whatever it found: finding a fault is no failure (accident 10).

use cis490_shared::clock::system_time;
use clap::Args;

use crate::config::Config;
use crate::report::file::{self, LookError};
use crate::report::text;

/// The flags.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Print it as JSON, as a program wants it
    #[arg(long)]
    json: bool,
}

/// What is to be printed.
pub(super) fn run(flags: &Flags, config: &Config) -> Result<String, LookError> {
    let now = system_time();
    let report = file::look(config, now)?;
    Ok(match flags.json {
        // Text and numbers only: there is nothing in it that JSON could not hold.
        true => serde_json::to_string_pretty(&report).unwrap_or_default(),
        false => text::render(&report, now),
    })
}
