//! The program beside a receiver that stores episodes all the time.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cis490_receiver::index::log::IndexLog;
use cis490_shared::durable::{Temp, sync_dir};
use cis490_shared::row::IndexRow;

use crate::verify::state::{State, row};

/// Stores an episode in the order of the receiver's commit protocol.
fn commit(state: &State, index: &mut IndexLog, name: &str) {
    let (path, bytes) = (state.archive(name), format!("bytes of {name}"));
    let partial = state.path("episodes/.incoming").join(format!("{}.partial", name.replace('/', "-")));
    let mut temp = Temp::create(partial, 0o640).unwrap();
    temp.write_all(bytes.as_bytes()).unwrap();
    temp.sync().unwrap();
    temp.publish_noreplace(&path).unwrap();
    sync_dir(path.parent().unwrap()).unwrap();
    let row = IndexRow::parse(row(name, &bytes).as_bytes()).unwrap();
    index.append_batch(&[row]).unwrap();
}

#[test]
fn episodes_that_come_meanwhile_are_no_findings() {
    let state = State::with_episodes(20);
    fs::create_dir(state.path("episodes/.incoming")).unwrap();
    fs::create_dir(state.path("episodes/live")).unwrap();
    let mut index = IndexLog::open(&state.path("index.jsonl")).unwrap();
    let enough = AtomicBool::new(false);
    let (state, enough) = (&state, &enough);
    let committed = thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut count = 0;
            while !enough.load(Ordering::Relaxed) {
                count += 1;
                commit(state, &mut index, &format!("live/e{count:06}"));
            }
            count
        });
        let told: Vec<_> =
            (0..20).map(|turn| state.run(if turn % 2 == 0 { &[] } else { &["--no-hash"] })).collect();
        enough.store(true, Ordering::Relaxed);
        let committed: usize = receiver.join().unwrap();
        let wrong: Vec<_> = told.iter().filter(|told| !told.starts_with("exit 0\n")).collect();
        assert!(wrong.is_empty(), "{}", wrong[0]);
        committed
    });
    assert!(committed > 0, "nobody was there to be disturbed");
    let told = state.run(&["--settle", "0"]);
    let all = format!("looked at {0} archives and {0} rows\n", 20 + committed);
    assert!(told.starts_with("exit 0\n") && told.contains(&all), "{told}");
}
