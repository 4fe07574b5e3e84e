//! Finished episodes between two scans of `episodes/`, by events of the kernel (inotify).
//!
//! There is a watch on `episodes/` for directories that are created or moved there. There is one on each directory
//! without a marker, for the marker. The number of watches is bounded, and the kernel may drop events. The scan finds
//! every episode that was missed; events only come earlier. This module reads no episode and moves none. A network file
//! system reports no changes by other machines.

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

/// The most directories without a marker that are watched. A host records a few at a time. Failed recordings leave more
/// behind, and the scan covers those too.
pub const MAX_WATCHES: usize = 512;

/// Events are read in portions of this size, in bytes: some hundreds of events, so that each read is short.
const BUFFER: usize = 16 * 1024;

/// The events of `episodes/`.
const OF_EPISODES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// The events of a directory in `episodes/`.
const OF_RECORDING: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// The result of one read of events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Episodes that are finished.
    pub ready: Vec<EpisodeId>,
    /// The kernel dropped events, or a directory can be watched that could not before. So everything must be scanned.
    pub rescan: bool,
    /// No more events can be read at the moment.
    pub emptied: bool,
    /// `episodes/` is not where it was, so no more events will come.
    pub gone: bool,
}

/// An event that matters here.
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
    /// Some directories are not watched, because no watch was free.
    left_out: bool,
}

impl EpisodeWatcher {
    /// Begins to watch `episodes`, and at most `most` directories in it after [`Self::rescan`]. Blocks.
    pub fn open(episodes: &Path, most: usize) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let root = inotify::add_watch(&inotify, episodes, OF_EPISODES)?;
        let (episodes, inotify) = (episodes.to_owned(), Arc::new(inotify));
        Ok(Self { episodes, inotify, root, watched: BTreeMap::new(), most, left_out: false })
    }

    /// Returns the descriptor, which becomes readable with the next event.
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Returns true if some directories are left to the scan, because no watch was free.
    pub fn leaves_some_out(&self) -> bool {
        self.left_out
    }

    /// Looks at all directories, and watches those without a marker. Returns true if one has its marker already, so
    /// that a scan is due. Blocks.
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

    /// Reads the next portion of events. Blocks for the disk only, never for an event.
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
                // An unknown watch was forgotten meanwhile.
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
        // At half the watches, so that not every watch that becomes free causes a rescan.
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

    /// Returns true if a directory has its marker. Otherwise watches it, if a watch is free.
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
        // The marker may have come before the watch.
        let is_ready = self.has_marker(id);
        if is_ready {
            self.forget(id);
        }
        is_ready
    }

    fn has_marker(&self, id: &EpisodeId) -> bool {
        fs::symlink_metadata(self.episodes.join(id.as_str()).join(DONE_MARKER)).is_ok()
    }

    /// Returns true if the directory is watched from now on.
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
                // The kernel has no watch left (`fs.inotify.max_user_watches`). Otherwise the directory is gone, or may
                // not be read.
                self.left_out |= matches!(error, Errno::NOSPC | Errno::NOMEM);
                false
            }
        }
    }

    fn forget(&mut self, id: &EpisodeId) {
        let watch = self.watched.iter().find(|(_, watched)| *watched == id).map(|(watch, _)| *watch);
        if let Some(watch) = watch {
            self.watched.remove(&watch);
            // The kernel itself drops the watch of a deleted directory. Then the watch is gone already.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }
}

/// Translates an event. `None` if it does not matter here.
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
