//! The receiver: takes episodes, verifies them, stores them durably, and only then acknowledges them.
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
//! - [`actors`]: one thin file per actor; the logic is in the modules below
//! - [`auth`]: the sender of a request, and its rights
//! - [`tls`]: the receiver's certificate, and the check of client certificates
//! - [`gate`]: the commit window, the code that reads it, and the amnesties
//! - [`ingest`]: one upload, from its head to its receipt
//! - [`records`]: rows and archives behind one interface, for requests
//! - [`store`]: archives on disk
//! - [`index`]: the rows of index.jsonl
//! - [`http`]: requests and answers
//! - [`io_thread`]: a thread for files that may hang
//! - [`startup`]: repairs before the first request
//! - [`descriptors`]: the limit of open files and connections
//! - [`config`], [`cli`], [`run`], [`watchdog`]: configuration, command line, start and stop, supervision
//!
//! A module may use only modules to its right in
//! `http -> actors -> {auth, tls, gate, ingest, records, store, index} -> shared`.
//! ARCHITECTURE.md has the order of all modules.

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
