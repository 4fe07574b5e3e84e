//! Tests of the guarantees that callers rely on, on a real file system.

use super::*;

#[test]
fn a_temp_that_is_dropped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut temp = Temp::create(dir.path().join("x.partial"), 0o640).unwrap();
    temp.write_all(b"half").unwrap();
    drop(temp);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn publishing_never_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("final");
    fs::write(&to, "first").unwrap();
    let mut temp = Temp::create(dir.path().join("x.partial"), 0o640).unwrap();
    temp.write_all(b"second").unwrap();
    let error = temp.publish_noreplace(&to).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&to).unwrap(), "first");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary is gone");
}

#[test]
fn a_published_file_has_its_mode_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("final");
    Temp::create(dir.path().join("x"), 0o646).unwrap().publish_noreplace(&to).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o646);
}

#[test]
fn a_reservation_does_not_change_the_length() {
    let dir = tempfile::tempdir().unwrap();
    let temp = Temp::create(dir.path().join("x"), 0o600).unwrap();
    temp.reserve(1 << 20).unwrap();
    assert_eq!(temp.file.metadata().unwrap().len(), 0);
}

#[test]
fn replacing_survives_a_temporary_left_by_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.json");
    fs::write(dir.path().join("gate.json.new"), "torn").unwrap();
    replace_file(&path, b"whole", 0o640).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_root_creates_belongs_to_the_owner_of_its_directory() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(1234), Some(2345)).unwrap();
    let path = dir.path().join("index.jsonl");
    create_file(&path, 0o640).unwrap();
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1234, 2345, 0o640));
}

#[test]
fn a_lock_is_exclusive_and_ends_with_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.lock");
    let held = FileLock::take(&path, Duration::ZERO).unwrap();
    let refused = FileLock::take(&path, Duration::from_millis(5)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    drop(held);
    FileLock::take(&path, Duration::ZERO).unwrap();
}

#[test]
fn a_look_at_a_lock_says_whether_it_is_held_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shipper.lock");
    assert!(!FileLock::is_held(&path).unwrap());
    assert!(!path.is_file(), "a look creates nothing");
    let held = FileLock::take(&path, Duration::ZERO).unwrap();
    assert!(FileLock::is_held(&path).unwrap());
    drop(held);
    assert!(!FileLock::is_held(&path).unwrap());
    FileLock::take(&path, Duration::ZERO).unwrap();
}

#[test]
fn a_fleeting_file_is_replaced_whole_whatever_an_earlier_attempt_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.json");
    fs::write(dir.path().join("status.json.new"), "half").unwrap();
    for text in ["first", "second"] {
        replace_fleeting_file(&path, text.as_bytes(), 0o640).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_directory_moves_whole_and_never_onto_another() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("episodes/e1"), dir.path().join("quarantine/e1"));
    create_dir_all(&from, 0o750).unwrap();
    create_dir_all(to.parent().unwrap(), 0o750).unwrap();
    fs::write(from.join("meta.json"), "{}").unwrap();
    move_noreplace(&from, &to).unwrap();
    assert!(to.join("meta.json").is_file() && !from.is_dir());
    create_dir_all(&from, 0o750).unwrap();
    assert_eq!(move_noreplace(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_file_that_root_replaces_stays_its_owners() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, owner) = (dir.path().join("tokens"), |path: &Path| fs::metadata(path).unwrap().gid());
    std::os::unix::fs::chown(dir.path(), Some(0), Some(1234)).unwrap();
    replace_file_of_its_owner(&path, b"new", 0o640).unwrap();
    assert_eq!(owner(&path), 1234);
    std::os::unix::fs::chown(&path, Some(0), Some(2345)).unwrap();
    replace_file_of_its_owner(&path, b"newer", 0o640).unwrap();
    assert_eq!((owner(&path), fs::read(&path).unwrap()), (2345, b"newer".to_vec()));
}
