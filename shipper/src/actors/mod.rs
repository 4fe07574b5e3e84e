//! The actors, each a thin shell around plain structs of [`crate::queue`] and [`crate::upload`].
//!
//! | actor | owns | accepts | sends to | runs on |
//! |---|---|---|---|---|
//! | [`queue::QueueActor`] | the directories and the order of episodes | `Scan`, `Noticed`, `Missed`, `ShownAnew`, `Observe`, `Ping`, `Drain` | UploadActor: `Ship`, `Ask` | the main arbiter |
//! | [`notice::NoticeActor`] | the watches on `episodes/` | `Ping`, `Drain` | QueueActor: `Noticed`, `Missed` | the main arbiter |
//! | [`credentials::CredentialsActor`] | the files of certificates and token | `Reload`, `Ping`, `Drain` | QueueActor: `ShownAnew`; uploaders read what it publishes | the main arbiter |
//! | [`status::StatusActor`] | `status.json` | `Ping`, `Drain` | QueueActor: `Observe` | the main arbiter |
//! | [`upload::UploadActor`] | an HTTP client | `Ship`, `Ask`, `Ping`, `Drain` | nobody | an arbiter of its own |
//!
//! They know each other as `Recipient`; only [`crate::run`] knows who is who. A panic ends an actor for
//! good: its mailbox is closed from then on, and [`crate::watchdog`] ends the process.

use actix::Message;

pub mod credentials;
pub mod notice;
pub mod queue;
pub mod status;
pub mod upload;

/// Asks whether an actor still handles messages. From the watchdog.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ping;

/// Asks an actor to begin nothing new; answered once nothing is under way. From the shutdown.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain;
