//! Types and functions that the receiver, the shipper and the tools share.
//!
//! # Layout
//! - [`ids`]: host, episode, commit and digest, valid by construction
//! - [`row`]: one line of `index.jsonl`
//! - [`meta`]: `meta.json`, as the recorder writes it
//! - [`wire`]: headers, bodies and error members of the protocol
//! - [`archive`]: packing an episode to tar.zst, and reading `meta.json` out of one
//! - [`durable`]: the only module that calls fsync, rename, lock and append
//! - [`regular`]: opens files and directories that another user may have placed, without following links
//! - [`step`]: names of the steps that the durability guarantees depend on
//! - [`certificate`]: the host that a certificate names, and its expiry
//! - [`pem`]: reads certificates and keys from the PEM files that a configuration names
//! - [`latest`], [`watched`]: values that an actor updates and others read; an invalid file leaves the last good value
//!   in force
//! - [`fs_error`]: file system errors with operation and path, for a person
//! - [`file_fingerprint`]: detects that a file has changed
//! - [`small_file`]: reads small files that other programs write, whole or not at all
//! - [`config_file`]: TOML with errors that name the key, the line and the nearest known key
//! - [`excerpt`]: escapes and shortens foreign text for terminals and logs
//! - [`json`]: parses JSON objects into structs
//! - [`remediation`]: default commands for a refused host
//! - [`clock`], [`telemetry`], [`service`]: wall time, logging, the service manager
//! - [`service_user`]: the user of the services, and work with its rights
//! - [`terminal`], [`completion`]: output for a person, the same in every program: results, `error:` and `help:`; values
//!   for the shell
//! - [`moment`]: a date or time given by a person or a file
//! - [`mounts`]: the file system that a path is on
//! - [`rate`]: rates in bytes per second, and the token bucket that enforces one
//! - [`unit_settings`]: systemd unit settings derived from a configuration
//!
//! This crate deliberately depends on no actix and no HTTP library, and contains no policy: it describes data, and its
//! callers decide what to do. It guards invariant I2 (a final name never shows partial bytes) through [`durable`].

pub mod archive;
pub mod certificate;
pub mod clock;
pub mod completion;
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
pub mod mounts;
pub mod pem;
pub mod rate;
pub mod regular;
pub mod remediation;
pub mod row;
pub mod service;
pub mod service_user;
pub mod small_file;
pub mod step;
pub mod telemetry;
pub mod terminal;
pub mod unit_settings;
pub mod watched;
pub mod wire;
