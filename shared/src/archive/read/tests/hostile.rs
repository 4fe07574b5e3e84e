//! Tests of archives that attack the reader.

use super::*;

#[test]
fn a_sparse_member_is_not_even_looked_into() {
    // A few bytes that claim to be a petabyte of zeros.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 50);
    gnu.sparse[0].set_offset(1 << 50);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    assert!(matches!(read(&zst(&tar(&[header.as_bytes().to_vec()]))), Err(ReadError::Sparse)));
}

#[test]
fn a_meta_json_with_holes_is_nobodys() {
    let sparse = |keys: &[(&str, &[u8])], content: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions(keys.iter().copied()).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_path("e1/meta.json").unwrap();
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
        builder.into_inner().unwrap()
    };
    let version_1 = [("GNU.sparse.major", b"1".as_slice()), ("GNU.sparse.minor", b"0")];
    let version_0 = [("GNU.sparse.size", b"1125899906842624".as_slice()), ("GNU.sparse.map", b"0,1")];
    for keys in [version_1, version_0] {
        let found = read(&zst(&sparse(&keys, META)));
        assert!(matches!(found, Err(ReadError::Sparse)), "{found:?}");
    }
    assert_eq!(read(&zst(&sparse(&[("comment", b"GNU.sparse.size")], META))).unwrap(), META);
}

#[test]
fn sizes_that_lie_are_errors() {
    let claims = |name: &[u8], size| read(&zst(&member(b'0', name, size, b"short")));
    for (name, size) in [("e1/meta.json", 5000), ("e1/a", 5000), ("e1/a", u64::MAX / 2), ("e1/a", u64::MAX)] {
        let found = claims(name.as_bytes(), size);
        assert!(matches!(found, Err(ReadError::Tar(_))), "{name} of {size}: {found:?}");
    }
    assert!(matches!(claims(b"e1/meta.json", 1 << 40), Err(ReadError::MetaTooLarge { .. })));
    let large = ReadLimits { max_meta_bytes: 10, ..ReadLimits::default() };
    let found = read_within(&zst(&tar(&[file("e1/meta.json", META)])), &large);
    assert!(matches!(found, Err(ReadError::MetaTooLarge { size: 55, limit: 10 })), "{found:?}");
}

/// An endless archive: `head`, then `again` for ever.
struct Endless {
    head: Vec<u8>,
    again: Vec<u8>,
    at: usize,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while into.remaining() > 0 {
            let rest = match this.at.checked_sub(this.head.len()) {
                None => &this.head[this.at..],
                Some(over) => &this.again[over % this.again.len()..],
            };
            let count = rest.len().min(into.remaining());
            into.put_slice(&rest[..count]);
            this.at += count;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads an endless archive, and returns the error and the number of bytes read.
fn read_endless(head: &[u8], again: &[u8], limits: &ReadLimits) -> (ReadError, usize) {
    let mut endless = Endless { head: zst(head), again: zst(again), at: 0 };
    let error = run(read_meta(&mut endless, limits, at_rest)).unwrap_err();
    (error, endless.at)
}

#[test]
fn archives_without_end_come_to_one() {
    let limits = ReadLimits { max_decompressed_bytes: 64 << 20, ..ReadLimits::default() };
    let zeros = vec![0; 8 << 20];
    let bomb = member(b'0', b"e1/a", 1 << 40, b"");
    let (error, taken) = read_endless(&bomb, &zeros, &limits);
    assert!(matches!(error, ReadError::TooMuchData(_)) && taken < 1 << 20, "{error} after {taken} bytes");

    let (error, taken) = read_endless(b"", &file("e1/a", b""), &limits);
    assert!(matches!(error, ReadError::TooManyEntries(10_000)) && taken < 2 << 20, "{error} after {taken}");

    // The tar reader would keep all of these in memory.
    for kind in [b'L', b'K', b'x'] {
        let mut endless_header = tar::Header::new_ustar();
        endless_header.set_entry_type(tar::EntryType::new(kind));
        endless_header.set_size(1 << 33);
        endless_header.set_cksum();
        let (error, _) = read_endless(endless_header.as_bytes(), &vec![b'x'; 1 << 20], &limits);
        assert!(matches!(error, ReadError::HeaderTooLong), "{}: {error:?}", char::from(kind));
    }
}

/// Returns a clock that advances by a millisecond at each call.
fn ticking() -> impl Fn() -> Duration + Sync {
    let asked = AtomicU64::new(0);
    move || Duration::from_millis(asked.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn work_that_leads_nowhere_comes_to_an_end() {
    let limits = ReadLimits { max_time: Duration::from_millis(20), ..ReadLimits::default() };
    let of_nothing = zst(b"");
    let skippable = [b"\x50\x2a\x4d\x18".as_slice(), &0_u32.to_le_bytes()].concat();
    let empty_block = [b"\x28\xb5\x2f\xfd\x00\x58".as_slice(), &[0; 3]].concat();
    for (head, again) in [(&b""[..], &of_nothing), (b"", &skippable), (&empty_block, &vec![0; 3])] {
        let mut endless = Endless { head: head.to_vec(), again: again.clone(), at: 0 };
        let error = run(read_meta(&mut endless, &limits, ticking())).unwrap_err();
        assert!(matches!(error, ReadError::TooMuchWork(_)), "{error:?}");
        assert!(endless.at <= 40 * CHUNK_BYTES, "{}", endless.at);
    }
    // A few bytes that decompress to many: the decoder is polled again and again, but not the source.
    let bomb = [member(b'0', b"e1/a", 1 << 40, b""), vec![0; 64 << 20]].concat();
    let found = run(read_meta(&*zst(&bomb), &limits, ticking()));
    assert!(matches!(found, Err(ReadError::TooMuchWork(_))), "{found:?}");
    let patient = ReadLimits { max_time: Duration::from_hours(1), ..limits };
    let found = run(read_meta(&*zst(&bomb), &patient, ticking()));
    assert!(matches!(found, Err(ReadError::Tar(_))), "{found:?}");
}

#[test]
fn no_more_is_read_than_meta_json_takes() {
    let head = file("e1/meta.json", META);
    let mut endless = Endless { head: zst(&head), again: zst(&vec![7; 1 << 16]), at: 0 };
    assert_eq!(run(read_meta(&mut endless, &ReadLimits::default(), at_rest)).unwrap(), META);
    assert!(endless.at <= CHUNK_BYTES, "{}", endless.at);
}

#[test]
fn a_name_as_long_as_a_header_may_be_is_only_a_name() {
    let long = "n".repeat(900_000);
    let name = member(b'L', b"././@LongLink", long.len() as u64, long.as_bytes());
    let archive = zst(&tar(&[name, file("cut off", b"1"), file("e1/meta.json", META)]));
    assert_eq!(read(&archive).unwrap(), META);
}

#[test]
fn what_stands_behind_meta_json_is_not_even_looked_at() {
    for behind in [&b"garbage"[..], &zst(&[0x55; 600]), &[0x28, 0xb5, 0x2f, 0xfd]] {
        let archive = [zst(&file("e1/meta.json", META)), behind.to_vec()].concat();
        assert_eq!(read(&archive).unwrap(), META);
    }
}

#[test]
fn an_error_repeats_nothing_that_a_terminal_would_obey() {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..11].copy_from_slice(b"\x1b]0;owned\x07\n");
    header.as_gnu_mut().unwrap().cksum = *b"\x1b[31m\n\n\n";
    let error = read(&zst(header.as_bytes())).unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, ReadError::Tar(_)) && told.contains("owned"), "{told:?}");
    assert!(told.chars().all(|c| !c.is_control()), "{told:?}");
}
