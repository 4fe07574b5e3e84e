//! The shipper of a lab host: packs finished episodes and sends them to the collector.
//!
//! ```text
//! episodes/ ──> QueueActor ── Ship ──> UploadActor, one per parallel upload
//!                  │  ^                   │  check, ask the gate, pack to outbox/, PUT, HEAD
//!                  │  └──── Outcome ──────┘
//!                  └──> shipped/  quarantine/
//! ```
//!
//! This file lists every room of the crate; the actors have their own table in [`actors`].
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
pub mod cli;
pub mod config;
pub mod run;
pub mod watchdog;

pub mod upload {
    //! Getting one episode to the receiver.
    //!
    //! - [`ship`]: the steps from a directory to an [`crate::answers::outcome::Outcome`], read top to bottom
    //! - `prepare`: what is done on the disk before it is sent, and the wait until a packed archive is in the outbox
    //! - [`gate`]: the gate's verdict, once per commit and for all uploaders
    //! - [`put`]: the upload itself, with `Expect: 100-continue`, and its body; [`deadlines`]: which deadline counts at the
    //!   moment
    //! - [`slots`]: who may send at the same time; [`pace`]: the rate limit that all uploads share
    //! - [`meter`]: which uploads are under way, how far, and how fast that goes
    //!
    //! Nothing here decides whether and when something is tried again: that is [`crate::policy`]. Nothing here moves an
    //! episode: that is [`crate::store`].

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
    //! What people are told: in the log, in `status.json`, by `cis490-shipper status` and by `systemctl status`.
    //!
    //! - [`log`]: what is logged, each thing once
    //! - [`status`]: what the daemon says about itself in `status.json`; [`written`]: that file as it is found
    //! - [`problem`]: the one thing that a person should read first; [`text`] and [`words`]: how it is said

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
    //! - [`client`]: HTTP/1.1; [`connect`]: the connection, from the first address that answers; [`wire`]: its bytes, without
    //!   heads that are no answers yet
    //! - [`target`]: where to, who is trusted, and as whom, from files that may change
    //! - [`clock_skew`]: how far the receiver's clock is ahead of this host's
    //!
    //! HTTP types appear nowhere else in the crate but in the upload itself. Everything is bound to one thread, since
    //! awc's client is.

    pub mod client;
    pub mod clock_skew;
    pub mod connect;
    pub mod requests;
    pub mod target;
    pub mod wire;
}

pub mod store {
    //! The data directory of a lab host, whose places are the state of its episodes.
    //!
    //! - [`layout`]: every path, and the lock that keeps a second shipper away
    //! - [`scan`]: which names in `episodes/` are episodes, and which of them are ready; [`unshippable`]: which need a person
    //!   first; [`inotify`]: what the kernel tells of them between two scans
    //! - [`moves`]: every move between `episodes/`, `outbox/`, `shipped/` and `quarantine/`, tried at the start
    //! - [`outbox`]: the archive of an episode, packed or taken as it lies there, and what a crash left there
    //! - [`quarantine`]: the note beside a refused episode, what lies there, and how it goes back
    //! - [`shipped`]: which shipped episodes are deleted; [`disk`]: how full the disk is, and how a directory is deleted;
    //!   [`age`]: how old something is by what the shipper has lived through
    //!
    //! Everything here blocks. A crash at any point loses nothing but waiting times (invariants I4, I6, I7).

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
    //! What is tried when: the order of the backlog, and what an outcome leads to.
    //!
    //! - [`backlog`]: what to try now; schedule and hold together
    //! - [`schedule`]: which episode is next, and when a failed one is tried again
    //! - [`hold`]: when the whole queue waits, because the trouble is not about one episode
    //! - [`awaited`]: when the gate is asked about the commits of refused episodes, and when these go back
    //!
    //! Pure: time and randomness are handed in, nothing here touches a disk or a connection.

    pub mod awaited;
    pub mod backlog;
    pub mod hold;
    pub mod schedule;
}

pub mod answers {
    //! What an answer means for the episode that it is about.
    //!
    //! - [`answer`]: an answer as it came in, and what it looks like where no receiver gave it
    //! - [`judge`]: what it means: the right-hand column of protocol 2.2 as one table
    //! - [`outcome`]: what became of one attempt to ship an episode
    //! - [`shown`]: what to look at where the receiver does not take what this host shows of itself
    //!
    //! Pure: nothing here knows HTTP, a clock or a disk.

    pub mod answer;
    pub mod judge;
    pub mod outcome;
    pub mod shown;
}
