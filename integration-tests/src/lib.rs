//! A sandbox in which the real programs meet: what the tests over whole processes share.
//!
//! # Layout
//! - [`sandbox`]: one temporary directory per test, and a clean environment for what runs in it
//! - [`process`]: a child that is always reaped, with its log and its messages to the service manager
//! - [`binaries`]: the programs of this workspace, built once per test process
//! - [`receiver`], [`shipper`]: those two with a configuration, started and stopped
//! - [`clone`]: the maintainer's clone, by real git
//! - [`episodes`]: finished recordings of any size, the same bytes for the same seed
//! - [`archive`]: what an archive holds, and its hash
//! - [`certificates`]: an authority, and what it issues
//! - [`http`], [`upload`]: HTTP/1.1 by hand, for tests that look between head and body
//! - [`proxy`]: a network that cuts, trickles and stands still
//! - [`awkward_proxy`]: a proxy that counts what it is asked, and gets something about HTTP wrong
//! - [`forgetful`]: a disk that forgets everything that was not synced
//! - [`mounts`], [`small_disk`]: mounts of the kernel, and disks that are soon full
//! - [`strace`]: which system calls a program makes, and what it does when each of them fails
//! - [`verify`]: what the real `cis490-verify` says about a store
//! - [`depth`]: how many rounds a test makes
//! - [`until`]: waiting for a condition in another process
//!
//! Nothing here decides whether a program is right: the tests do. Everything panics with a sentence when the
//! ground under a test gives way, and a sandbox that ends in a panic prints the logs of its children.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

pub mod archive;
pub mod awkward_proxy;
pub mod binaries;
pub mod certificates;
pub mod clone;
pub mod depth;
pub mod episodes;
pub mod forgetful;
pub mod good_host;
mod group;
pub mod http;
pub mod mounts;
mod notices;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod sandbox;
pub mod shipper;
pub mod small_disk;
pub mod strace;
pub mod until;
pub mod upload;
pub mod verify;
