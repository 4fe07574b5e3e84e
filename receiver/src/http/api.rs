//! The state that every handler needs, shared by all workers.

use std::time::Instant;

use actix::Recipient;
use actix_http::RequestHead;
use actix_web::HttpResponse;
use cis490_shared::clock::system_time;
use cis490_shared::latest::Latest;
use tracing::info;

use super::connections::Connections;
use super::headers;
use super::identity::Authenticator;
use super::notices::Notices;
use super::refusal::Refusal;
use super::storing::Storing;
use crate::actors::git_poll;
use crate::actors::index_writer::IndexObservation;
use crate::actors::ingest::Ingest;
use crate::actors::worker::Workers;
use crate::config::limits::Pace;
use crate::gate::window::Gate;
use crate::ingest::IngestError;
use crate::ingest::admission::Admission;
use crate::records::EpisodeRecords;
use crate::startup::Progress;
use crate::store::host_reports::HostReports;
use crate::tls::server_tls::ServerTls;

/// The handlers' view of the receiver.
#[derive(Debug)]
pub struct Api {
    /// The gate that GateActor has published.
    pub gate: Latest<Gate>,
    /// Asks GitPollActor for the state of polling.
    pub observe_polls: Recipient<git_poll::Observe>,
    /// The counters of IndexWriterActor.
    pub appending: Latest<IndexObservation>,
    /// Starts uploads.
    pub ingest: Ingest,
    /// Decides who may upload what now.
    pub admission: Admission,
    /// The stored episodes.
    pub records: EpisodeRecords,
    /// The progress of the archives that the start found without a row.
    pub repairing: Progress,
    /// The reports of the hosts.
    pub reports: HostReports,
    /// Identifies the sender of a request.
    pub identities: Authenticator,
    /// The TLS settings in force; `None` without TLS.
    pub tls: Option<Latest<ServerTls>>,
    /// The open connections.
    pub connections: Connections,
    /// Rate-limited warnings about clients.
    pub notices: Notices,
    /// The rules for requests.
    pub rules: Rules,
    /// The start time of the receiver.
    pub started: Instant,
    /// The last success and failure of the disk.
    pub storing: Storing,
    /// The HTTP workers, each of which the watchdog asks.
    pub workers: Workers,
}

/// The rules for requests.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest body, in bytes.
    pub max_upload_bytes: u64,
    /// The slowest pace of a body; a slower one is given up.
    pub pace: Pace,
    /// Bytes of the file system that uploads must leave free.
    pub min_free_bytes: u64,
    /// The commands that a refused host is told to paste.
    pub remediation: String,
}

impl Api {
    /// Returns the answer for a refusal and logs it. A failing disk is logged when it begins to fail, not for each try.
    pub fn refuse(&self, refusal: &Refusal) -> HttpResponse {
        if !refusal.is_disk_trouble() || self.storing.failed(system_time()) {
            refusal.log();
        }
        refusal.response(&self.rules.remediation)
    }

    /// Logs senders that are turned away, because their own log may never be read. Also logs uploads that conflict with
    /// stored bytes.
    pub fn turn_away(&self, head: &RequestHead, refusal: &Refusal) {
        let path = head.uri.path();
        match refusal {
            Refusal::Unauthenticated(reason) => self.notices.refused(head.peer_addr, reason, path),
            Refusal::NotAllowed(principal) => {
                self.notices.refused(head.peer_addr, &format!("{principal} may not do this"), path);
            }
            Refusal::Ingest(IngestError::Conflict { stored, yours }) => {
                if let Ok((host, episode)) = headers::pair(path) {
                    self.notices.conflict(&host, &episode, stored, yours);
                }
            }
            _ => {}
        }
    }

    /// Records that something was stored, so the disk works.
    pub fn disk_works(&self) {
        if self.storing.succeeded(system_time()) {
            info!("uploads can be stored again");
        }
    }
}

/// Runs blocking work in the blocking pool. Returns [`Refusal::Gone`] if the work panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    match actix_web::web::block(work).await {
        Ok(result) => result.map_err(Refusal::Disk),
        Err(_) => Err(Refusal::Gone),
    }
}
