//! The actors of the receiver; this folder's listing is the architecture.
//!
//! | actor | owns | accepts | sends to | runs on |
//! |---|---|---|---|---|
//! | [`gate::GateActor`] | the commit window | ReplaceWindow | nobody; verdicts are read from its view | the system's arbiter |
//! | [`git_poll::GitPollActor`] | the poll of the clone, gate.json | Poll, Observe | GateActor | the system's arbiter |
//! | [`ingest::IngestActor`] | one upload: its writer and its end | nothing; its parts go to the writer | IndexWriterActor | the request's arbiter |
//! | [`file_watch::FileWatchActor`] | the token file, the certificates or admitted.json | Reload | nobody; the content is read from its view | the system's arbiter |
//! | [`index_writer::IndexWriterActor`] | index.jsonl | Append, AppendPublished, ReadRow | nobody; its counters are read from its view | an arbiter of its own |
//! | [`worker::WorkerActor`] | nothing | Ping | nobody | the arbiter of an HTTP worker |
//!
//! All long-lived actors also accept [`Ping`]. Requests run downwards only, so they cannot deadlock.
//! A panicked actor is not restarted: the watchdog notices its closed mailbox and ends the process.

use actix::Message;

pub mod file_watch;
pub mod gate;
pub mod git_poll;
pub mod index_writer;
pub mod ingest;
pub mod worker;

/// Sent by the watchdog. An actor that answers has a working mailbox and is not stuck.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Sent once by `run` while it stops. The reply means that no work is left.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Drain;
