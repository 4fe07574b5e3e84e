//! The last use of each token, so that a maintainer sees whether an old token can be removed. It is noted in memory
//! with every request, and written at most once a minute to a small file beside the index.
//!
//! Losing the file is harmless. No request waits for the lock: a use that cannot be noted at once is dropped.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cis490_shared::durable;
use cis490_shared::moment::Moment;
use cis490_shared::small_file;

use super::tokens::{TokenId, Tokens};

/// The name of the file in the state directory.
const NAME: &str = "token-use.json";
/// The mode of the file: activity is for maintainers only.
const MODE: u32 = 0o640;
/// The size limit of the file: more than the uses of all tokens that a token file can hold.
const MAX_BYTES: u64 = 4 << 20;

/// The last use of each token that was ever used.
pub type Uses = BTreeMap<TokenId, Moment>;

/// The last uses, as requests note them. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct LastUse(Arc<Mutex<Uses>>);

impl LastUse {
    /// Continues with the uses that the last run has written, without those of removed tokens.
    pub fn of(mut uses: Uses, tokens: &Tokens) -> Self {
        let known: Vec<TokenId> = tokens.entries().into_iter().map(|entry| entry.id).collect();
        uses.retain(|id, _| known.contains(id));
        Self(Arc::new(Mutex::new(uses)))
    }

    /// Notes that a token was used now.
    pub fn note(&self, id: TokenId, now: SystemTime) {
        if let Ok(mut uses) = self.0.try_lock() {
            uses.insert(id, Moment::of(now));
        }
    }

    /// Returns all noted uses.
    pub fn all(&self) -> Uses {
        // A panic cannot leave half an entry, because one insertion is all that happens under the lock.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Returns the path of the file.
pub fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// Reads the file of the last run; empty if it cannot be read. Blocks.
pub fn read(path: &Path) -> Uses {
    let text = small_file::read_text(path, MAX_BYTES).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Replaces the file atomically, so that a reader sees the old or the new uses. Blocks.
pub fn write(path: &Path, uses: &Uses) -> io::Result<()> {
    durable::replace_fleeting_file(path, &serde_json::to_vec(uses)?, MODE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cis490_shared::ids::HostId;

    use super::*;
    use crate::auth::tokens::{RANDOM_BYTES, Token, lines_of};

    #[test]
    fn uses_survive_a_restart_but_for_those_of_tokens_that_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = path_in(dir.path());
        assert_eq!(read(&path), Uses::new());
        let [kept, gone] = [1, 2].map(|byte| Token::of([byte; RANDOM_BYTES]));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_760_000_000);
        let uses = LastUse::default();
        uses.note(kept.id(), now);
        uses.note(gone.id(), now);
        write(&path, &uses.all()).unwrap();
        let text = lines_of(&HostId::parse("lab-1").unwrap(), &kept, Moment::of(now));
        let later = LastUse::of(read(&path), &Tokens::parse(&text).unwrap());
        assert_eq!(later.all(), Uses::from([(kept.id(), Moment::of(now))]));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(read(&path), Uses::new(), "losing it is harmless");
    }

    #[test]
    fn a_request_never_waits_to_note_a_use() {
        let uses = LastUse::default();
        let held = uses.0.lock().unwrap();
        uses.note(Token::of([1; RANDOM_BYTES]).id(), SystemTime::UNIX_EPOCH);
        drop(held);
        assert_eq!(uses.all(), Uses::new());
    }
}
