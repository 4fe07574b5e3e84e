//! Lines of `index.jsonl`: a row stays the same after it is written, both readers find its pair, and unknown keys are
//! ignored.
#![no_main]

use cis490_receiver::index::known::KnownRows;
use cis490_shared::row::{IndexRow, read_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let key = read_key(line);
    if let Ok(row) = IndexRow::parse(line) {
        let key = key.clone().expect("a whole row names its pair");
        assert_eq!((&key.host_id, &key.episode_id), (&row.host_id, &row.episode_id));
        assert_eq!((key.sha256, key.size_bytes), (Some(row.sha256), Some(row.size_bytes)));

        let written = row.to_line().expect("a row can be written");
        assert_eq!(written.iter().position(|byte| *byte == b'\n'), Some(written.len() - 1));
        assert_eq!(IndexRow::parse(&written).expect("what was written is a row"), row);
        assert_eq!(read_key(&written), Some(key));
    }
    if let Some(key) = &key {
        let text = str::from_utf8(line).expect("a row is UTF-8").trim_ascii();
        let members = text.strip_prefix('{').expect("a row is an object");
        let with_more = format!("{{\"a key of next year\":[{{}}],{members}");
        assert_eq!(read_key(with_more.as_bytes()).as_ref(), Some(key));
    }

    // A file holds the rows of its lines, and the first row of a pair counts.
    let mut known = KnownRows::default();
    known.learn(line).expect("memory can be read");
    let keys: Vec<_> = line.split(|byte| *byte == b'\n').filter_map(read_key).collect();
    for key in &keys {
        let first = keys.iter().find(|k| (&k.host_id, &k.episode_id) == (&key.host_id, &key.episode_id));
        let found = known.get(&key.host_id, &key.episode_id).expect("every row of the file is known");
        assert_eq!(Some(found.sha256), first.map(|first| first.sha256));
    }
    assert!(known.len() <= keys.len());
});
