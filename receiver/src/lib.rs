//! The receiver: takes episodes, proves them, stores them durably, and says so only then.
//!
//! ```text
//!  PUT ── head ──> http <─ verdict ── GateActor <── ReplaceWindow ── GitPollActor (git rev-list, on a timer)
//!                   │ │                            └─ amnesties ── FileWatchActor (admitted.json)
//!                   │ └── admission: one upload per pair, permits, bytes promised
//!                   │ parts, bounded ──> upload that an IngestActor carries: hash, write, sync, publish
//!                   └── answer <── IngestActor <──┘ └─ AppendPublished ──> IndexWriterActor (batch, lock, write, sync)
//! ```
//!
//! # Layout
//! - [`actors`]: who owns what; one thin file per actor, the logic in the modules below
//! - [`auth`]: who asks, and what he may do
//! - [`tls`]: as whom the receiver introduces itself, and whose certificates it believes
//! - [`gate`]: the commit window, and how it is read; what is admitted by name beside it
//! - [`ingest`]: one upload from promise to receipt
//! - [`records`]: what is stored, for whoever answers requests
//! - [`store`]: archives on disk
//! - [`index`]: the rows of index.jsonl
//! - [`http`]: requests in, answers out
//! - [`io_thread`]: touches files that may hang
//! - [`startup`]: what a start repairs before the first request
//! - [`descriptors`]: how many files and connections the process may have open
//! - [`config`], [`cli`], [`run`], [`watchdog`]: how it is told what to do, started, stopped and watched
//!
//! Modules name only what stands to their right in
//! `http -> actors -> {auth, tls, gate, ingest, records, store, index} -> shared`.

pub mod actors;
pub mod auth;
pub mod cli;
pub mod config;
pub mod descriptors;
pub mod gate;
pub mod http;
pub mod index;
pub mod ingest;
pub mod io_thread;
pub mod records;
pub mod run;
pub mod startup;
pub mod store;
pub mod tls;
pub mod watchdog;
