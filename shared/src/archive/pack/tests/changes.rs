//! Tests of episodes that the recorder or an attacker changes during packing.

use super::*;
use crate::durable;

/// An output that runs an action once, when the first bytes of the archive arrive.
struct Acting<F> {
    bytes: Vec<u8>,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Acting<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(act) = self.act.take() {
            act();
        }
        self.bytes.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_its_length_while_it_is_packed_is_refused_and_leaves_no_whole_archive() {
    let len = 4 << 20;
    for new_len in [0, len - 1, len + 1] {
        let (_temp, dir) = episode(&[(b"events.jsonl", &noise(len))]);
        let path = dir.join("events.jsonl");
        let file = File::options().write(true).open(&path).unwrap();
        let act = || file.set_len(new_len as u64).unwrap();
        let mut out = Acting { bytes: Vec::new(), act: Some(act) };
        match pack_episode(&dir, &e1(), &mut out, 1).unwrap_err() {
            PackError::Changed { path: told } => assert_eq!(told, path),
            other => panic!("{other}"),
        }
        assert!(!out.bytes.is_empty() && zstd::decode_all(out.bytes.as_slice()).is_err());
    }
}

#[test]
fn what_comes_goes_or_changes_while_an_episode_is_packed_is_noticed_and_named() {
    type Act = fn(&Path);
    let cases: [(&str, Act, &str); 6] = [
        ("a late file", |dir| fs::write(dir.join("late.jsonl"), "x").unwrap(), "late.jsonl"),
        ("a late file before all others", |dir| fs::write(dir.join("0"), "x").unwrap(), "0"),
        ("a late file below", |dir| fs::write(dir.join("sub/late"), "x").unwrap(), "sub/late"),
        ("a file that goes", |dir| fs::remove_file(dir.join("z")).unwrap(), "z"),
        (
            "other bytes of the same length",
            |dir| {
                use std::os::unix::fs::FileExt;
                let file = File::options().write(true).open(dir.join("a")).unwrap();
                file.write_all_at(b"other", 0).unwrap();
            },
            "a",
        ),
        (
            "another file of the name",
            |dir| {
                fs::remove_file(dir.join("a")).unwrap();
                fs::write(dir.join("a"), b"12345").unwrap();
            },
            "a",
        ),
    ];
    for (name, act, odd) in cases {
        let (_temp, dir) =
            episode(&[(b"a", b"12345"), (b"m", &noise(4 << 20)), (b"sub/x", b"1"), (b"z", b"54321")]);
        let mut out = Acting { bytes: Vec::new(), act: Some(|| act(&dir)) };
        match pack_episode(&dir, &e1(), &mut out, 1).unwrap_err() {
            PackError::Changed { path } => assert_eq!(path, dir.join(odd), "{name}"),
            other => panic!("{name}: {other}"),
        }
        assert!(zstd::decode_all(out.bytes.as_slice()).is_err(), "{name}");
        pack(&dir).expect("the next try packs what is there by then");
    }
}

#[test]
fn a_directory_that_is_swapped_for_a_link_brings_nothing_from_outside() {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("x"), "secret").unwrap();
    for depth in ["sub", "sub/deep"] {
        let inner = format!("{depth}/x");
        let (_temp, dir) = episode(&[(b"m", &noise(4 << 20)), (inner.as_bytes(), b"public")]);
        let looked_at = Episode::look_at(&dir, &e1()).unwrap();
        let archive = pack(&dir).unwrap();
        let swap = || {
            durable::rename_noreplace(&dir.join(depth), &dir.join("away")).unwrap();
            symlink(secret.path(), dir.join(depth)).unwrap();
        };
        let mut out = Acting { bytes: Vec::new(), act: Some(swap) };
        let error = Packer::new(1).pack(&looked_at, &mut out, &|| false).unwrap_err();
        assert!(matches!(&error, PackError::Changed { path } if *path == dir.join(&inner)), "{error}");
        let mut read = Vec::new();
        // The archive is incomplete, so this ends with an error after the bytes that were written.
        let _ = zstd::Decoder::new(out.bytes.as_slice()).unwrap().read_to_end(&mut read);
        assert!(!read.windows(6).any(|bytes| bytes == b"secret"));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), archive).unwrap();
        let proof = looked_at.packed_in(&File::open(file.path()).unwrap(), &|| false);
        assert!(matches!(proof, Err(PackError::Changed { .. })), "{proof:?}");
    }
}

#[test]
fn a_path_that_nothing_can_unpack_is_refused_and_the_longest_is_not() {
    let (_temp, dir) = episode(&[]);
    let top = File::open(&dir).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o755);
    let mut folder = std::os::fd::OwnedFd::from(top);
    // Twenty directories with names of 200 bytes; the file's name takes the rest of 4,095 bytes below `e1/`.
    for _ in 0..20 {
        let name = "d".repeat(200);
        rustix::fs::mkdirat(&folder, &name, mode).unwrap();
        folder = crate::regular::open_dir(&folder, name.as_ref()).unwrap();
    }
    let left = MAX_PATH_BYTES - 3 - 20 * 201;
    let create = |length: usize| {
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        rustix::fs::openat(&folder, "f".repeat(length), flags, mode).unwrap();
    };
    create(left);
    let longest = members(&pack(&dir).unwrap());
    assert_eq!(longest[1].0.len(), MAX_PATH_BYTES);
    create(left + 1);
    let error = pack(&dir).unwrap_err();
    assert!(matches!(error, PackError::PathTooLong { length: 4096, .. }), "{error}");
    assert!(error.to_string().len() < 600, "{error}");
}
