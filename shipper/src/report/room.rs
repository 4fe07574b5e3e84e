//! What a person reads about room on the disk: one entry per round that deleted something, one per change of a
//! condition. Only logging: nothing is decided here.

use std::io;
use std::path::Path;

use tracing::{error, info, warn};

use crate::store::disk::{Change, Disk, Holdings};
use crate::store::shipped::Round;

/// The log of upkeep.
#[derive(Debug, Default)]
pub struct RoomReport {
    looks_fail: bool,
    deletions_fail: bool,
}

impl RoomReport {
    /// A round has ended.
    pub fn looked(&mut self, root: &Path, round: &io::Result<Round>) {
        match (round, std::mem::replace(&mut self.looks_fail, round.is_err())) {
            (Err(error), false) => error!(
                %error,
                help = format_args!("look at it: `ls -ld {root}/shipped`, `df -h {root}`", root = root.display()),
                "room on the disk cannot be looked after, shipped episodes are kept"
            ),
            (Ok(_), true) => info!("room on the disk is looked after again"),
            _ => {}
        }
        if let Ok(round) = round {
            self.deleted(round);
        }
    }

    fn deleted(&mut self, round: &Round) {
        let Round { disk, for_age, for_space, freed, failure, .. } = round;
        let deleted = for_age + for_space;
        if deleted > 0 {
            info!(
                deleted,
                for_age,
                for_space,
                freed_bytes = freed.bytes,
                free_percent = disk.free_percent(),
                "shipped episodes deleted, oldest first"
            );
        }
        match (failure, self.deletions_fail) {
            (Some((path, error)), false) => {
                self.deletions_fail = true;
                let path = path.display();
                warn!(
                    %path,
                    %error,
                    help = format_args!("look at it: `ls -la {path}`; it is deleted by the shipper's user"),
                    "a shipped episode cannot be deleted, it takes room"
                );
            }
            // A round that had nothing to delete says nothing about it.
            (None, true) if deleted > 0 => {
                self.deletions_fail = false;
                info!("shipped episodes can be deleted again");
            }
            _ => {}
        }
    }

    /// There is room, or none, since the latest look. `is_pruned`: shipped episodes are deleted for room.
    pub fn room(&self, root: &Path, change: Change, disk: &Disk, holdings: &Holdings, is_pruned: bool) {
        let Disk { free_bytes, total_bytes, free_inodes, .. } = disk;
        let Holdings { episodes, outbox, shipped, quarantine } = holdings;
        let (free_percent, root) = (disk.free_percent(), root.display());
        let why = match is_pruned {
            true => "no shipped episode is left to delete for it",
            false => {
                "`retention.free_percent` is 0: delete old ones of shipped/, which the receiver has, or set it"
            }
        };
        let next =
            format_args!("{why}; find what takes the room: `du -xh --max-depth=2 {root} | sort -h | tail`");
        match change {
            Change::Low => warn!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                episodes, outbox, shipped, quarantine, help = %next,
                "the disk of the data directory is nearly full"
            ),
            Change::Critical => error!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                episodes, outbox, shipped, quarantine, help = %next,
                "the disk of the data directory is almost full, recording will fail"
            ),
            Change::Over => info!(
                data_root = %root, free_bytes, total_bytes, free_percent, free_inodes,
                "the disk of the data directory has room again"
            ),
        }
    }
}
