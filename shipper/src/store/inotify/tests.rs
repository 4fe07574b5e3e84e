//! Events of the real kernel. When a call that changes the directory returns, its events are in the queue, so nothing
//! here waits.

use cis490_shared::durable;
use tempfile::TempDir;

use super::*;

fn id(text: &str) -> EpisodeId {
    EpisodeId::parse(text).unwrap()
}

struct Place {
    dir: TempDir,
    watcher: EpisodeWatcher,
}

impl Place {
    /// Creates `episodes/` with directories that have no marker yet.
    fn with(names: &[&str], most: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("episodes")).unwrap();
        fs::create_dir_all(dir.path().join("quarantine")).unwrap();
        for name in names {
            fs::create_dir(dir.path().join("episodes").join(name)).unwrap();
        }
        let mut watcher = EpisodeWatcher::open(&dir.path().join("episodes"), most).unwrap();
        assert!(!watcher.rescan().unwrap());
        Self { dir, watcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("episodes").join(name)
    }

    fn begin(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
    }

    fn end(&self, name: &str) {
        fs::write(self.path(name).join("done.marker"), "").unwrap();
    }

    /// Reads all events, and returns them as one.
    fn seen(&mut self) -> Seen {
        let mut all = Seen::default();
        while !all.emptied {
            let seen = self.watcher.take().unwrap();
            all.ready.extend(seen.ready);
            all.rescan |= seen.rescan;
            all.gone |= seen.gone;
            all.emptied = seen.emptied;
        }
        all
    }

    fn ready(&mut self) -> Vec<String> {
        self.seen().ready.iter().map(EpisodeId::to_string).collect()
    }

    fn watched(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.watcher.watched.values().map(EpisodeId::as_str).collect();
        names.sort_unstable();
        names
    }
}

#[test]
fn an_episode_counts_once_its_marker_is_there_whether_it_was_there_before_or_came_since() {
    let mut place = Place::with(&["before"], 9);
    place.begin("since");
    fs::write(place.path("since").join("meta.json"), "{}").unwrap();
    assert_eq!((place.ready(), place.watched()), (vec![], vec!["before", "since"]));
    place.end("since");
    assert_eq!((place.ready(), place.watched()), (vec!["since".to_owned()], vec!["before"]));
    // Under another name first, as a careful recorder writes it.
    fs::write(place.path("before").join(".marker.new"), "").unwrap();
    durable::rename_noreplace(&place.path("before/.marker.new"), &place.path("before/done.marker")).unwrap();
    assert_eq!((place.ready(), place.watched().len()), (vec!["before".to_owned()], 0));
    place.end("since");
    assert_eq!(place.ready(), [""; 0], "it was told");
}

#[test]
fn a_directory_that_is_moved_there_counts_at_once_with_its_marker_and_is_watched_without() {
    let mut place = Place::with(&[], 9);
    for (name, is_done) in [("done", true), ("open", false)] {
        let from = place.dir.path().join("quarantine").join(name);
        fs::create_dir(&from).unwrap();
        if is_done {
            fs::write(from.join("done.marker"), "").unwrap();
        }
        durable::rename_noreplace(&from, &place.path(name)).unwrap();
    }
    assert_eq!((place.ready(), place.watched()), (vec!["done".to_owned()], vec!["open"]));
}

#[test]
fn a_marker_that_came_before_its_directory_was_looked_at_is_not_missed() {
    let mut place = Place::with(&[], 9);
    place.begin("fast");
    place.end("fast");
    assert_eq!((place.ready(), place.watched().len()), (vec!["fast".to_owned()], 0));
}

#[test]
fn a_directory_that_goes_or_gets_another_name_takes_its_watch_along() {
    let mut place = Place::with(&["deleted", "moved", "renamed"], 9);
    fs::remove_dir(place.path("deleted")).unwrap();
    durable::rename_noreplace(&place.path("moved"), &place.dir.path().join("quarantine/moved")).unwrap();
    durable::rename_noreplace(&place.path("renamed"), &place.path("new-name")).unwrap();
    assert_eq!((place.ready(), place.watched()), (vec![], vec!["new-name"]));
    fs::write(place.dir.path().join("quarantine/moved/done.marker"), "").unwrap();
    place.end("new-name");
    assert_eq!(place.ready(), ["new-name"], "by the name that it has now, and nothing from elsewhere");
}

#[test]
fn what_is_no_episode_is_neither_watched_nor_told() {
    let mut place = Place::with(&[], 9);
    place.begin("not.an.episode");
    fs::write(place.path("file"), "").unwrap();
    std::os::unix::fs::symlink(place.dir.path().join("quarantine"), place.path("link")).unwrap();
    assert_eq!((place.ready(), place.watched().len()), (vec![], 0));
    assert!(!place.watcher.rescan().unwrap());
    assert_eq!(place.watched().len(), 0);
}

#[test]
fn watches_are_bounded_and_whoever_was_left_out_gets_a_place_when_half_of_them_are_free() {
    let mut place = Place::with(&["a", "b", "c", "d"], 4);
    assert!(!place.watcher.leaves_some_out());
    place.begin("e");
    assert_eq!((place.ready(), place.watcher.leaves_some_out()), (vec![], true));
    place.end("a");
    assert!(!place.seen().rescan, "one place is not worth a look at everything");
    place.end("b");
    assert!(place.seen().rescan);
    assert!(place.watcher.rescan().unwrap(), "a and b are still there, and ready");
    assert_eq!((place.watched(), place.watcher.leaves_some_out()), (vec!["c", "d", "e"], false));
    place.end("e");
    assert_eq!(place.ready(), ["e"]);
}

#[test]
fn events_that_the_kernel_drops_are_known_to_be_missed_and_a_look_at_everything_mends_it() {
    let limit: usize =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let mut place = Place::with(&["gone", "marked"], 9);
    // The kernel merges equal events in a row, so two names take turns.
    for n in 0..limit {
        let path = place.path("marked").join(["one", "two"][n % 2]);
        fs::write(&path, "").unwrap();
        fs::remove_file(&path).unwrap();
    }
    place.end("marked");
    fs::remove_dir(place.path("gone")).unwrap();
    let seen = place.seen();
    assert!(seen.rescan && seen.ready.is_empty(), "{seen:?}");
    assert!(place.watcher.rescan().unwrap(), "one is ready");
    assert_eq!(place.watched().len(), 0);
    place.begin("later");
    place.end("later");
    assert_eq!(place.ready(), ["later"]);
}

#[test]
fn episodes_that_is_no_more_is_told() {
    let mut place = Place::with(&[], 9);
    durable::rename_noreplace(&place.dir.path().join("episodes"), &place.dir.path().join("other")).unwrap();
    assert!(place.seen().gone);
    assert!(EpisodeWatcher::open(&place.dir.path().join("episodes"), 9).is_err());
}

#[test]
fn a_directory_that_is_told_twice_is_watched_once() {
    let mut place = Place::with(&["a"], 9);
    assert!(!place.watcher.rescan().unwrap());
    assert!(!place.watcher.admit(&id("a")));
    assert_eq!(place.watched(), ["a"]);
}
