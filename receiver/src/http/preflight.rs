//! The verdict on an upload before its body: everything that can be known from its head.
//!
//! The expect service asks for it before `100 Continue`; the handler asks for it if the client sent no Expect. The
//! order is: head, already stored, gate, disk and admission. An episode that is already stored is answered before the
//! gate. Otherwise an episode in the data set could be refused, after an answer was lost and the window moved on.

use std::time::Duration;

use actix_http::RequestHead;
use cis490_shared::clock::system_time;
use cis490_shared::wire::answer::{StoreAnswer, StoreStatus};
use cis490_shared::wire::headers::CommitPosition;

use super::api::Api;
use super::headers::{self, UploadHead};
use super::refusal::Refusal;
use crate::gate::window::{ClaimedCommit, Verdict};
use crate::ingest::admission::{Permit, Room};
use crate::ingest::{DeclaredUpload, commit};
use crate::store::stored::Stored;

/// The delay of a refusal because of the number of uploads. Without it, a client that retries at once over many
/// connections would keep the receiver busy with refusals, at the expense of others (I9).
const PAUSE: Duration = Duration::from_secs(1);

/// The verdict on an upload that was not refused.
#[derive(Debug)]
pub enum Preflight {
    /// The body may come. Dropping the permit frees its place.
    Upload {
        /// The declarations in the head.
        declared: DeclaredUpload,
        /// The right to upload it.
        permit: Permit,
        /// The position of its commit in the window.
        position: Option<CommitPosition>,
    },
    /// The episode is stored and indexed, so the body is not needed.
    AlreadyStored {
        /// The body of the 200.
        answer: StoreAnswer,
        /// The position of its commit in the window.
        position: Option<CommitPosition>,
    },
}

/// Checks the head of a PUT.
pub async fn check_upload(api: &Api, head: &RequestHead) -> Result<Preflight, Refusal> {
    let upload = headers::upload(head, api.rules.max_upload_bytes)?;
    if let Some(answer) = already_stored(api, &upload).await? {
        let position = match gate(api, &upload) {
            Verdict::Admitted { position, .. } => position,
            Verdict::UnderAmnesty { .. } | Verdict::Refused(_) => None,
        };
        return Ok(Preflight::AlreadyStored { answer, position });
    }
    let (commit, position, amnesty) = match gate(api, &upload) {
        Verdict::Admitted { commit, position } => (commit, position, None),
        Verdict::UnderAmnesty { commit, amnesty } => (Some(commit), None, Some(amnesty)),
        Verdict::Refused(refusal) => return Err(Refusal::Gate(refusal)),
    };
    let room = || {
        let free_bytes = api.records.room()?.bytes;
        Ok(Room { free_bytes, host_bytes: api.records.bytes_of(&upload.host_id) })
    };
    let admitted = api.admission.admit(&upload.host_id, &upload.episode_id, upload.length, room);
    let permit = match admitted.map_err(Refusal::Disk)? {
        Ok(permit) => permit,
        Err(refusal) => {
            if refusal.is_for_number() {
                tokio::time::sleep(PAUSE).await;
            }
            return Err(Refusal::Admission(refusal));
        }
    };
    let UploadHead { host_id, episode_id, length, sha256, .. } = upload;
    let declared = DeclaredUpload { host_id, episode_id, sha256, length, commit, amnesty };
    Ok(Preflight::Upload { declared, permit, position })
}

/// Returns the gate's verdict on an upload. The sender may write as this host, so the host's amnesties apply.
fn gate(api: &Api, upload: &UploadHead) -> Verdict {
    api.gate.now().check(upload.claimed.clone(), Some(&upload.host_id), system_time())
}

/// Returns the answer if the pair has its row and a file of the row's size; fails with a conflict if the row names
/// another hash.
///
/// Without a row, or with a row that names no hash, the upload continues: publishing finds the file and compares it.
async fn already_stored(api: &Api, upload: &UploadHead) -> Result<Option<StoreAnswer>, Refusal> {
    let UploadHead { host_id, episode_id, .. } = upload;
    let mut row = api.records.row_known(host_id, episode_id);
    if row.and_then(|row| row.sha256).is_some_and(|sha256| sha256 != upload.sha256) {
        // Read the index again before a conflict, because a person may have replaced it.
        row = api.records.row_now(host_id, episode_id).await?;
    }
    let Some((row, sha256)) = row.and_then(|row| Some((row, row.sha256?))) else { return Ok(None) };
    commit::compare(sha256, upload.sha256).map_err(Refusal::Ingest)?;
    // The file is missing or is not the one that the row names. The upload continues and puts the right one there.
    let Some(Stored { size_bytes, .. }) = api.records.archive(host_id, episode_id, row).await? else {
        return Ok(None);
    };
    let declared = DeclaredUpload {
        host_id: host_id.clone(),
        episode_id: episode_id.clone(),
        sha256,
        length: size_bytes,
        commit: match &upload.claimed {
            ClaimedCommit::Named(commit) => Some(commit.clone()),
            ClaimedCommit::Missing | ClaimedCommit::Malformed => None,
        },
        amnesty: None,
    };
    let receipt = api.records.confirm(commit::row_of(&declared)).await?;
    commit::has_its_row(&declared, receipt).map_err(Refusal::Ingest)?;
    let DeclaredUpload { host_id, episode_id, .. } = declared;
    Ok(Some(StoreAnswer { status: StoreStatus::AlreadyPresent, host_id, episode_id, sha256, size_bytes }))
}
