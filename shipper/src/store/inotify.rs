//! Finished episodes as the kernel tells of them (inotify), between two scans of `episodes/`.
//!
//! Watched are `episodes/` itself, for directories that are created or moved there, and each directory without a
//! marker, for the marker. The number of watches is bounded, and the kernel may drop what it wanted to tell: what is
//! missed for that is found by the scan, which this only precedes. It reads no episode and moves none. A network file
//! system tells nothing of what other machines do to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cis490_shared::archive::DONE_MARKER;
use cis490_shared::ids::EpisodeId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::store::scan;

/// So many directories without a marker are watched at most. A host records a few at a time; more are left behind by
/// recordings that failed, and the scan looks at those as well.
pub const MAX_WATCHES: usize = 512;

/// Events are read in portions of so many bytes, a few hundred of them, so that one look at them is short.
const BUFFER: usize = 16 * 1024;

/// What is asked of `episodes/`.
const OF_EPISODES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// What is asked of a directory in it.
const OF_RECORDING: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// What a look at the events has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Episodes that are finished.
    pub ready: Vec<EpisodeId>,
    /// The kernel had to drop events, or a place has become free that somebody waits for: look at everything.
    pub rescan: bool,
    /// Nothing more is to be read at the moment.
    pub emptied: bool,
    /// `episodes/` is not where it was: nothing more will come.
    pub gone: bool,
}

/// An event, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Arrived(EpisodeId),
    Left(EpisodeId),
    Marked(i32),
    Forgotten(i32),
    Dropped,
    Gone,
}

/// The watches on `episodes/`.
#[derive(Debug)]
pub struct EpisodeWatcher {
    episodes: PathBuf,
    inotify: Arc<OwnedFd>,
    /// The watch on `episodes/`.
    root: i32,
    watched: BTreeMap<i32, EpisodeId>,
    most: usize,
    /// Some are not watched, for lack of places.
    left_out: bool,
}

impl EpisodeWatcher {
    /// Begins to watch `episodes`, and at most `most` directories in it once [`Self::rescan`] was called. Blocks.
    pub fn open(episodes: &Path, most: usize) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let root = inotify::add_watch(&inotify, episodes, OF_EPISODES)?;
        let (episodes, inotify) = (episodes.to_owned(), Arc::new(inotify));
        Ok(Self { episodes, inotify, root, watched: BTreeMap::new(), most, left_out: false })
    }

    /// Becomes readable with the next event.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Whether directories are there that are left to the scan, for lack of places.
    pub fn leaves_some_out(&self) -> bool {
        self.left_out
    }

    /// Looks at all directories, and watches those without a marker. True where one has it already: a scan is due.
    /// Blocks.
    pub fn rescan(&mut self) -> io::Result<bool> {
        self.left_out = false;
        let mut is_any_ready = false;
        let mut gone: BTreeSet<EpisodeId> = self.watched.values().cloned().collect();
        for entry in fs::read_dir(&self.episodes)? {
            let entry = entry?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let Ok(id) = scan::identify(&entry.file_name(), is_directory) {
                gone.remove(&id);
                is_any_ready |= self.admit(&id);
            }
        }
        for id in gone {
            self.forget(&id);
        }
        Ok(is_any_ready)
    }

    /// Takes the next portion of events. Blocks for the disk only, never for an event.
    pub fn take(&mut self) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let events = self.read(&mut seen)?;
        let was_full = self.left_out && self.watched.len() * 2 > self.most;
        for event in events {
            match event {
                Event::Arrived(id) => {
                    if self.admit(&id) {
                        seen.ready.push(id);
                    }
                }
                Event::Left(id) => self.forget(&id),
                // Unknown ones were forgotten since.
                Event::Marked(watch) => {
                    if let Some(id) = self.watched.get(&watch).cloned() {
                        self.forget(&id);
                        seen.ready.push(id);
                    }
                }
                Event::Forgotten(watch) => drop(self.watched.remove(&watch)),
                Event::Dropped => seen.rescan = true,
                Event::Gone => seen.gone = true,
            }
        }
        // At half the places, so that a look at everything is not due for each that becomes free.
        seen.rescan |= was_full && self.watched.len() * 2 <= self.most;
        Ok(seen)
    }

    fn read(&self, seen: &mut Seen) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    events.extend(understand(&event, self.root));
                    if reader.is_buffer_empty() {
                        return Ok(events);
                    }
                }
                Err(Errno::WOULDBLOCK) => {
                    seen.emptied = true;
                    return Ok(events);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a directory has its marker; one that has not is watched, if there is a place for it.
    fn admit(&mut self, id: &EpisodeId) -> bool {
        let is_watched = self.watched.values().any(|watched| watched == id);
        if self.has_marker(id) {
            if is_watched {
                self.forget(id);
            }
            return true;
        }
        if is_watched || !self.watch(id) {
            return false;
        }
        // The marker may have come before the watch did.
        let is_ready = self.has_marker(id);
        if is_ready {
            self.forget(id);
        }
        is_ready
    }

    fn has_marker(&self, id: &EpisodeId) -> bool {
        fs::symlink_metadata(self.episodes.join(id.as_str()).join(DONE_MARKER)).is_ok()
    }

    /// True where the directory is watched from now on.
    fn watch(&mut self, id: &EpisodeId) -> bool {
        if self.watched.len() >= self.most {
            self.left_out = true;
            return false;
        }
        match inotify::add_watch(&self.inotify, self.episodes.join(id.as_str()), OF_RECORDING) {
            Ok(watch) => {
                self.watched.insert(watch, id.clone());
                true
            }
            Err(error) => {
                // The kernel has no place (`fs.inotify.max_user_watches`); else it is gone, or not for us to read.
                self.left_out |= matches!(error, Errno::NOSPC | Errno::NOMEM);
                false
            }
        }
    }

    fn forget(&mut self, id: &EpisodeId) {
        let watch = self.watched.iter().find(|(_, watched)| *watched == id).map(|(watch, _)| *watch);
        if let Some(watch) = watch {
            self.watched.remove(&watch);
            // The kernel drops the watch of a directory that was deleted by itself; then it is gone already.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }
}

/// What an event means; none where it means nothing here.
fn understand(event: &inotify::Event<'_>, root: i32) -> Option<Event> {
    let (kind, watch) = (event.events(), event.wd());
    let name = || event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
    if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Event::Dropped);
    }
    if watch != root {
        return match name() {
            Some(name) if name == DONE_MARKER => Some(Event::Marked(watch)),
            _ => kind.contains(ReadFlags::IGNORED).then_some(Event::Forgotten(watch)),
        };
    }
    if kind
        .intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF)
    {
        return Some(Event::Gone);
    }
    let id = scan::identify(name()?, kind.contains(ReadFlags::ISDIR)).ok()?;
    let has_left = kind.contains(ReadFlags::MOVED_FROM);
    Some(if has_left { Event::Left(id) } else { Event::Arrived(id) })
}

#[cfg(test)]
mod tests;
