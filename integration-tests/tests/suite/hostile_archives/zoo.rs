//! One archive for each attack on a reader, and the expected result.

use crate::hostile_archives::bytes::{bomb, extended, file, link, member, skippable, tar, with_window, zst};

/// The expected result for one archive.
pub(crate) enum Expected {
    /// Its row has the commit of [`commit`].
    Commit,
    /// Its row has no commit, and the reason contains these words.
    Reason(&'static str),
}

use Expected::{Commit, Reason};

/// A name, the bytes and the expected result.
pub(crate) type Animal = (&'static str, Vec<u8>, Expected);

const TOO_MUCH: &str = "no meta.json in the first 4294967296 bytes of the decompressed archive";
const CUT: &str = "the archive is cut short";
const NONE: &str = "the archive holds no meta.json";

/// Returns the commit that is to be found.
pub(crate) fn commit() -> String {
    "ab".repeat(20)
}

fn meta_with(commit: &str) -> Vec<u8> {
    format!(r#"{{"episode_id": "e1", "schema_version": 1, "code_version": {{"commit": "{commit}"}}}}"#).into()
}

fn meta() -> Vec<u8> {
    file("e1/meta.json", &meta_with(&commit()))
}

/// Returns a meta.json that must not be found.
fn decoy() -> Vec<u8> {
    file("e1/meta.json", &meta_with(&"cd".repeat(20)))
}

/// Returns an archive whose meta.json is this text.
fn saying(text: &str) -> Vec<u8> {
    zst(&tar(&[file("e1/meta.json", text.as_bytes())]))
}

/// Returns all archives.
pub(crate) fn zoo() -> Vec<Animal> {
    [sizes(), counts(), frames(), members(), texts()].into_iter().flatten().collect()
}

fn sizes() -> Vec<Animal> {
    let huge = |name, size| member(b'0', name, size, b"");
    vec![
        ("bomb", bomb(&huge("e1/a", 1 << 40), 5 << 30), Reason(TOO_MUCH)),
        (
            "bomb-meta",
            bomb(&huge("e1/meta.json", 1 << 30), 1 << 30),
            Reason("meta.json has 1073741824 bytes"),
        ),
        ("bomb-meta-1", saying(&" ".repeat(1 << 20)), Reason("meta.json cannot be understood: EOF")),
        ("size-above", zst(&member(b'0', "e1/a", 5000, b"short")), Reason("no usable tar: unexpected EOF")),
        ("size-below", zst(&tar(&[member(b'0', "e1/a", 3, &[b'x'; 2000])])), Reason("no usable tar: ")),
        ("size-max", zst(&huge("e1/a", u64::MAX)), Reason("no usable tar: ")),
        (
            "size-meta",
            zst(&member(b'0', "e1/meta.json", 5000, b"{}")),
            Reason("no usable tar: unexpected EOF"),
        ),
    ]
}

fn counts() -> Vec<Animal> {
    let long = |kind, bytes: usize| member(kind, "././@LongLink", bytes as u64, &vec![b'n'; bytes]);
    let records = [("comment", "x".repeat(900_000))];
    let records: Vec<_> = records.iter().map(|(key, value)| (*key, value.as_str())).collect();
    vec![
        (
            "members",
            zst(&file("e1/a", b"").repeat(100_000)),
            Reason("no meta.json among the first 10000 members"),
        ),
        ("name", zst(&tar(&[long(b'L', 900_000), file("x", b""), meta()])), Commit),
        (
            "name-endless",
            zst(&tar(&[long(b'L', 8 << 20), file("x", b""), meta()])),
            Reason("bytes of headers"),
        ),
        (
            "link-endless",
            zst(&tar(&[long(b'K', 8 << 20), file("x", b""), meta()])),
            Reason("bytes of headers"),
        ),
        ("records", zst(&tar(&[extended(&records, "e1/a", 0, b""), meta()])), Commit),
        (
            "headers-many",
            zst(&[vec![long(b'L', 4000); 50], vec![meta()]].concat().concat()),
            Reason("no usable tar: two long name"),
        ),
    ]
}

fn frames() -> Vec<Animal> {
    let whole = tar(&[file("e1/a", &[7; 3000]), meta()]);
    let split: Vec<u8> = whole.chunks(900).flat_map(zst).collect();
    let mut wrong_sum = zst(&whole);
    let last = wrong_sum.len() - 1;
    wrong_sum[last] ^= 1;
    vec![
        ("cut", zst(&whole)[..40].to_vec(), Reason(CUT)),
        ("frames", [skippable(b"hello"), split, skippable(b"")].concat(), Commit),
        ("frames-of-nothing", [zst(b"").repeat(300_000), zst(&whole)].concat(), Commit),
        ("frames-nothing-else", skippable(b"").repeat(300_000), Reason(NONE)),
        ("garbage", b"\x1f\x8b\x08 this is gzip".to_vec(), Reason("the archive cannot be decompressed: ")),
        ("garbage-behind", [zst(&whole), vec![0x55; 70_000]].concat(), Commit),
        ("garbage-first", [vec![0x55; 70_000], zst(&whole)].concat(), Reason("cannot be decompressed: ")),
        ("garbage-inside", zst(&[0x55; 5000]), Reason("no usable tar: ")),
        ("window", with_window(27, &whole), Reason("cannot be decompressed: Frame requires too much memory")),
        ("window-8-mib", with_window(23, &whole), Commit),
        ("wrong-sum-behind", [zst(&meta()), wrong_sum].concat(), Commit),
    ]
}

fn members() -> Vec<Animal> {
    let inner = tar(&[decoy()]);
    let inner_size = inner.len().to_string();
    let smuggled = extended(&[("size", &inner_size)], "e1/a", 0, &inner);
    let holes = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")];
    let mut sparse = tar::Header::new_gnu();
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.as_gnu_mut().unwrap().set_real_size(1 << 50);
    sparse.as_gnu_mut().unwrap().sparse[0].set_offset(1 << 50);
    sparse.as_gnu_mut().unwrap().sparse[0].set_length(0);
    sparse.set_cksum();
    let outside = ["../../outside", "/tmp/cis490-outside", "e1/../../../outside"];
    let outside: Vec<_> = outside.iter().map(|name| file(name, b"outside")).chain([meta()]).collect();
    let special: Vec<_> =
        (b'3'..=b'6').map(|kind| member(kind, "e1/meta.json", 0, b"")).chain([meta()]).collect();
    let links =
        [link(b'2', "e1/meta.json", "/etc/passwd"), link(b'1', "e1/meta.json", "../../index.jsonl"), meta()];
    vec![
        ("none", zst(&tar(&[file("e1/a", b"1"), file("e1/x/meta.json", b"{}")])), Reason(NONE)),
        ("inner-archive", zst(&tar(&[file("e1/inner.tar", &inner), meta()])), Commit),
        ("smuggled", zst(&tar(&[smuggled, meta()])), Commit),
        ("second", zst(&tar(&[meta(), decoy()])), Commit),
        (
            "sparse",
            zst(&tar(&[sparse.as_bytes().to_vec(), meta()])),
            Reason("the archive holds a sparse file"),
        ),
        (
            "sparse-meta",
            zst(&extended(&holes, "e1/meta.json", 2, b"{}")),
            Reason("the archive holds a sparse file"),
        ),
        ("outside", zst(&tar(&outside)), Commit),
        ("special", zst(&tar(&special)), Commit),
        ("links", zst(&tar(&links)), Commit),
        ("link-alone", zst(&tar(&links[..1])), Reason(NONE)),
    ]
}

fn texts() -> Vec<Animal> {
    let commit = commit();
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let long = "\\u001b]0;owned\\u0007".to_owned() + &"x".repeat(900_000);
    vec![
        (
            "array",
            saying(&format!(r#"[["{commit}"]]"#)),
            Reason("meta.json cannot be understood: it is no object"),
        ),
        ("deep", saying(&deep), Reason("meta.json cannot be understood: it is no object")),
        (
            "deep-inside",
            saying(&format!(r#"{{"code_version": {{"commit": {deep}}}}}"#)),
            Reason("invalid type: sequence, expected a string"),
        ),
        (
            "deep-elsewhere",
            saying(&format!(r#"{{"x": {deep}, "code_version": {{"commit": "{commit}"}}}}"#)),
            Commit,
        ),
        (
            "twice",
            saying(r#"{"code_version": {"commit": "1"}, "code_version": {"commit": "2"}}"#),
            Reason("duplicate field"),
        ),
        ("long", saying(&format!(r#"{{"code_version": {{"commit": "{long}"}}}}"#)), Reason("owned\\u{7}xxx")),
        ("long-elsewhere", saying(&format!(r#"{{"code_version": "{long}"}}"#)), Reason("more characters)")),
        (
            "not-text",
            zst(&tar(&[file("e1/meta.json", b"{\"code_version\": {\"commit\": \"\xff\"}}")])),
            Reason("meta.json cannot be understood: "),
        ),
    ]
}
