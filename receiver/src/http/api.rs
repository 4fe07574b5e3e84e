//! What every handler needs, shared by all workers.

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
    /// What GateActor has published.
    pub gate: Latest<Gate>,
    /// Asks GitPollActor how polling goes.
    pub observe_polls: Recipient<git_poll::Observe>,
    /// How appending goes.
    pub appending: Latest<IndexObservation>,
    /// Starts uploads.
    pub ingest: Ingest,
    /// Who may upload what now.
    pub admission: Admission,
    /// What is stored.
    pub records: EpisodeRecords,
    /// How far the archives are that the start found without a row.
    pub repairing: Progress,
    /// The reports of the hosts.
    pub reports: HostReports,
    /// How it is found out who sends a request.
    pub identities: Authenticator,
    /// The receiver's certificate; none without TLS.
    pub tls: Option<Latest<ServerTls>>,
    /// The connections that there are.
    pub connections: Connections,
    /// What is said about clients.
    pub notices: Notices,
    /// What requests are held to.
    pub rules: Rules,
    /// When the receiver was started.
    pub started: Instant,
    /// How storing goes.
    pub storing: Storing,
    /// The HTTP workers, of which the watchdog asks each.
    pub workers: Workers,
}

/// What requests are held to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest body, in bytes.
    pub max_upload_bytes: u64,
    /// A body that does not keep it is given up.
    pub pace: Pace,
    /// Bytes of the file system that uploads never take.
    pub min_free_bytes: u64,
    /// What a refused host is told to paste.
    pub remediation: String,
}

impl Api {
    /// The answer that a refusal means. That the disk fails is logged when it begins, not once per try.
    pub fn refuse(&self, refusal: &Refusal) -> HttpResponse {
        if !refusal.is_disk_trouble() || self.storing.failed(system_time()) {
            refusal.log();
        }
        refusal.response(&self.rules.remediation)
    }

    /// Says in the log who is turned away, since his own log may never be read, and which bytes are refused.
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

    /// Something was stored, so the disk works.
    pub fn disk_works(&self) {
        if self.storing.succeeded(system_time()) {
            info!("the disk takes uploads again");
        }
    }
}

/// Runs what blocks in the blocking pool. The outer error means that it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    match actix_web::web::block(work).await {
        Ok(result) => result.map_err(Refusal::Disk),
        Err(_) => Err(Refusal::Gone),
    }
}
