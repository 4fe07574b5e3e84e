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
//! - [`actors`]: QueueActor, UploadActor and three smaller ones, thin shells around what follows
//! - [`queue`]: policy and directories: order, back-off, what an answer means, what is moved where
//! - [`upload`]: one episode from its directory to an outcome: packing, TLS, HTTP
//! - [`status`]: what the daemon says about itself, and how people are told
//! - [`run`]: starts, watches and drains the actors; [`watchdog`] asks whether they are still there
//! - [`cli`]: flags and exit codes; [`ping`] is one of them; [`config`] is `lab-host.toml`,
//!   [`unit_settings`] is what it means for the unit, and [`local_time`] what its hours are
//!
//! # Invariants
//! - `upload` never names `actors`; `queue` names neither, and no HTTP type.
//! - Nothing but `shipped/` and what is old in `quarantine/` is ever deleted, and no notice is needed for anything: the
//!   scan finds it.
//! - The state of an episode is the directory that it is in. All that a restart forgets is waiting times.
//! - An episode leaves `episodes/` for `shipped/` only after 200 or 201 for its own bytes (I6), or for
//!   `quarantine/` with its reason beside it (I7). Nothing is tried again without a pause (accidents 2, 12).
//! - Memory depends neither on the size of an episode nor on the length of the backlog (I8).

pub mod actors;
pub mod cli;
pub mod config;
pub mod local_time;
pub mod ping;
pub mod queue;
pub mod run;
pub mod status;
pub mod unit_settings;
pub mod upload;
pub mod watchdog;
