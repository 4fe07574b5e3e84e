//! Names for the steps that the durability guarantees depend on. A test run can leave out one of them, and must then
//! fail.
//!
//! Every sync and rename of the commit protocol, of the index, of a start and of the shipper's moves calls
//! [`Step::is_taken`]. So does every check there that only a test of whole programs can notice. Other checks do not,
//! because unit tests of their crate hold them. For those in `.cargo/mutants.toml`, mutants show that a unit test notices a
//! change (`integration-tests/system/mutants.sh`).
//!
//! A release build takes every step, and the compiler removes the call. In a build with debug assertions the variable
//! `CIS490_OMIT` names one step to leave out, so that the tests need no separate build. `docs/durability.md` has a row
//! for each step with the test that fails without it, and `integration-tests/system/omissions.sh` runs that table.
//! `scripts/build-packages.sh` refuses to pack a program that knows the variable.

/// Defines the steps with their names, in the order of the protocol.
macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal;)+) => {
        /// A step of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// All steps, in the order of the protocol.
            pub const ALL: &[Self] = &[$(Self::$step),+];

            /// Returns the name by which a test run leaves the step out.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// The declared length is reserved on the disk before the first byte.
    Reserve = "reserve";
    /// The bytes of an archive are on disk before it gets its name.
    SyncArchive = "sync-archive";
    /// The name of a new directory is on disk before its content counts.
    SyncNewDir = "sync-new-dir";
    /// An existing name is made durable, because the process that created it may have died before its sync.
    SyncFoundName = "sync-found-name";
    /// An upload makes the directory of its host durable if it already existed, or if its last sync failed.
    SyncFoundHost = "sync-found-host";
    /// Publishing never replaces a file.
    NeverReplace = "never-replace";
    /// An upload is compared by its hash with the row of its pair, or else with the file under its name.
    CompareHashes = "compare-hashes";
    /// A stored archive is healed only by the bytes that its row names.
    HealByRow = "heal-by-row";
    /// A damaged archive has its new name on disk before another file takes the old one.
    SyncSetAside = "sync-set-aside";
    /// A stored file whose size differs from its row does not count as stored.
    MatchStoredSize = "match-stored-size";
    /// The name of an archive is on disk before its row.
    SyncHostDir = "sync-host-dir";
    /// The answer waits for the row.
    WaitForRow = "wait-for-row";
    /// Rows are on disk before their uploads are answered.
    SyncIndex = "sync-index";
    /// The rows of a failed batch are truncated from the index.
    CutFailedBatch = "cut-failed-batch";
    /// A descriptor of the index is never used again after an error.
    ForgetFailedIndex = "forget-failed-index";
    /// Rows that another program appended are synced before anything relies on them, because that program may not have
    /// synced them.
    SyncFoundRows = "sync-found-rows";
    /// A lost write permission on the index is noticed, although the open descriptor would still work.
    NoticePermission = "notice-permission";
    /// The name of a new index is on disk before its rows count.
    SyncNewFile = "sync-new-file";
    /// The answer `already-present` is sent only after the row is confirmed.
    ConfirmRow = "confirm-row";
    /// HEAD reports an episode as stored only if it has a row.
    HeadNeedsRow = "head-needs-row";
    /// The bytes of a file that replaces another are on disk before it takes the name.
    SyncReplacement = "sync-replacement";
    /// The name of a file that replaced another is on disk before anything relies on it.
    SyncReplacedName = "sync-replaced-name";
    /// A start adds a row for each archive that has none.
    ReconcileArchives = "reconcile-archives";
    /// Only one receiver works on a state directory.
    LockReceiver = "lock-receiver";
    /// The window of the last run is in force until the clone has been read.
    KeepWindow = "keep-window";
    /// The bytes of an archive in the outbox are on disk before it gets its name.
    SyncPacked = "sync-packed";
    /// The name of an archive in the outbox is on disk before its last bytes are sent.
    SyncOutbox = "sync-outbox";
    /// An upload that broke counts as stored only if HEAD names its hash.
    MatchHead = "match-head";
    /// The new name of a moved episode is on disk before the move counts.
    SyncMovedTo = "sync-moved-to";
    /// The old name of a moved episode is gone from the disk before the move counts.
    SyncMovedFrom = "sync-moved-from";
    /// The destinations of earlier moves are synced before the next move, if a process died or a sync failed there.
    SyncPlaces = "sync-places";
    /// A directory that cannot be renamed is copied, and the copy is on disk before it gets its name.
    SyncCopy = "sync-copy";
    /// The removal of the original's marker is on disk before its other files are deleted one by one.
    SyncUnmarked = "sync-unmarked";
    /// The new name of an episode that returned from quarantine is on disk before the old one may be gone.
    SyncReturned = "sync-returned";
    /// Archives without an episode are removed from the outbox.
    SweepOutbox = "sweep-outbox";
}

impl Step {
    /// Does the work of the step, if it is taken.
    pub fn take<E>(self, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.is_taken() { work() } else { Ok(()) }
    }

    /// Returns true if the step is taken: always, in a build without debug assertions.
    #[cfg(not(debug_assertions))]
    pub const fn is_taken(self) -> bool {
        true
    }

    /// Returns true unless the step is the one to leave out.
    #[cfg(debug_assertions)]
    pub fn is_taken(self) -> bool {
        omitted() != Some(self)
    }
}

/// The variable that names the step to leave out.
pub const VARIABLE: &str = "CIS490_OMIT";

/// Returns the step that this run leaves out. Panics if the variable names no known step, because a run that omits
/// nothing proves nothing.
#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "no program that is installed has this")]
#[expect(clippy::panic, reason = "as above")]
pub fn omitted() -> Option<Step> {
    use std::sync::OnceLock;
    static OMITTED: OnceLock<Option<Step>> = OnceLock::new();
    *OMITTED.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
        let step = Step::ALL.iter().copied().find(|step| step.name() == name);
        let step = step.unwrap_or_else(|| panic!("{VARIABLE} names `{name}`, and there is no such step"));
        tracing::warn!(step = step.name(), "a step of the protocol is left out, this is a test");
        Some(step)
    })
}

/// Returns the step that this run leaves out: `None`, in a build without debug assertions.
#[cfg(not(debug_assertions))]
pub const fn omitted() -> Option<Step> {
    None
}
