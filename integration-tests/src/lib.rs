//! A sandbox for the real programs: the code that tests over whole processes share.
//!
//! # Layout
//! - [`sandbox`]: one temporary directory per test, and a clean environment for its commands
//! - [`process`]: a child that is always reaped, with its log and its messages to the service manager
//! - [`binaries`]: the programs of this workspace, built once per test process
//! - [`receiver`], [`shipper`]: the two programs with a configuration, started and stopped
//! - [`clone`]: the maintainer's clone, by real git
//! - [`episodes`]: finished recordings of any size, the same bytes for the same seed
//! - [`archive`]: the content of an archive, and its hash
//! - [`certificates`]: an authority, and the certificates that it issues
//! - [`http`], [`upload`]: HTTP/1.1 by hand, for tests that act between head and body
//! - [`proxy`]: a network that cuts, slows down and stalls connections
//! - [`awkward_proxy`]: a proxy that counts requests and makes mistakes in HTTP
//! - [`forgetful`]: a disk that forgets everything that was not synced
//! - [`mounts`], [`small_disk`]: mounts of the kernel, and disks that are nearly full
//! - [`strace`]: the system calls of a program, and its behaviour when each of them fails
//! - [`verify`]: the verdict of the real `cis490-verify` on a store
//! - [`depth`]: the number of rounds of a test
//! - [`until`]: waiting for a condition in another process
//!
//! This crate never decides whether a program is right: the tests do. It panics with a sentence if the environment of a
//! test fails. A sandbox that ends in a panic prints the logs of its children.

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
