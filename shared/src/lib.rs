//! What both ends of the episode path agree on.
//!
//! # Layout
//! - [`ids`]: host, episode, commit and digest, valid by construction
//! - [`row`]: one line of `index.jsonl`
//! - [`meta`]: `meta.json`, as the recorder writes it
//! - [`wire`]: headers, bodies and error members of the protocol
//! - [`archive`]: packing an episode to tar.zst, and reading `meta.json` out of one
//! - [`durable`]: the only home of fsync, rename, lock and append
//! - [`regular`]: opening what somebody else may have put there
//! - [`step`]: the steps that the guarantees rest on, by name
//! - [`certificate`]: whose a certificate is, and until when
//! - [`pem`]: certificates and keys that a configuration names
//! - [`latest`], [`watched`]: what one actor keeps current and others read, also where its files are bad for a while
//! - [`fs_error`]: what the file system refused, for a person
//! - [`file_fingerprint`]: whether a file is another than it was
//! - [`small_file`]: files that others write, read whole or not at all
//! - [`config_file`]: TOML with errors that name the key, the line and the nearest known key
//! - [`excerpt`]: text from elsewhere, made fit for a terminal and a log
//! - [`json`]: JSON objects into structs
//! - [`remediation`]: the block that a refused host is given to paste
//! - [`clock`], [`telemetry`], [`service`]: wall time, logging, the service manager
//! - [`terminal`]: what every program prints for a person: results, `error:` and `help:`
//! - [`moment`]: a time that a person or a file names
//! - [`rate`]: bytes per second that a person names, and the token bucket that keeps to them
//! - [`unit_settings`]: what a configuration means for the unit that runs the program
//!
//! This crate deliberately knows no actix, no HTTP library and no policy: it says what a thing is, never
//! what to do about it. It guards invariant I2 (a final name never shows partial bytes) through [`durable`].

pub mod archive;
pub mod certificate;
pub mod clock;
pub mod config_file;
pub mod durable;
pub mod excerpt;
pub mod file_fingerprint;
pub mod fs_error;
pub mod ids;
pub mod json;
pub mod latest;
pub mod meta;
pub mod moment;
pub mod pem;
pub mod rate;
pub mod regular;
pub mod remediation;
pub mod row;
pub mod service;
pub mod small_file;
pub mod step;
pub mod telemetry;
pub mod terminal;
pub mod unit_settings;
pub mod watched;
pub mod wire;
