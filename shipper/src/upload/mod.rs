//! Getting one episode to the receiver.
//!
//! - [`ship`]: the steps from a directory to an [`crate::queue::outcome::Outcome`], read top to bottom
//! - `prepare`: the looks at the disk before it is sent, as one job
//! - [`outbox`]: pack the archive, or take the one that is there
//! - [`published`]: waits until a packed archive is in the outbox
//! - [`gate`], [`preflight`]: the gate's verdict, once per commit and for all uploaders
//! - [`expect`]: whether uploads wait for `100 Continue`
//! - [`put`]: the upload itself, with `Expect: 100-continue` and deadlines of its own
//! - [`progress`]: which of these deadlines counts at the moment
//! - [`body`]: the archive as a stream of chunks
//! - [`pace`]: the rate limit that all uploads share
//! - [`meter`]: which uploads are under way, and how far; [`bars`] shows it on a terminal
//! - [`ask`]: small requests: HEAD, the gate, ping
//! - [`client`], [`connect`], `dial`, [`interim`]: HTTP/1.1, the connection beneath it, the first address that answers,
//!   and heads that are no answers yet
//! - [`clock_skew`]: how far the receiver's clock is ahead of this host's
//! - [`turns`]: who may send at the same time
//! - [`target`], [`tls`], [`token`]: where to, who is trusted, and as whom, from files that may change
//!
//! Nothing here decides whether and when something is tried again, and nothing here moves an episode:
//! that is [`crate::queue`]. HTTP types appear nowhere else in the crate. Everything is bound to one thread,
//! since awc's client is.

pub mod ask;
pub mod bars;
pub mod body;
pub mod client;
pub mod clock_skew;
pub mod connect;
mod dial;
pub mod expect;
pub mod gate;
pub mod interim;
pub mod meter;
pub mod outbox;
pub mod pace;
pub mod preflight;
mod prepare;
pub mod progress;
pub mod published;
pub mod put;
pub mod ship;
pub mod target;
pub mod tls;
pub mod token;
pub mod turns;
