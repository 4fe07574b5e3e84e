//! The shipper of a lab host: packs finished episodes and sends them to the collector.
//!
//! ```text
//! episodes/ ──> QueueActor ── Ship ──> UploadActor, one per parallel upload
//!                  │  ^                   │  check, ask the gate, pack to outbox/, PUT, HEAD
//!                  │  └──── Outcome ──────┘
//!                  └──> shipped/  quarantine/
//! ```
//!
//! This file lists every module of the crate; the actors have their own table in [`actors`].
//!
//! # Invariants
//! - A module names only modules to its right: `cli -> run -> watchdog -> actors -> upload -> report -> http -> config
//!   -> store -> policy -> answers`.
//! - Only episodes in `shipped/` and old ones in `quarantine/` are ever deleted. No episode depends on a notification,
//!   because the scan finds it.
//! - The state of an episode is the directory that it is in. A restart forgets only waiting times.
//! - An episode leaves `episodes/` for `shipped/` only after a success for its own bytes (I6), or for `quarantine/`
//!   with its reason beside it (I7). Nothing that failed is tried again without a pause (accidents 2, 12).
//! - Memory depends neither on the size of an episode nor on the length of the backlog (I8).

pub mod actors;
pub mod cli;
pub mod config;
pub mod run;
pub mod watchdog;

pub mod upload {
    //! Delivery of one episode to the receiver.
    //!
    //! - [`ship`]: the steps from a directory to an [`crate::answers::outcome::Outcome`], in order
    //! - `prepare`: the work on disk before an episode is sent, and the wait until a packed archive is in the outbox
    //! - [`gate`]: the gate's verdict, once per commit and for all uploaders
    //! - [`put`]: the upload itself, with `Expect: 100-continue`, and its body; [`deadlines`]: the deadline that counts
    //!   at each moment
    //! - [`slots`]: the limit on uploads at the same time; [`pace`]: the rate limit that all uploads share
    //! - [`meter`]: the uploads in flight, their progress and their rate
    //!
    //! Nothing here decides whether and when to try again: [`crate::policy`] does. Nothing here moves an episode:
    //! [`crate::store`] does.

    pub mod deadlines;
    pub mod gate;
    pub mod meter;
    pub mod pace;
    mod prepare;
    pub mod put;
    pub mod ship;
    pub mod slots;
}

pub mod report {
    //! Reports to people: the log, `status.json`, `cis490-shipper status` and `systemctl status`.
    //!
    //! - [`log`]: the log entries, each once
    //! - [`status`]: the state of the daemon in `status.json`; [`written`]: what the last daemon wrote there
    //! - [`problem`]: the one problem that a person should read first; [`text`] and [`words`]: its wording

    pub mod log;
    pub mod problem;
    pub mod status;
    pub mod text;
    pub mod words;
    pub mod written;
}

pub mod http {
    //! HTTP to the one receiver, and the connection beneath it.
    //!
    //! - [`requests`]: small requests: HEAD, the gate, ping
    //! - [`client`]: HTTP/1.1; [`connect`]: the connection, to the first address that answers; [`wire`]: its bytes,
    //!   without interim responses
    //! - [`target`]: the receiver's address, the trusted authorities and this host's credentials, from files that may
    //!   change
    //! - [`clock_skew`]: how far the receiver's clock is ahead of this host's
    //!
    //! No other module uses HTTP types, except the upload itself. Everything is bound to one thread, because awc's
    //! client is.

    pub mod client;
    pub mod clock_skew;
    pub mod connect;
    pub mod requests;
    pub mod target;
    pub mod wire;
}

pub mod store {
    //! The data directory of a lab host. The directory of an episode is its state.
    //!
    //! - [`layout`]: every path, and the lock that keeps a second shipper away
    //! - [`scan`]: which names in `episodes/` are episodes, and which of them are ready; [`inotify`]: events of the
    //!   kernel between two scans
    //! - [`moves`]: every move between `episodes/`, `outbox/`, `shipped/` and `quarantine/`, tested at the start
    //! - [`outbox`]: the archive of an episode, new or already packed, and the leftovers of a crash
    //! - [`unshippable`]: finished directories that cannot be shipped until a person acts
    //! - [`quarantine`]: the note beside each refused episode, the contents of `quarantine/`, and the way back
    //! - [`shipped`]: which shipped episodes are deleted
    //! - [`disk`]: how full the disk is, and how a directory is deleted
    //! - [`age`]: the age of a file, counted only while the shipper runs
    //!
    //! Everything here blocks. A crash at any point loses only waiting times (invariants I4, I6, I7).

    pub mod age;
    pub mod disk;
    pub mod inotify;
    pub mod layout;
    pub mod moves;
    pub mod outbox;
    pub mod quarantine;
    pub mod scan;
    pub mod shipped;
    pub mod unshippable;

    #[cfg(test)]
    mod tests;
}

pub mod policy {
    //! Decisions about attempts: the order of the backlog, and the action after an outcome.
    //!
    //! - [`backlog`]: the next attempt; schedule and hold together
    //! - [`schedule`]: which episode is next, and when a failed one is tried again
    //! - [`hold`]: when the whole queue waits, because the trouble is not about one episode
    //! - [`awaited`]: when the gate is asked about the commits of refused episodes, and when these episodes go back
    //!
    //! Pure: time and randomness are passed in; nothing here touches a disk or a connection.

    pub mod awaited;
    pub mod backlog;
    pub mod hold;
    pub mod schedule;
}

pub mod answers {
    //! The meaning of an answer for its episode.
    //!
    //! - [`answer`]: an answer as received, and its description if no receiver sent it
    //! - [`shown`]: the credentials that this host shows, and the help if they are not enough
    //! - [`judge`]: the meaning of an answer: the right-hand column of protocol 2.2 as one table
    //! - [`outcome`]: the outcome of one attempt to ship an episode
    //!
    //! Pure: nothing here knows HTTP, a clock or a disk.

    pub mod answer;
    pub mod judge;
    pub mod outcome;
    pub mod shown;
}
