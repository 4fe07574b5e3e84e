//! The shipper of a lab host: packs finished episodes and sends them to the collector.
//!
//! ```text
//! episodes/ ──> QueueActor ── Ship ──> UploadActor, one per parallel upload
//!                  │  ^                   │  check, ask the gate, pack to outbox/, PUT, HEAD
//!                  │  └──── Outcome ──────┘
//!                  └──> shipped/  quarantine/
//! ```
//!
//! # Layout
//! - [`actors`]: QueueActor, UploadActor and four smaller ones, thin shells around what follows
//! - [`policy`]: order, back-off, holds: pure
//! - [`answers`]: what an answer means for its episode: pure
//! - [`store`]: the data directory and every move in it
//! - [`upload`]: one episode from its directory to an outcome; [`http`]: requests, connections, TLS
//! - [`report`]: what people are told, in the log and by the status
//! - [`run`]: starts, watches and drains the actors; [`watchdog`] asks whether they are still there
//! - [`cli`]: flags and exit codes; [`config`] is `lab-host.toml`, [`unit_settings`] is what it means for the unit
//!
//! # Invariants
//! - A module names only what stands to its right: `cli -> run -> watchdog -> actors -> upload -> report -> http ->
//!   config -> store -> policy -> answers`.
//! - Nothing but `shipped/` and what is old in `quarantine/` is ever deleted, and no notice is needed for anything: the
//!   scan finds it.
//! - The state of an episode is the directory that it is in. All that a restart forgets is waiting times.
//! - An episode leaves `episodes/` for `shipped/` only after 200 or 201 for its own bytes (I6), or for
//!   `quarantine/` with its reason beside it (I7). Nothing is tried again without a pause (accidents 2, 12).
//! - Memory depends neither on the size of an episode nor on the length of the backlog (I8).

pub mod actors;
pub mod answers;
pub mod cli;
pub mod config;
pub mod http;
pub mod policy;
pub mod report;
pub mod run;
pub mod store;
pub mod unit_settings;
pub mod upload;
pub mod watchdog;
