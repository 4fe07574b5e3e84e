//! Checks stored archives, with other code than the programs use where that is cheap.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use cis490_shared::archive::pack::pack_episode;
use cis490_shared::ids::{EpisodeId, Sha256Digest};
use sha2::{Digest, Sha256};

/// Returns the hash of a file's bytes.
pub fn sha256_of_file(path: &Path) -> Sha256Digest {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).expect("the file can be read") {
            0 => return Sha256Digest::from_bytes(hasher.finalize().into()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Returns the hash of some bytes.
pub fn sha256_of(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Packs an episode directory in memory, as the shipper does.
pub fn pack(dir: &Path) -> Vec<u8> {
    let name =
        dir.file_name().and_then(|name| name.to_str()).expect("a directory with the name of an episode");
    let mut bytes = Vec::new();
    pack_episode(dir, &EpisodeId::parse(name).expect("an episode id"), &mut bytes, 3)
        .expect("an episode that can be packed");
    bytes
}

/// Fails unless the archive holds exactly the files of the directory, under its name, `meta.json` first.
pub fn assert_holds(archive: &Path, dir: &Path) {
    let file = File::open(archive).unwrap_or_else(|error| panic!("`{}`: {error}", archive.display()));
    let mut tar = tar::Archive::new(zstd::Decoder::new(file).expect("a zstd stream"));
    let top = Path::new(dir.file_name().expect("a directory with a name"));
    let mut names = Vec::new();
    for entry in tar.entries().expect("a tar") {
        let entry = entry.expect("a whole entry");
        let path = entry.path().expect("a path").into_owned();
        let inner = path
            .strip_prefix(top)
            .unwrap_or_else(|_| panic!("`{}` is not below {}", path.display(), top.display()));
        let recorded =
            File::open(dir.join(inner)).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
        assert!(same_bytes(entry, recorded), "`{}` differs from what was recorded", path.display());
        names.push(inner.to_str().expect("a plain name").to_owned());
    }
    assert_eq!(names.first().map(String::as_str), Some("meta.json"));
    names.sort();
    assert_eq!(names, recorded_names(dir), "members of `{}`", archive.display());
}

fn recorded_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("the episode directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

/// Compares two streams to their ends without holding either in memory.
fn same_bytes(a: impl Read, b: impl Read) -> bool {
    let (mut a, mut b) = (BufReader::with_capacity(1 << 18, a), BufReader::with_capacity(1 << 18, b));
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = fill(&mut a, &mut left).expect("the first can be read");
        if length != fill(&mut b, &mut right).expect("the second can be read")
            || left[..length] != right[..length]
        {
            return false;
        }
        if length == 0 {
            return true;
        }
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_compared_to_their_ends() {
        let long = vec![7; 100_000];
        assert!(same_bytes(&long[..], &long[..]));
        assert!(!same_bytes(&long[..], &long[..99_999]));
        assert!(!same_bytes(&long[..99_999], &long[..]));
    }
}
