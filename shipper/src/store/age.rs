//! The age of a file, counted in the time that the shipper itself was running.
//!
//! An episode that is deleted for its age may exist nowhere else, and a wall clock is no evidence. A host without a
//! battery boots in 1970, a virtual machine wakes forty days behind, a bad time server says 2098. So the shipper counts
//! the seconds that it has run, on a clock that nobody sets. Now and then it notes the wall clock beside the count. The
//! time stamp of a file then shows only between which two notes it was made. Its age is the running time since the
//! later note. In doubt the younger age counts, and at the first walk every age is zero.
//!
//! The notes are a small file. If it is lost, or its latest notes were not written, everything becomes younger.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cis490_shared::durable;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const FILE_NAME: &str = ".lived.json";
const FILE_MODE: u32 = 0o640;
/// The most notes. Above it, every second note of the older half is dropped. With an hour between notes, they reach
/// back for months.
const MOST_MARKS: usize = 4096;

/// A note: the wall clock at a count of running time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Nanoseconds since 1970; negative before it.
    wall_ns: i64,
    lived_s: u64,
}

/// The running time on one data directory, in all runs together.
#[derive(Debug, Clone)]
pub struct Lived {
    path: PathBuf,
    counted: Counted,
    /// The end of the time that this run has counted.
    until: Option<Instant>,
}

/// The contents of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    lived_s: u64,
    marks: Vec<Mark>,
}

impl Lived {
    /// Reads the running time of earlier runs on this data directory. Zero if it cannot be read. Blocks.
    pub fn of(data_root: &Path) -> Self {
        let path = data_root.join(FILE_NAME);
        let counted = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        // A count that goes backwards is damaged.
        let is_sound = |counted: &Counted| {
            counted.marks.is_sorted_by_key(|mark| mark.lived_s)
                && counted.marks.last().is_none_or(|mark| mark.lived_s <= counted.lived_s)
        };
        Self { path, counted: counted.filter(is_sound).unwrap_or_default(), until: None }
    }

    /// Counts the time since the last call in this run, and notes the wall clock.
    pub fn go_on(&mut self, now: Instant, wall: SystemTime) {
        let lived = self.until.map_or(Duration::ZERO, |until| now.saturating_duration_since(until));
        // The rest of a second is counted the next time.
        self.until = Some(now - Duration::from_nanos(lived.subsec_nanos().into()));
        self.counted.lived_s = self.counted.lived_s.saturating_add(lived.as_secs());
        let marks = &mut self.counted.marks;
        marks.push(Mark { wall_ns: nanoseconds(wall), lived_s: self.counted.lived_s });
        if marks.len() > MOST_MARKS {
            let half = marks.len() / 2;
            let mut number = 0;
            marks.retain(|_| {
                number += 1;
                number > half || number % 2 == 1
            });
        }
    }

    /// Writes the count for the next run. Blocks.
    pub fn write(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.counted).map_err(io::Error::other)?;
        durable::replace_fleeting_file(&self.path, &text, FILE_MODE)
    }

    /// Returns the least running time since a file got this time stamp.
    pub fn age(&self, stamp: SystemTime) -> Duration {
        let (stamp, Counted { lived_s, marks }) = (nanoseconds(stamp), &self.counted);
        let ends = marks.iter().skip(1).map(|mark| mark.lived_s).chain([*lived_s]);
        // The wall clock may have shown the same time more than once. The latest time counts.
        let latest =
            marks.iter().zip(ends).filter(|(begin, _)| begin.wall_ns <= stamp).map(|(_, end)| end).max();
        // Older than all notes, so the file was there at the first one.
        let since = latest.or_else(|| marks.first().map(|mark| mark.lived_s)).unwrap_or(*lived_s);
        Duration::from_secs(lived_s.saturating_sub(since))
    }
}

/// Converts to nanoseconds since 1970, up to the limits of the type: some three centuries each way.
fn nanoseconds(wall: SystemTime) -> i64 {
    let limit = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => limit(since),
        Err(before) => -limit(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const HOUR: Duration = Duration::from_hours(1);

    fn wall(days: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * days
    }

    /// Runs for `hours` hours while the wall clock goes on from `from`.
    fn run(lived: &mut Lived, hours: u32, from: SystemTime) {
        let begin = Instant::now();
        for hour in 0..=hours {
            lived.go_on(begin + HOUR * hour, from + HOUR * hour);
        }
        lived.until = None;
    }

    fn fresh() -> (TempDir, Lived) {
        let dir = tempfile::tempdir().unwrap();
        let lived = Lived::of(dir.path());
        (dir, lived)
    }

    #[test]
    fn an_age_is_what_was_lived_through_since_and_survives_a_restart() {
        let (dir, mut lived) = fresh();
        assert_eq!(lived.age(wall(0)), Duration::ZERO, "nothing was lived through");
        run(&mut lived, 48, wall(20_000));
        // A file of that hour may have been made at the end of the hour.
        assert_eq!(lived.age(wall(20_001)), 23 * HOUR);
        lived.write().unwrap();
        let mut lived = Lived::of(dir.path());
        // Ten days without a shipper do not count.
        run(&mut lived, 24, wall(20_012));
        assert_eq!(lived.age(wall(20_001)), 47 * HOUR);
    }

    #[test]
    fn no_jump_of_the_clock_makes_anything_old() {
        for jumped in [wall(0), wall(20_000 - 40), wall(20_000 + 26_000)] {
            let (_dir, mut lived) = fresh();
            run(&mut lived, 24, wall(20_000));
            let refused_at = wall(20_001);
            run(&mut lived, 2, jumped);
            assert!(lived.age(refused_at) <= 3 * HOUR, "{jumped:?}: {:?}", lived.age(refused_at));
            // A file that was made while the clock was wrong does not become old once the clock is right.
            let meanwhile = jumped + HOUR;
            run(&mut lived, 2, wall(20_002));
            assert!(lived.age(meanwhile) <= 4 * HOUR, "{jumped:?}: {:?}", lived.age(meanwhile));
        }
    }

    #[test]
    fn what_was_there_before_the_first_walk_is_young_at_it() {
        let (_dir, mut lived) = fresh();
        run(&mut lived, 0, wall(30_000));
        assert_eq!(lived.age(wall(20_000)), Duration::ZERO);
        run(&mut lived, 24, wall(30_000));
        assert_eq!(lived.age(wall(20_000)), DAY);
    }

    #[test]
    fn notes_that_are_left_out_or_damaged_make_nothing_older() {
        let (dir, mut lived) = fresh();
        run(&mut lived, 10_000, wall(20_000));
        assert!(lived.counted.marks.len() <= MOST_MARKS);
        for day in [1, 100, 200, 400] {
            let (age, truth) = (lived.age(wall(20_000 + day)), HOUR * (10_000 - 24 * day));
            assert!(age <= truth && age >= truth.saturating_sub(3 * DAY), "{age:?}, {truth:?}");
        }
        for text in ["", "{", "[]", r#"{"lived_s": 9, "marks": [{"wall_ns": 1, "lived_s": 10}]}"#] {
            fs::write(dir.path().join(FILE_NAME), text).unwrap();
            assert_eq!(Lived::of(dir.path()).age(wall(1)), Duration::ZERO, "{text}");
        }
    }
}
