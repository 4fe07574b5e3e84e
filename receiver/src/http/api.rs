//! What every handler needs, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use actix::Recipient;
use actix_http::RequestHead;
use actix_web::HttpResponse;
use cis490_shared::latest::Latest;
use tracing::info;

use super::body::Pace;
use super::headers;
use super::identity::Identities;
use super::notices::Notices;
use super::refusal::Refusal;
use crate::actors::index_writer::Append;
use crate::actors::ingest::Ingest;
use crate::actors::{git_poll, index_writer};
use crate::gate::window::Gate;
use crate::index::known::KnownView;
use crate::ingest::IngestError;
use crate::ingest::admission::Admission;
use crate::store::host_reports::HostReports;
use crate::store::layout::Store;
use crate::tls::material::Material;

/// The handlers' view of the receiver.
#[derive(Debug)]
pub struct Api {
    /// What GateActor has published.
    pub gate: Latest<Gate>,
    /// Asks GitPollActor how polling goes.
    pub observe_polls: Recipient<git_poll::Observe>,
    /// Asks IndexWriterActor how appending goes.
    pub observe_index: Recipient<index_writer::Observe>,
    /// Makes sure that IndexWriterActor has the row of what is stored.
    pub append: Recipient<Append>,
    /// Starts uploads.
    pub ingest: Ingest,
    /// Who may upload what now.
    pub admission: Admission,
    /// Which pairs have a row.
    pub known: KnownView,
    /// The archives.
    pub store: Arc<Store>,
    /// The reports of the hosts.
    pub reports: HostReports,
    /// How it is found out who sends a request.
    pub identities: Identities,
    /// The receiver's certificate; none without TLS.
    pub tls: Option<Latest<Material>>,
    /// What is said about clients.
    pub notices: Notices,
    /// What requests are held to.
    pub rules: Rules,
    /// When the receiver was started.
    pub started: Instant,
    /// Whether the disk failed the last upload or report that came so far.
    pub disk_fails: AtomicBool,
}

/// What requests are held to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest body, in bytes.
    pub max_upload_bytes: u64,
    /// A body that does not keep it is given up.
    pub pace: Pace,
    /// What a refused host is told to paste.
    pub remediation: String,
}

impl Api {
    /// The answer that a refusal means. That the disk fails is logged when it begins, not once per try.
    pub fn refuse(&self, refusal: &Refusal) -> HttpResponse {
        if !refusal.is_disk_trouble() || !self.disk_fails.swap(true, Ordering::Relaxed) {
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
        if self.disk_fails.swap(false, Ordering::Relaxed) {
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
