//! Tests which member is meta.json, and the errors of damaged archives. Malicious archives are in [`hostile`].

use std::fs;
use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::archive::pack::pack_episode;
use crate::ids::EpisodeId;

mod hostile;

const META: &[u8] = br#"{"episode_id": "e1", "code_version": {"commit": "abc"}}"#;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn read(archive: &[u8]) -> Result<Vec<u8>, ReadError> {
    read_within(archive, &ReadLimits::default())
}

fn read_within(archive: &[u8], limits: &ReadLimits) -> Result<Vec<u8>, ReadError> {
    run(read_meta(archive, limits, at_rest))
}

/// Returns the time of a processor that does nothing.
fn at_rest() -> Duration {
    Duration::ZERO
}

/// Returns one member with the given header fields and a correct checksum.
fn member(kind: u8, name: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(b'0', name.as_bytes(), content.len() as u64, content)
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn which_path_is_that_of_meta_json() {
    for path in ["meta.json", "e1/meta.json", "./meta.json", "./e1/meta.json", "...x/meta.json"] {
        assert_eq!(read(&zst(&tar(&[file(path, META)]))).unwrap(), META, "{path}");
    }
    let decoys = [
        "x-meta.json",
        "e1/x-meta.json",
        "e1/meta.json.bak",
        "meta.json/x",
        "a/b/meta.json",
        "/meta.json",
        "//meta.json",
        "../meta.json",
        "./../meta.json",
        "././meta.json",
        "e1/META.JSON",
        "e1/meta.json ",
        "",
    ];
    for path in decoys {
        let found = read(&zst(&tar(&[file(path, b"decoy")])));
        assert!(matches!(found, Err(ReadError::NoMeta)), "{path}: {found:?}");
        let found = read(&zst(&tar(&[file(path, b"decoy"), file("e1/meta.json", META)])));
        assert_eq!(found.unwrap(), META, "{path}");
    }
}

#[test]
fn only_a_regular_file_is_meta_json() {
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'V'] {
        let odd = member(kind, b"e1/meta.json", 0, b"");
        assert!(matches!(read(&zst(&tar(std::slice::from_ref(&odd)))), Err(ReadError::NoMeta)), "{kind}");
        assert_eq!(read(&zst(&tar(&[odd, file("e1/meta.json", META)]))).unwrap(), META, "{kind}");
    }
}

#[test]
fn is_found_behind_other_members_and_the_first_one_counts() {
    let members = [member(b'5', b"e1/", 0, b""), file("e1/a", &vec![1; 200_000]), file("e1/meta.json", META)];
    assert_eq!(read(&zst(&tar(&members))).unwrap(), META);
    let twice = [file("e1/meta.json", META), file("e1/meta.json", b"second")];
    assert_eq!(read(&zst(&tar(&twice))).unwrap(), META);
}

#[test]
fn long_names_of_gnu_and_pax_are_understood() {
    let long = format!("{}/meta.json", "e".repeat(128));
    let gnu = member(b'L', b"././@LongLink", long.len() as u64, long.as_bytes());
    assert_eq!(read(&zst(&tar(&[gnu, file("cut off", META)]))).unwrap(), META);

    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("path", long.as_bytes()), ("mtime", b"1.5")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("cut off").unwrap();
    header.set_size(META.len() as u64);
    header.set_cksum();
    builder.append(&header, META).unwrap();
    assert_eq!(read(&zst(&builder.into_inner().unwrap())).unwrap(), META);
}

#[test]
fn all_frames_count_also_behind_a_skippable_one() {
    let bytes = tar(&[file("e1/a", &[1; 2000]), file("e1/meta.json", META)]);
    let frames: Vec<u8> = bytes.chunks(700).flat_map(zst).collect();
    assert_eq!(read(&frames).unwrap(), META);
    let skippable = [b"\x50\x2a\x4d\x18".as_slice(), &5_u32.to_le_bytes(), b"hello", &frames].concat();
    assert_eq!(read(&skippable).unwrap(), META);
}

#[test]
fn a_window_above_the_limit_is_refused() {
    let with_window = |log| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar(&[file("e1/meta.json", META)])).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(read(&with_window(23)).unwrap(), META);
    assert!(matches!(read(&with_window(24)), Err(ReadError::Compression(_))));
    let wide = ReadLimits { window_log: 99, ..ReadLimits::default() };
    assert_eq!(read_within(&with_window(24), &wide).unwrap(), META);
}

#[test]
fn an_archive_that_is_cut_gives_the_whole_meta_json_or_an_error() {
    let archive = zst(&tar(&[file("e1/a", b"1"), file("e1/meta.json", META)]));
    for len in 0..archive.len() {
        match read(&archive[..len]) {
            Ok(meta) => assert_eq!(meta, META, "{len} bytes"),
            Err(ReadError::Truncated) => {}
            Err(other) => panic!("{len} bytes: {other:?}"),
        }
    }
    assert!(matches!(read(b""), Err(ReadError::Truncated)));
}

/// A source that fails with the same error kind as a truncated archive.
struct Broken;
impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

#[test]
fn what_is_no_archive_is_an_error_of_its_layer() {
    assert!(matches!(read(&[0x55; 5000]), Err(ReadError::Compression(_))));
    assert!(matches!(read(&zst(&[0x55; 5000])), Err(ReadError::Tar(_))));
    assert!(matches!(read(&zst(b"")), Err(ReadError::NoMeta)));
    let garbage_between = [zst(&tar(&[file("e1/a", b"1")])[..1024]), b"garbage".to_vec()].concat();
    assert!(matches!(read(&garbage_between), Err(ReadError::Compression(_))));
    let found = run(read_meta(Broken, &ReadLimits::default(), at_rest));
    assert!(matches!(found, Err(ReadError::Source(_))), "{found:?}");
}

/// A source that gives a few bytes at a time and is not ready in between, like a socket.
struct Drip<'a>(&'a [u8], usize, bool);

impl AsyncRead for Drip<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.2 = !self.2;
        if self.2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(into.remaining()));
        into.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_source_that_is_not_always_ready_makes_no_difference() {
    let long = "n".repeat(150);
    let name = member(b'L', b"././@LongLink", 150, long.as_bytes());
    let archive = zst(&tar(&[name, file("cut off", &vec![9; 40_000]), file("e1/meta.json", META)]));
    for step in [1, 2, 7, 100, 100_000] {
        let found = run(read_meta(Drip(&archive, step, false), &ReadLimits::default(), at_rest));
        assert_eq!(found.unwrap(), META, "{step} bytes at a time");
    }
}

/// Generates members of every kind, whose sizes and contents need not agree.
fn odd_tar() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..2000_u64, Just(u64::MAX), Just(u64::MAX - 600), any::<u64>()];
    let content = prop::collection::vec(any::<u8>(), 0..700);
    let kind = prop::sample::select(b"\x000123457LKxgSVX".as_slice());
    let parts = (kind, "(meta.json|e1/meta.json|[ -~]{0,20})", size, content, any::<bool>());
    let members = prop::collection::vec(parts, 0..6).prop_map(|members| {
        let bytes = members.into_iter().map(|(kind, name, size, content, honest)| {
            let size = if honest { content.len() as u64 } else { size };
            member(kind, name.as_bytes(), size, &content)
        });
        tar(&bytes.collect::<Vec<_>>())
    });
    (members, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(
        |(mut bytes, flips)| {
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn what_was_packed_is_read_back(
        files in prop::collection::btree_map("[a-z0-9._-]{1,130}", prop::collection::vec(any::<u8>(), 0..3000), 0..8),
        note in "[ -~]{0,200}",
        level in 1..=19_i32,
    ) {
        let temp = tempfile::tempdir().unwrap();
        let names = files.iter().filter(|(name, _)| !name.chars().all(|c| c == '.') && *name != META_NAME);
        for (name, content) in names {
            fs::write(temp.path().join(name), content).unwrap();
        }
        let meta = serde_json::to_vec(&serde_json::json!({"episode_id": "e1", "note": note})).unwrap();
        fs::write(temp.path().join(META_NAME), &meta).unwrap();
        let mut archive = Vec::new();
        pack_episode(temp.path(), &EpisodeId::parse("e1").unwrap(), &mut archive, level).unwrap();
        prop_assert_eq!(read(&archive).unwrap(), meta);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in any::<prop::sample::Index>()) {
        let limits = ReadLimits { max_decompressed_bytes: 1 << 20, ..ReadLimits::default() };
        let _ = read_within(&bytes, &limits);
        let _ = read_within(&zst(&bytes), &limits);
        let mut spoilt = zst(&tar(&[file("e1/a", &bytes), file("e1/meta.json", META)]));
        let at = cut.index(spoilt.len());
        spoilt[at] ^= 0x40;
        let _ = read_within(&spoilt, &limits);
    }

    #[test]
    fn odd_archives_never_panic(tar in odd_tar()) {
        let limits = ReadLimits { max_decompressed_bytes: 1 << 20, ..ReadLimits::default() };
        let _ = read_within(&zst(&tar), &limits);
    }
}
