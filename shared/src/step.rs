//! The steps that the guarantees rest on, by name, so that a test run can leave one out and must fail.
//!
//! Every sync and rename of the commit protocol, of the index, of a start and of the shipper's moves, and every check
//! there that only a test over whole programs can notice, asks here whether it is taken. Other checks do not: mutants
//! show from outside that a unit test notices them (`integration-tests/system/mutants.sh`). In a release build it always is, and the compiler removes the question. In a build with debug
//! assertions the variable `CIS490_OMIT` names one step to leave out, so that the tests need no build of their own.
//! `docs/durability.md` has a row for each step with the test that fails without it, and
//! `integration-tests/system/omissions.sh` runs that table. `scripts/build-packages.sh` refuses to pack a program that
//! knows the variable.

/// Defines the steps with their names, in the order of the protocol.
macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal;)+) => {
        /// A step of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// All of them, in the order of the protocol.
            pub const ALL: &[Self] = &[$(Self::$step),+];

            /// The name by which a test run leaves it out.
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
    /// The bytes of an archive are on disk before it has its name.
    SyncArchive = "sync-archive";
    /// The name of a new directory is on disk before anything in it counts.
    SyncNewDir = "sync-new-dir";
    /// A name that was found and not made is made durable: whoever made it may have died before that.
    SyncFoundName = "sync-found-name";
    /// The directory of a host that was found, or whose sync failed, is made durable by the next upload.
    SyncFoundHost = "sync-found-host";
    /// Publishing never replaces a file.
    NeverReplace = "never-replace";
    /// What is stored under a name, or promised by its row, is compared by its hash.
    CompareHashes = "compare-hashes";
    /// A stored archive is healed only by the bytes that its row names.
    HealByRow = "heal-by-row";
    /// A damaged archive has its new name on disk before another file takes the old one.
    SyncSetAside = "sync-set-aside";
    /// A stored file of another size than its row says is not what is stored.
    MatchStoredSize = "match-stored-size";
    /// The name of an archive is on disk before its row.
    SyncHostDir = "sync-host-dir";
    /// The answer waits for the row.
    WaitForRow = "wait-for-row";
    /// Rows are on disk before they are answered.
    SyncIndex = "sync-index";
    /// The rows of a failed batch are cut off again.
    CutFailedBatch = "cut-failed-batch";
    /// A descriptor of the index that failed is never used again.
    ForgetFailedIndex = "forget-failed-index";
    /// What another program appended and perhaps never synced is synced before it is relied on.
    SyncFoundRows = "sync-found-rows";
    /// An index that may no longer be written is noticed, although the open descriptor would still work.
    NoticePermission = "notice-permission";
    /// The name of a new index is on disk before its rows count.
    SyncNewFile = "sync-new-file";
    /// `already-present` makes sure of the row.
    ConfirmRow = "confirm-row";
    /// HEAD calls stored only what has its row.
    HeadNeedsRow = "head-needs-row";
    /// A file that is replaced as a whole is on disk before it takes its name.
    SyncReplacement = "sync-replacement";
    /// The name that such a file took is on disk before it is relied on.
    SyncReplacedName = "sync-replaced-name";
    /// A start gives archives without a row theirs.
    ReconcileArchives = "reconcile-archives";
    /// One receiver works on a state directory.
    LockReceiver = "lock-receiver";
    /// The window of the last run counts until the clone is read.
    KeepWindow = "keep-window";
    /// The bytes of an archive in the outbox are on disk before it has its name.
    SyncPacked = "sync-packed";
    /// The name of an archive in the outbox is on disk before its last bytes are sent.
    SyncOutbox = "sync-outbox";
    /// An upload that broke counts as stored only if HEAD names its hash.
    MatchHead = "match-head";
    /// The new name of a moved episode is on disk before the move counts.
    SyncMovedTo = "sync-moved-to";
    /// The old name of a moved episode is gone from the disk before the move counts.
    SyncMovedFrom = "sync-moved-from";
    /// Where an episode was moved to, by a dead process or with a failed sync, is on disk before the next move.
    SyncPlaces = "sync-places";
    /// A directory that cannot be renamed is copied, and the copy is on disk before it has its name.
    SyncCopy = "sync-copy";
    /// The original is no episode any more, on the disk, before it is deleted file by file.
    SyncUnmarked = "sync-unmarked";
    /// The name of an episode that returned from quarantine is on disk before the old one may be gone.
    SyncReturned = "sync-returned";
    /// The outbox is swept of what has no episode.
    SweepOutbox = "sweep-outbox";
}

impl Step {
    /// Does the work of the step, where it is taken.
    pub fn take<E>(self, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.is_taken() { work() } else { Ok(()) }
    }

    /// Whether the step is taken: always, in a program that is built without debug assertions.
    #[cfg(not(debug_assertions))]
    pub const fn is_taken(self) -> bool {
        true
    }

    /// Whether the step is taken: unless it is the one to be left out.
    #[cfg(debug_assertions)]
    pub fn is_taken(self) -> bool {
        omitted() != Some(self)
    }
}

/// The variable that names the step to leave out.
pub const VARIABLE: &str = "CIS490_OMIT";

/// The step that this run leaves out. Panics where there is none of that name: a run that omits nothing proves nothing.
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

/// The step that this run leaves out: none, in a program that is built without debug assertions.
#[cfg(not(debug_assertions))]
pub const fn omitted() -> Option<Step> {
    None
}
