//! The verdict on an upload before its body: everything that can be known from its head.
//!
//! Asked for by the expect service, before `100 Continue`, and by the handler for clients that send no Expect.
//! The order: head, already stored, gate, disk and admission. What is already stored comes before the gate, so
//! that a lost answer and a window that moved on meanwhile cannot strand an episode that is in the data set.

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

/// Whoever is refused for the number of uploads is told so after this time. One that comes again at once, over many
/// connections, would otherwise keep the receiver busy with refusing, to the others' cost (I9).
const PAUSE: Duration = Duration::from_secs(1);

/// What is to happen with an upload that was not refused.
#[derive(Debug)]
pub enum Preflight {
    /// Its body may come. Dropping the permit lets others in.
    Upload {
        /// What was promised.
        declared: DeclaredUpload,
        /// The right to upload it.
        permit: Permit,
        /// Where its commit stands in the window.
        position: Option<CommitPosition>,
    },
    /// It is stored and indexed; the body is not needed.
    AlreadyStored {
        /// The body of the 200.
        answer: StoreAnswer,
        /// Where its commit stands in the window.
        position: Option<CommitPosition>,
    },
}

/// Looks at the head of a PUT.
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

/// The gate's verdict on an upload. Whoever may write as a host is that host, so its amnesties are his.
fn gate(api: &Api, upload: &UploadHead) -> Verdict {
    api.gate.now().check(upload.claimed.clone(), Some(&upload.host_id), system_time())
}

/// The answer where the pair has both its row and its file, of the size in the row; a conflict where the row's hash is
/// another.
///
/// Without a row, or with a row that names no hash, the upload goes on: publishing finds the file and compares.
async fn already_stored(api: &Api, upload: &UploadHead) -> Result<Option<StoreAnswer>, Refusal> {
    let UploadHead { host_id, episode_id, .. } = upload;
    let mut row = api.records.row_known(host_id, episode_id);
    if row.and_then(|row| row.sha256).is_some_and(|sha256| sha256 != upload.sha256) {
        // Before a verdict: what is known may be of an index that a person has replaced since.
        row = api.records.row_now(host_id, episode_id).await?;
    }
    let Some((row, sha256)) = row.and_then(|row| Some((row, row.sha256?))) else { return Ok(None) };
    commit::compare(sha256, upload.sha256).map_err(Refusal::Ingest)?;
    // Other bytes are another file: the upload goes on, and heals it.
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
