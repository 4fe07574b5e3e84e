//! Tests of files that are mostly zeros. They pack to the same bytes however the file system stores the zeros, and
//! every byte keeps its offset.

use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};

use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Offsets and bytes of the data between the zeros.
type Data<'a> = &'a [(u64, &'a [u8])];

/// Creates an episode with a file of `len` bytes: `data`, and zeros that `prepare` may write or reserve.
fn image(len: u64, data: Data<'_>, prepare: impl FnOnce(&File)) -> (TempDir, PathBuf) {
    let (temp, dir) = episode(&[]);
    let file = File::create(dir.join("disk.img")).unwrap();
    prepare(&file);
    file.set_len(len).unwrap();
    for (at, bytes) in data {
        file.write_all_at(bytes, *at).unwrap();
    }
    (temp, dir)
}

/// Returns the type of the image's member, the number of its bytes in the archive, and its content.
fn unpacked(archive: &[u8]) -> (tar::EntryType, u64, Vec<u8>) {
    let mut tar = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
    let mut image = tar.entries().unwrap().nth(1).unwrap().unwrap();
    let (kind, stored) = (image.header().entry_type(), image.header().entry_size().unwrap());
    let mut content = Vec::new();
    image.read_to_end(&mut content).unwrap();
    (kind, stored, content)
}

fn content(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("disk.img")).unwrap()
}

#[test]
fn an_image_packs_to_the_same_bytes_whether_its_zeros_are_holes_were_reserved_or_were_written() {
    let (len, data) =
        (20 * MIB + 77, [(0, &b"boot"[..]), (7 * MIB - 3, b"across"), (20 * MIB + 70, b"the end")]);
    let written = |file: &File| file.write_all_at(&vec![0; usize::try_from(len).unwrap()], 0).unwrap();
    let reserved = |file: &File| fallocate(file, FallocateFlags::empty(), 0, len).unwrap();
    let (_a, full) = image(len, &data, written);
    let (_b, reserved) = image(len, &data, reserved);
    let (_c, holes) = image(len, &data, |_| {});
    let packed = pack(&holes).unwrap();
    assert!(pack(&full).unwrap() == packed && pack(&reserved).unwrap() == packed);
    let (kind, stored, read) = unpacked(&packed);
    assert_eq!((kind, stored), (tar::EntryType::GNUSparse, 3 * 64 * KIB + 77));
    assert!(read == content(&full));
    // If a release changed the bytes, a retry after a lost answer would be a false conflict (accident 13).
    let known = "d25ed09df1d90be173a8bd6198171ca704d20cd50d5feffd07af3470186f1cbd";
    assert_eq!(Sha256Digest::from_bytes(Sha256::digest(&packed).into()).to_string(), known);
}

#[test]
fn what_is_left_out_are_whole_blocks_of_zeros_where_there_is_a_mebibyte_of_them() {
    let (noise, zeros) = (noise(3 << 20), vec![0; 1 << 20]);
    let noise = noise.as_slice();
    // Name, length, data, number of bytes stored.
    let cases: [(&str, u64, Data<'_>, u64); 12] = [
        ("empty", 0, &[], 0),
        ("one byte less than a mebibyte of zeros", MIB - 1, &[], MIB - 1),
        ("a mebibyte of zeros", MIB, &[], 0),
        ("a ragged end of zeros", MIB + 5, &[], 0),
        ("nothing but data", 3 * MIB, &[(0, noise)], 3 * MIB),
        ("a hole that is too small", 4 * MIB, &[(0, noise), (3 * MIB + 64 * KIB, b"x")], 4 * MIB),
        ("one that is not", 4 * MIB + 64 * KIB, &[(0, noise), (4 * MIB, b"x")], 3 * MIB + 64 * KIB),
        ("a mebibyte that does not begin with a block", 3 * MIB, &[(0, noise), (1, &zeros)], 3 * MIB),
        ("data at the end of a block", 2 * MIB, &[(2 * MIB - 1, b"x")], 64 * KIB),
        ("data past the sample of a block", 2 * MIB, &[(MIB + 5000, b"x")], 64 * KIB),
        ("a hole at the beginning", 4 * MIB, &[(MIB, noise)], 3 * MIB),
        ("a hole at the end", 5 * MIB + 1, &[(0, noise)], 3 * MIB),
    ];
    for (name, len, data, expected) in cases {
        let (_temp, dir) = image(len, data, |_| {});
        let content = content(&dir);
        let (kind, stored, read) = unpacked(&pack(&dir).unwrap());
        assert_eq!(stored, expected, "{name}");
        assert_eq!(kind.is_gnu_sparse(), stored < content.len() as u64, "{name}");
        assert!(read == content, "{name}");
    }
}

#[test]
fn every_pattern_of_blocks_unpacks_to_itself() {
    let mut state = 490_u64;
    // From parts that fit into the header to parts that need several extension headers, and with or without data at the
    // end.
    for blocks in [17_u64, 20, 24, 33, 64, 99, 200] {
        let data: Vec<(u64, &[u8])> = (0..blocks)
            .filter_map(|block| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // One block in sixteen holds a byte at a random offset, and in the larger files every second block
                // does.
                let somewhere = (state >> 40) % (64 * KIB);
                (state >> 60 == 0 || blocks > 30 && block % 2 == 0)
                    .then_some((block * 64 * KIB + somewhere, &b"x"[..]))
            })
            .collect();
        let (_temp, dir) = image(blocks * 64 * KIB + 9, &data, |_| {});
        let (kind, stored, read) = unpacked(&pack(&dir).unwrap());
        assert!(read == content(&dir), "{blocks}");
        if blocks > 33 || data.is_empty() {
            assert_eq!((kind, stored), (tar::EntryType::GNUSparse, data.len() as u64 * 64 * KIB), "{blocks}");
        }
    }
}

#[test]
fn an_image_that_is_larger_than_any_disk_packs_at_once_and_to_little() {
    let len = 1 << 43;
    let (_temp, dir) = image(len, &[(len / 2, b"x"), (len - 1, b"x")], |_| {});
    let packed = pack(&dir).unwrap();
    assert!(packed.len() < 64 << 10, "{}", packed.len());
    let mut tar = tar::Archive::new(zstd::Decoder::new(packed.as_slice()).unwrap());
    let image = tar.entries().unwrap().nth(1).unwrap().unwrap();
    // The file has 65,536 blocks of 128 MiB.
    assert_eq!((image.size(), image.header().entry_size().unwrap()), (len, 256 * MIB));
}

#[test]
fn an_archive_with_the_zeros_left_out_or_not_is_that_of_the_episode() {
    let (_temp, dir) = image(3 * MIB + 5, &[(MIB, b"x"), (3 * MIB + 2, b"x")], |_| {});
    let read = Episode::look_at(&dir, &e1()).unwrap();
    let prove = |archive: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), archive).unwrap();
        read.packed_in(file.as_file(), &|| false).unwrap().map(|packed| packed.size_bytes)
    };
    let ours = pack(&dir).unwrap();
    assert_eq!(prove(&ours), Some(ours.len() as u64));
    // The archive as an earlier release packed it.
    let mut tar = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for name in ["meta.json", "disk.img"] {
        tar.append_path_with_name(dir.join(name), format!("e1/{name}")).unwrap();
    }
    let theirs = tar.into_inner().unwrap().finish().unwrap();
    assert_eq!(prove(&theirs), Some(theirs.len() as u64));

    // Other data in a block that was left out, other data in a stored block, and another length.
    let others: [(u64, Data<'_>); 3] = [
        (3 * MIB + 5, &[(MIB, b"x"), (2 * MIB, b"x"), (3 * MIB + 2, b"x")]),
        (3 * MIB + 5, &[(MIB, b"y"), (3 * MIB + 2, b"x")]),
        (3 * MIB + 6, &[(MIB, b"x"), (3 * MIB + 2, b"x")]),
    ];
    for (len, data) in others {
        let (_temp, other) = image(len, data, |_| {});
        assert_eq!(prove(&pack(&other).unwrap()), None);
    }
}
