//! Getting one episode to the receiver.
//!
//! - [`ship`]: the steps from a directory to an [`crate::answers::outcome::Outcome`], read top to bottom
//! - `prepare`: the looks at the disk before it is sent, as one job
//! - [`published`]: waits until a packed archive is in the outbox
//! - [`gate`], [`preflight`]: the gate's verdict, once per commit and for all uploaders
//! - [`put`]: the upload itself, with `Expect: 100-continue`; [`expect`]: whether uploads wait for `100 Continue`
//! - [`body`]: the archive as a stream of chunks; [`deadlines`]: which deadline of an upload counts at the moment
//! - [`slots`]: who may send at the same time
//! - [`pace`]: the rate limit that all uploads share
//! - [`meter`]: which uploads are under way, and how far
//!
//! Nothing here decides whether and when something is tried again: that is [`crate::policy`]. Nothing here moves an
//! episode: that is [`crate::store`].

pub mod body;
pub mod deadlines;
pub mod expect;
pub mod gate;
pub mod meter;
pub mod pace;
pub mod preflight;
mod prepare;
pub mod published;
pub mod put;
pub mod ship;
pub mod slots;
