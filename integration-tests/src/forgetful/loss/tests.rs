//! Tests of each rule of the loss, on a few operations.

use std::ffi::OsStr;

use super::*;

const OWNER: (u32, u32) = (0, 0);

/// Creates a disk with a file `old/f` that holds `old`.
fn disk() -> (Disk, Number) {
    let mut tree = Tree::default();
    tree.insert("old".into(), 0o755, None);
    tree.insert("old/f".into(), 0o644, Some(b"old".to_vec()));
    let disk = Disk::new(&tree, OWNER);
    let old = disk.lookup(TOP, OsStr::new("old")).unwrap();
    (disk, old)
}

fn sync(disk: &mut Disk, number: Number) {
    disk.sync(number, disk.log.len());
}

/// Returns the tree after the whole log, as `path=bytes`, with a slash after directories.
fn found(disk: &Disk, loss: Loss) -> Vec<String> {
    found_after(disk, disk.log.len(), loss)
}

fn found_after(disk: &Disk, position: usize, loss: Loss) -> Vec<String> {
    let tree = disk.after(position, loss);
    let shown = tree.leaves().map(|(path, leaf)| match &leaf.bytes {
        None => format!("{}/", path.display()),
        Some(bytes) => format!("{}={}", path.display(), String::from_utf8_lossy(bytes).replace('\0', "0")),
    });
    shown.collect()
}

#[test]
fn an_append_is_lost_in_as_many_ways_as_there_are() {
    let (mut disk, old) = disk();
    let file = disk.lookup(old, OsStr::new("f")).unwrap();
    disk.write(file, Write::At(3, b"+new".to_vec())).unwrap();
    for (loss, bytes) in [
        (Loss::Everything, "old/f=old"),
        (Loss::Data, "old/f=old"),
        (Loss::Zeros, "old/f=old0000"),
        (Loss::Torn, "old/f=old+n"),
        (Loss::Nothing, "old/f=old+new"),
    ] {
        assert_eq!(found(&disk, loss), ["old/", bytes], "{loss:?}");
    }
    sync(&mut disk, file);
    for loss in [Loss::Everything, Loss::Data, Loss::Zeros, Loss::Torn, Loss::Some(1)] {
        assert_eq!(found(&disk, loss), ["old/", "old/f=old+new"], "{loss:?}");
    }
    assert_eq!(found_after(&disk, 0, Loss::Nothing), ["old/", "old/f=old"], "before all of it");
}

#[test]
fn a_new_file_needs_both_syncs() {
    let (mut disk, old) = disk();
    let file = disk.create((old, OsStr::new("n")), Body::File(Vec::new()), 0o644, OWNER).unwrap();
    disk.write(file, Write::At(0, b"new".to_vec())).unwrap();
    let mut named = disk.clone();
    sync(&mut disk, file);
    assert_eq!(found(&disk, Loss::Everything), ["old/", "old/f=old"], "the bytes last, the name does not");
    assert_eq!(found(&disk, Loss::Data), ["old/", "old/f=old", "old/n=new"]);
    sync(&mut disk, old);
    assert_eq!(found(&disk, Loss::Everything), ["old/", "old/f=old", "old/n=new"]);
    sync(&mut named, old);
    assert_eq!(
        found(&named, Loss::Everything),
        ["old/", "old/f=old", "old/n="],
        "the name without the bytes"
    );
}

#[test]
fn a_directory_whose_parent_was_not_synced_is_gone_with_everything_below_it() {
    let (mut disk, _) = disk();
    let new = disk.create((TOP, OsStr::new("new")), Body::Directory(BTreeMap::new()), 0o755, OWNER).unwrap();
    let file = disk.create((new, OsStr::new("f")), Body::File(Vec::new()), 0o644, OWNER).unwrap();
    sync(&mut disk, file);
    sync(&mut disk, new);
    assert_eq!(found(&disk, Loss::Everything), ["old/", "old/f=old"]);
    sync(&mut disk, TOP);
    assert_eq!(found(&disk, Loss::Everything), ["new/", "new/f=", "old/", "old/f=old"]);
}

#[test]
fn a_sync_covers_only_what_was_done_when_it_was_asked_for() {
    let (mut disk, old) = disk();
    let file = disk.lookup(old, OsStr::new("f")).unwrap();
    disk.write(file, Write::At(3, b"1".to_vec())).unwrap();
    let asked = disk.log.len();
    disk.write(file, Write::At(4, b"2".to_vec())).unwrap();
    disk.sync(file, asked);
    assert_eq!(found(&disk, Loss::Everything), ["old/", "old/f=old1"]);
}

/// Moves `old/f` to `new/f`; both directories are durable.
fn moved() -> (Disk, Number, Number) {
    let (mut disk, old) = disk();
    let new = disk.create((TOP, OsStr::new("new")), Body::Directory(BTreeMap::new()), 0o755, OWNER).unwrap();
    sync(&mut disk, TOP);
    disk.rename((old, OsStr::new("f")), (new, OsStr::new("f")), false).unwrap();
    (disk, old, new)
}

#[test]
fn a_move_lasts_in_the_directory_that_was_synced() {
    let here = ["new/", "old/", "old/f=old"];
    let there = ["new/", "new/f=old", "old/"];
    let (disk, old, new) = moved();
    assert_eq!(found(&disk, Loss::Everything), here);
    assert_eq!(found(&disk, Loss::Nothing), there);
    let (mut only_old, mut only_new, mut both) = (disk.clone(), disk.clone(), disk);
    sync(&mut only_old, old);
    assert_eq!(found(&only_old, Loss::Everything), ["new/", "old/"], "it is lost");
    sync(&mut only_new, new);
    assert_eq!(
        found(&only_new, Loss::Everything),
        ["new/", "new/f=old", "old/", "old/f=old"],
        "it is in both"
    );
    sync(&mut both, new);
    sync(&mut both, old);
    assert_eq!(found(&both, Loss::Everything), there);
}

#[test]
fn chance_keeps_or_loses_a_move_as_a_whole_and_does_both() {
    let (disk, ..) = moved();
    let outcomes: Vec<_> = (0..20).map(|seed| found(&disk, Loss::Some(seed))).collect();
    for outcome in &outcomes {
        assert_eq!(outcome.iter().filter(|found| found.ends_with("/f=old")).count(), 1, "{outcome:?}");
    }
    for place in ["old/f=old", "new/f=old"] {
        assert!(outcomes.iter().any(|outcome| outcome.contains(&place.to_owned())), "never {place}");
    }
    assert_eq!(found(&disk, Loss::Some(7)), found(&disk, Loss::Some(7)), "a seed is a seed");
}

#[test]
fn a_disk_that_was_rewound_has_everything_and_can_still_lose_it() {
    let (mut disk, old, new) = moved();
    let moved = disk.log.len();
    sync(&mut disk, new);
    disk.remove((new, OsStr::new("f"))).unwrap();
    let mut rewound = disk.rewound(moved);
    assert_eq!(found(&rewound, Loss::Nothing), ["new/", "new/f=old", "old/"]);
    assert_eq!(found(&rewound, Loss::Everything), ["new/", "old/", "old/f=old"]);
    let file = rewound.lookup(new, OsStr::new("f")).unwrap();
    assert_eq!(rewound.path(file), "new/f");
    sync(&mut rewound, old);
    assert_eq!(found(&rewound, Loss::Everything), ["new/", "old/"]);
}
