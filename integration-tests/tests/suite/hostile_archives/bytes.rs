//! Writes the bytes of tar and zstd by hand, because no packer writes the archives that these tests need.

/// Returns one member with the given header fields and a correct checksum.
pub(crate) fn member(kind: u8, name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    padded([header.as_bytes(), content].concat())
}

/// Returns a regular file.
pub(crate) fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(b'0', name, content.len() as u64, content)
}

/// Returns a link to another name.
pub(crate) fn link(kind: u8, name: &str, target: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_link_name(target).unwrap();
    header.set_size(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Returns a regular file after an extension header with these records.
pub(crate) fn extended(records: &[(&str, &str)], name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    // The builder's output ends with two blocks of zeros.
    bytes.truncate(bytes.len() - 1024);
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size);
    header.set_cksum();
    bytes.extend(padded([header.as_bytes(), content].concat()));
    bytes
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Returns the members and the end of the archive.
pub(crate) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

/// Returns one ordinary frame.
pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// Returns one frame that needs a window of this size in bytes, as a power of two.
pub(crate) fn with_window(log: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(log);
    frame.extend(block(true, 0, bytes.len(), bytes));
    frame
}

/// Returns a frame of these bytes and then zeros, with four bytes for each 128 KiB of zeros.
pub(crate) fn bomb(begin: &[u8], zeros: u64) -> Vec<u8> {
    const MOST: usize = 128 * 1024;
    let mut frame = frame_head(21);
    frame.extend(block(false, 0, begin.len(), begin));
    for left in (1..=zeros / MOST as u64).rev() {
        frame.extend(block(left == 1, 1, MOST, &[0]));
    }
    frame
}

/// Returns the magic number and a header without size and checksum (RFC 8878, section 3.1.1).
fn frame_head(window_log: u8) -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3]
}

/// Returns a block: raw (0) or one byte many times (1).
fn block(last: bool, kind: usize, size: usize, content: &[u8]) -> Vec<u8> {
    let head = usize::from(last) | kind << 1 | size << 3;
    [&head.to_le_bytes()[..3], content].concat()
}

/// Returns a frame that every decoder skips.
pub(crate) fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [b"\x50\x2a\x4d\x18", &length.to_le_bytes()[..], content].concat()
}
