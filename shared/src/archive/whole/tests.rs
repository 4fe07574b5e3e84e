//! Whole archives, those that are cut or flipped anywhere, and those that go on and on.

use super::*;

const NO_TIME: fn() -> Duration = || Duration::ZERO;

fn tar_of(members: &[(&str, usize)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, size) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(*size as u64);
        tar.append_data(&mut header, name, vec![b'x'; *size].as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    io::Write::write_all(&mut encoder, tar).unwrap();
    encoder.finish().unwrap()
}

fn read(archive: &[u8]) -> Result<(), String> {
    read_whole(archive, &WholeLimits::default(), NO_TIME).map_err(|error| error.to_string())
}

#[test]
fn an_archive_is_read_to_its_end_with_long_names_and_without() {
    let long = format!("e1/{}", "n".repeat(200));
    for members in [&[][..], &[("e1/meta.json", 20)], &[("e1/meta.json", 512), (&long, 100_001), ("e1/z", 0)]]
    {
        read(&packed(&tar_of(members))).unwrap();
    }
}

#[test]
fn what_is_cut_anywhere_is_an_error() {
    let tar = tar_of(&[("e1/meta.json", 20), ("e1/pcap", 3000)]);
    let whole = packed(&tar);
    for end in 0..whole.len() {
        read(&whole[..end]).unwrap_err();
    }
    // The last two blocks are the end mark, of which one will do.
    for end in (0..tar.len() - 1024).step_by(100) {
        assert_eq!(
            read(&packed(&tar[..end])),
            Err("the tar in the archive is cut short".to_owned()),
            "{end}"
        );
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let whole = packed(&tar_of(&[("e1/meta.json", 20), ("e1/pcap", 3000)]));
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        // Two bits of the frame's header mean nothing, and a flag may become that of an equal coding.
        assert!(read(&flipped).is_err() || at < 6, "byte {at}");
    }
    let mut tar = tar_of(&[("e1/meta.json", 20)]);
    tar[3] ^= 1;
    assert_eq!(
        read(&packed(&tar)),
        Err("the archive is no usable tar: a wrong checksum in header 1".to_owned())
    );
}

#[test]
fn what_goes_on_and_on_has_an_end() {
    let bomb = packed(&tar_of(&[("e1/zeros", 3 << 20)]));
    let limits = WholeLimits { max_decompressed_bytes: 1 << 20, ..WholeLimits::default() };
    assert!(matches!(read_whole(&bomb[..], &limits, NO_TIME), Err(WholeError::TooMuchData(_))));
    let many = packed(&tar_of(&[("a", 0), ("b", 0), ("c", 0)]));
    let limits = WholeLimits { max_headers: 2, ..WholeLimits::default() };
    assert!(matches!(read_whole(&many[..], &limits, NO_TIME), Err(WholeError::TooManyHeaders(2))));
    let ticks = std::cell::Cell::new(0);
    let worked = || {
        ticks.set(ticks.get() + 1);
        Duration::from_secs(ticks.get())
    };
    let limits = WholeLimits { max_time: Duration::from_secs(5), ..WholeLimits::default() };
    assert!(matches!(read_whole(&bomb[..], &limits, worked), Err(WholeError::TooMuchWork(_))));
}

#[test]
fn sizes_are_octal_binary_or_in_an_extension() {
    assert_eq!(number_in(b"00000000017\0"), Some(15));
    assert_eq!(number_in(b"     17 \0\0\0\0"), Some(15));
    assert_eq!(number_in(b"\x80\0\0\0\0\0\0\x02\0\0\0\x01"), Some((2 << 32) + 1));
    assert_eq!(number_in(b"\x80\x01\0\0\0\0\0\0\0\0\0\x01"), None, "more than 64 bits");
    assert_eq!(number_in(b"0000000008\0\0"), None);
    assert_eq!(size_in(b"17 path=e1/a b=c\n21 size=123456789012\n"), Some(123_456_789_012));
    assert_eq!(size_in(b"17 path=e1/a b=c\n"), None);
    assert_eq!(size_in(b"99 size=1\n"), None);
    assert_eq!(size_in(b"0 size=1\n"), None);
}

#[test]
fn a_sparse_file_is_passed_over_as_it_stands() {
    let mut tar = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_path("e1/disk").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 60);
    gnu.set_is_extended(true);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    // One more block of the map, then a block of content, then the end.
    tar.extend_from_slice(&[0; BLOCK]);
    tar.extend_from_slice(&[7; BLOCK]);
    tar.extend_from_slice(&[0; 2 * BLOCK]);
    read(&packed(&tar)).unwrap();
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("a bad disk"))
    }
}

#[test]
fn what_is_no_archive_says_so() {
    let told = |bytes: &[u8]| read(bytes).unwrap_err();
    assert!(told(b"not zstd at all").starts_with("the archive cannot be decompressed: "));
    assert_eq!(told(b""), "the archive is cut short");
    assert!(told(&packed(&[b'x'; 2000])).starts_with("the archive is no usable tar: "));
    let error = read_whole(Broken, &WholeLimits::default(), NO_TIME).unwrap_err();
    assert!(matches!(error, WholeError::Source(_)), "{error}");
}
