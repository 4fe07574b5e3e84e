//! Tests that a directory always packs to the same bytes, and that invalid directories are refused.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::archive::REASON_NAME;

const META: &[u8] = br#"{"episode_id": "e1", "schema_version": 1}"#;

fn e1() -> EpisodeId {
    EpisodeId::parse("e1").unwrap()
}

/// Creates a finished episode `e1`: the given files in the given order, then its meta.json.
fn episode(files: &[(&[u8], &[u8])]) -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("e1");
    fs::create_dir(&dir).unwrap();
    for (name, content) in files {
        let path = dir.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::write(dir.join(META_NAME), META).unwrap();
    (temp, dir)
}

fn pack(dir: &Path) -> Result<Vec<u8>, PackError> {
    let mut bytes = Vec::new();
    let packed = pack_episode(dir, &e1(), &mut bytes, 3)?;
    assert_eq!(packed.size_bytes, bytes.len() as u64);
    assert_eq!(packed.sha256, Sha256Digest::from_bytes(Sha256::digest(&bytes).into()));
    Ok(bytes)
}

/// Reads an archive without our own code. Returns names and contents, and checks that all other fields are constant.
fn members(archive: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        assert_eq!((header.mode().unwrap(), header.entry_type()), (0o644, tar::EntryType::Regular));
        assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path_bytes().into_owned(), content)
    });
    entries.collect()
}

/// Returns bytes that do not compress, so that the archive grows while they are packed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

#[test]
fn an_episode_packs_to_the_same_bytes_whatever_its_times_modes_owners_and_listing_order() {
    let (_a, first) = episode(&[(b"a", b"1"), (b"sub/x", b"2"), (b"sub/y", b"3"), (b"done.marker", b"")]);
    let (_b, second) = episode(&[(b"done.marker", b""), (b"sub/y", b"3"), (b"sub/x", b"2"), (b"a", b"1")]);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["a", "sub/x", META_NAME] {
        let path = second.join(name);
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // Only root may change the owner. For any other user the test covers the rest.
        let _ = std::os::unix::fs::chown(&path, Some(12345), Some(12345));
    }
    assert_eq!(pack(&first).unwrap(), pack(&second).unwrap());
}

#[test]
fn the_bytes_stay_the_same_from_release_to_release() {
    // If an update changed the bytes, a retry after a lost answer would be a false conflict (accident 13).
    let (_temp, dir) = episode(&[(b"events.jsonl", &b"{\"t\": 1}\n".repeat(1000)), (b"done.marker", b"")]);
    let packed = pack_episode(&dir, &e1(), io::sink(), 3).unwrap();
    let known = "3b6416a553be49b29ed2429ac329d6167da3f75b10df24a2f1f9c53cb3d1761e";
    assert_eq!((packed.size_bytes, packed.sha256.to_string().as_str()), (204, known));
}

#[test]
fn meta_json_comes_first_and_the_others_by_the_bytes_of_their_paths() {
    let long = [b"sub/".as_slice(), &[b'n'; 200]].concat();
    let files: [&[u8]; 7] = [b"z", b"a/b", b"a.txt", b"\xff not utf-8", b"sub/meta.json", b"0", &long];
    let (_temp, dir) = episode(&files.map(|name| (name, name)));
    fs::create_dir(dir.join("empty")).unwrap();
    let read = members(&pack(&dir).unwrap());
    let order: [&[u8]; 7] = [b"0", b"a.txt", b"a/b", b"sub/meta.json", &long, b"z", b"\xff not utf-8"];
    let expected = order.map(|name| ([b"e1/", name].concat(), name.to_vec()));
    assert_eq!(read[0], (b"e1/meta.json".to_vec(), META.to_vec()));
    assert_eq!(read[1..], expected);
}

#[test]
fn the_longest_id_still_has_its_meta_json_first() {
    let temp = tempfile::tempdir().unwrap();
    let id = EpisodeId::parse(&"e".repeat(128)).unwrap();
    let dir = temp.path().join(id.as_str());
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(META_NAME), format!(r#"{{"episode_id": "{id}"}}"#)).unwrap();
    let mut archive = Vec::new();
    pack_episode(&dir, &id, &mut archive, 3).unwrap();
    assert_eq!(members(&archive)[0].0, format!("{id}/meta.json").into_bytes());
}

#[test]
fn the_content_checksum_is_there_and_counts() {
    let (_temp, dir) = episode(&[(b"a", b"1")]);
    let mut archive = pack(&dir).unwrap();
    assert_eq!(archive[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    assert_eq!(archive[4] & 0b100, 0b100, "the checksum flag of the frame header");
    *archive.last_mut().unwrap() ^= 1;
    assert!(zstd::decode_all(archive.as_slice()).is_err());
}

#[test]
fn an_episode_that_comes_back_from_quarantine_packs_to_the_same_bytes() {
    let (_temp, dir) = episode(&[(b"a", b"1")]);
    let before = pack(&dir).unwrap();
    fs::write(dir.join(REASON_NAME), "{}").unwrap();
    assert_eq!(pack(&dir).unwrap(), before);
    // Only the note itself is the shipper's; a file of that name elsewhere is data.
    fs::create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub").join(REASON_NAME), "{}").unwrap();
    assert_eq!(members(&pack(&dir).unwrap())[2].0, b"e1/sub/quarantine_reason.json");
}

#[test]
fn what_is_no_episode_is_refused_before_a_byte_is_written() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil, &str); 11] = [
        ("missing", |dir| fs::remove_file(dir.join(META_NAME)).unwrap(), "`[DIR]` holds no meta.json"),
        ("empty", |dir| fs::write(dir.join(META_NAME), "").unwrap(), "meta.json is empty"),
        ("no JSON", |dir| fs::write(dir.join(META_NAME), "{").unwrap(), "meta.json cannot be read: EOF"),
        ("huge", |dir| fs::write(dir.join(META_NAME), vec![b' '; 2 << 20]).unwrap(), "larger than 1048576"),
        (
            "another id",
            |dir| fs::write(dir.join(META_NAME), r#"{"episode_id": "e2"}"#).unwrap(),
            "`[DIR]/meta.json` describes episode `e2`, not `e1`",
        ),
        ("link", |dir| symlink("/etc/passwd", dir.join("x")).unwrap(), "`[DIR]/x` is a symbolic link"),
        ("linked dir", |dir| symlink("/etc", dir.join("x")).unwrap(), "`[DIR]/x` is a symbolic link"),
        ("pipe", |dir| make_pipe(&dir.join("x")), "`[DIR]/x` is a FIFO"),
        (
            "linked meta",
            |dir| {
                fs::remove_file(dir.join(META_NAME)).unwrap();
                symlink("a", dir.join(META_NAME)).unwrap();
            },
            "`[DIR]/meta.json` is a symbolic link",
        ),
        (
            "meta is a pipe",
            |dir| {
                fs::remove_file(dir.join(META_NAME)).unwrap();
                make_pipe(&dir.join(META_NAME));
            },
            "`[DIR]/meta.json` is a FIFO",
        ),
        (
            "meta is a directory",
            |dir| {
                fs::remove_file(dir.join(META_NAME)).unwrap();
                fs::create_dir(dir.join(META_NAME)).unwrap();
            },
            "`[DIR]/meta.json` is a directory",
        ),
    ];
    for (name, spoil, expected) in cases {
        let (_temp, dir) = episode(&[(b"a", b"1")]);
        spoil(&dir);
        let mut out = Vec::new();
        let error = pack_episode(&dir, &e1(), &mut out, 3).unwrap_err().to_string();
        let told = error.replace(dir.to_str().unwrap(), "[DIR]");
        assert!(told.contains(expected), "{name}: {told}");
        assert!(out.is_empty(), "{name}");
        assert_eq!(check_episode(&dir, &e1()).unwrap_err().to_string(), error, "{name}");
    }
}

fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn the_directory_itself_may_be_no_link() {
    let (temp, dir) = episode(&[]);
    let link = temp.path().join("link");
    symlink(&dir, &link).unwrap();
    assert!(matches!(
        check_episode(&link, &e1()),
        Err(PackError::NotAFile { kind: NotAFile("a symbolic link"), .. })
    ));
    let gone = check_episode(&temp.path().join("gone"), &e1()).unwrap_err();
    assert!(matches!(gone, PackError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound));
}

#[test]
fn a_good_episode_passes_the_check() {
    let (_temp, dir) = episode(&[(b"sub/a", b"1")]);
    assert_eq!(check_episode(&dir, &e1()).unwrap().episode_id, e1());
}

/// An output that takes at most `room` bytes.
struct Full {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_is_not_blamed_on_the_episode_and_holds_no_whole_archive() {
    let (_temp, dir) = episode(&[(b"a", &noise(300_000)), (b"b", b"2")]);
    let whole = pack(&dir).unwrap().len();
    for room in [0, 1, 1000, whole / 2, whole - 1] {
        let mut out = Full { bytes: Vec::new(), room };
        match pack_episode(&dir, &e1(), &mut out, 3).unwrap_err() {
            PackError::Write(source) => assert_eq!(source.kind(), io::ErrorKind::StorageFull),
            other => panic!("{other}"),
        }
        assert!(zstd::decode_all(out.bytes.as_slice()).is_err(), "{room} bytes of {whole}");
    }
}

fn packed_by(packer: &mut Packer, dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    packer.pack(&Episode::look_at(dir, &e1()).unwrap(), &mut bytes, &|| false).unwrap();
    bytes
}

#[test]
fn the_bytes_do_not_depend_on_what_was_packed_before() {
    let (_a, first) = episode(&[(b"a", &recorded(600_000)), (b"b", &noise(100_000))]);
    let (_b, second) = episode(&[(b"a", &noise(700_000)), (b"b", &recorded(300_000))]);
    let (_c, large) = episode(&[(b"a", &recorded(9 << 20))]);
    for level in [1, 2, 3, 4, 5, 12] {
        let [alone, other] = [&first, &second].map(|dir| packed_by(&mut Packer::new(level), dir));
        let mut packer = Packer::new(level);
        assert!(packed_by(&mut packer, &second) == other);
        assert!(packed_by(&mut packer, &first) == alone, "level {level}, after another episode");
        packed_by(&mut packer, &large);
        assert!(packed_by(&mut packer, &first) == alone, "level {level}, after a large one");
        // A packing that fails leaves a frame open.
        let full = Full { bytes: Vec::new(), room: 9 };
        packer.pack(&Episode::look_at(&second, &e1()).unwrap(), full, &|| false).unwrap_err();
        assert!(packed_by(&mut packer, &first) == alone, "level {level}, after one that failed");
    }
}

/// Returns `len` bytes of telemetry and noise.
fn recorded(len: usize) -> Vec<u8> {
    let telemetry: Vec<u8> = (0..200_000_u32).flat_map(|n| format!("{{\"t\":{n}}}\n").into_bytes()).collect();
    [telemetry, noise(1 << 20)].concat().into_iter().cycle().take(len).collect()
}

#[test]
fn a_large_episode_packs_to_the_same_bytes_every_time_and_holds_what_was_recorded() {
    let at = (8 << 20) - META.len();
    // Sizes around the limits from which other threads write and compress, and one of several compression jobs.
    for len in [(128 << 10) - 1, 128 << 10, at - 1, at, 21 << 20] {
        let content = recorded(len);
        let (_temp, dir) = episode(&[(b"network.pcap", &content)]);
        let packed = pack(&dir).unwrap();
        assert!(pack(&dir).unwrap() == packed, "{len}");
        let read = members(&packed);
        assert!(read[1] == (b"e1/network.pcap".to_vec(), content), "{len}");
    }
}

#[test]
fn the_bytes_of_a_large_episode_stay_the_same_from_release_to_release() {
    let (_temp, dir) = episode(&[(b"network.pcap", &recorded(12 << 20))]);
    let packed = pack_episode(&dir, &e1(), io::sink(), 3).unwrap();
    let known = "d9116c4444a8b30f4fd315fdaccbd4ed7eb985c1e5a12b3f17fb4269bccc020c";
    assert_eq!((packed.size_bytes, packed.sha256.to_string().as_str()), (3_489_032, known));
}

#[test]
fn the_bytes_do_not_depend_on_how_much_a_read_returns() {
    let content = [b"telemetry ".repeat(50_000), noise(300_000)].concat();
    let packed = [1, 1000, 8192, content.len()].map(|step| {
        let mut fresh = zstd::zstd_safe::CCtx::create();
        packer::prepare(&mut fresh, 3, false).unwrap();
        let mut encoder = packer::compressor(Vec::new(), &mut fresh);
        content.chunks(step).for_each(|chunk| encoder.write_all(chunk).unwrap());
        encoder.finish().unwrap()
    });
    assert!(packed.iter().all(|other| *other == packed[0]));
}

#[test]
fn every_level_holds_the_same_members() {
    let (_temp, dir) = episode(&[(b"a", &b"telemetry ".repeat(10_000))]);
    let contents: BTreeMap<i32, _> = [1, 3, 19]
        .map(|level| {
            let mut archive = Vec::new();
            pack_episode(&dir, &e1(), &mut archive, level).unwrap();
            (level, members(&archive))
        })
        .into();
    assert!(contents.values().all(|members| *members == contents[&1]));
}

mod changes;
mod sparse;
