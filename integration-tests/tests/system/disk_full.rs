//! Tests of a receiver on a small real file system: a memory file system, and ext4 on a loop device.
//!
//! If the declared length shows that the disk has no space, the client is refused before the body, with a time to come
//! back. Nothing partial is left, and a final name shows only whole bytes (I2, I5). Once there is space, sending again
//! is enough (I4). Mounting needs root.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{sha256_of, sha256_of_file};
use integration_tests::http::{Answer, Connection};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::names;
use integration_tests::small_disk::SmallDisk;
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::upload::Upload;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

const MIB: u64 = 1 << 20;
/// Size of the file system in bytes. It has space for every upload, and again for each one that is stored without a row
/// and sent again.
const DISK: u64 = 110 * MIB;
/// Number of bytes that the filler leaves: space for five uploads at most.
const ROOM: u64 = 24 * MIB;
const UPLOADS: usize = 16;
const UPLOAD_BYTES: usize = 4 << 20;
const HOST: &str = "lab-1";

fn body(number: usize) -> Vec<u8> {
    let mut bytes = vec![0; UPLOAD_BYTES];
    StdRng::seed_from_u64(number as u64).fill_bytes(&mut bytes);
    bytes
}

fn upload(number: usize) -> Upload {
    let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
    Upload::new(HOST, &format!("E{number}"), &commit, &body(number))
}

/// A PUT whose head was answered with 100, so that the receiver waits for the body.
struct Admitted {
    number: usize,
    upload: Upload,
    connection: Connection,
}

/// Begins all uploads at the same time. Returns the uploads that may continue, and the answers to the others.
fn begin(receiver: &Receiver<'_>, numbers: &[usize]) -> (Vec<Admitted>, Vec<Answer>) {
    let length = UPLOAD_BYTES.to_string();
    let begun: Vec<_> = numbers
        .iter()
        .map(|number| {
            let upload = upload(*number);
            let mut headers = upload.headers();
            headers.extend([("content-length", length.as_str()), ("expect", "100-continue")]);
            let mut connection = Connection::open(receiver.url());
            connection.send_head("PUT", &upload.path, &headers);
            Admitted { number: *number, upload, connection }
        })
        .collect();
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    for mut put in begun {
        match put.connection.answer("PUT").expect("an answer to the head") {
            Answer { status: 100, .. } => admitted.push(put),
            answer => refused.push(answer),
        }
    }
    (admitted, refused)
}

/// Sends all bodies at the same time, calls `midway` when half of each is sent, and collects the answers.
fn finish(admitted: &mut [Admitted], midway: impl FnOnce()) -> BTreeMap<usize, u16> {
    let half = UPLOAD_BYTES / 2;
    let send_all = |admitted: &mut [Admitted], range: std::ops::Range<usize>| {
        std::thread::scope(|scope| {
            for put in admitted {
                let range = range.clone();
                // A receiver that has refused the upload meanwhile takes no more bytes; its answer shows that.
                scope.spawn(move || drop(put.connection.send(&put.upload.body[range])));
            }
        });
    };
    send_all(admitted, 0..half);
    midway();
    send_all(admitted, half..UPLOAD_BYTES);
    let answer = |put: &mut Admitted| put.connection.answer("PUT").expect("an answer to the body").status;
    admitted.iter_mut().map(|put| (put.number, answer(put))).collect()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process has descriptors").count()
}

/// Checks what must hold at any time: nothing partial, whole bytes under each final name, and a row for each
/// acknowledged upload.
fn check(receiver: &mut Receiver<'_>, acknowledged: &[usize], descriptors_before: usize) {
    let pid = receiver.process().pid();
    // One descriptor fewer is right too: an index that cannot be appended to is closed, and opened again for the next
    // row.
    let last = || (descriptors(pid) <= descriptors_before).then_some(());
    wait_until("every descriptor of an upload is closed", PATIENCE, last);
    assert_eq!(names(&receiver.state().join("episodes/.incoming")), [""; 0], "partial uploads are left");
    for name in names(&receiver.state().join("episodes").join(HOST)) {
        let number = name.trim_start_matches('E').trim_end_matches(".tar.zst").parse().unwrap();
        let archive = receiver.archive(HOST, &format!("E{number}"));
        assert_eq!(sha256_of_file(&archive), sha256_of(&body(number)), "{name}");
    }
    let mut rows: Vec<String> = receiver.rows().iter().map(|row| row.episode_id.to_string()).collect();
    rows.sort();
    let count = rows.len();
    rows.dedup();
    assert_eq!(rows.len(), count, "a second row");
    for number in acknowledged {
        assert!(rows.contains(&format!("E{number}")), "E{number} was acknowledged and has no row");
    }
}

/// Starts a receiver whose whole state is on the small disk.
fn receiver_on(sandbox: &Sandbox, make: fn(&Sandbox, &Path, u64) -> SmallDisk) -> (SmallDisk, Receiver<'_>) {
    let mut receiver = Receiver::start(sandbox, Options::open());
    receiver.stop();
    let disk = make(sandbox, receiver.state(), DISK);
    fs::create_dir(receiver.state().join("episodes")).unwrap();
    receiver.restart();
    (disk, receiver)
}

/// Runs the whole test on one kind of disk.
fn fills_and_recovers(kind: &str, make: fn(&Sandbox, &Path, u64) -> SmallDisk) {
    let sandbox = Sandbox::new();
    let (disk, mut receiver) = receiver_on(&sandbox, make);
    let all: Vec<usize> = (1..=UPLOADS).collect();
    // The first request opens some files for good, which is not a leak.
    assert_eq!(receiver.get("/v1/health").status, 200);
    let pid = receiver.process().pid();
    let before = descriptors(pid);

    disk.fill_but(ROOM);
    let (mut admitted, refused) = begin(&receiver, &all);
    for answer in &refused {
        assert_eq!((answer.status, answer.json()["error"].as_str()), (507, Some("disk-full")), "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert!((3..=5).contains(&admitted.len()), "{} of {UPLOADS} found room", admitted.len());
    let answers = finish(&mut admitted, || disk.fill_up());
    drop(admitted);
    let mut stored: Vec<usize> = Vec::new();
    for (number, status) in &answers {
        assert!(matches!(status, 201 | 500 | 503 | 507), "E{number}: {status}");
        stored.extend((*status == 201).then_some(number));
    }
    println!(
        "{kind}: {} of {UPLOADS} refused before the body, then {answers:?} on a full disk",
        refused.len()
    );
    check(&mut receiver, &stored, before);

    disk.clear();
    let (mut admitted, refused) = begin(&receiver, &all);
    let answers = finish(&mut admitted, || ());
    drop(admitted);
    let there = refused.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(there, refused.len(), "only what is stored already is answered before its body: {refused:?}");
    // 200 is the answer for an archive that was stored when there was no space for its row.
    assert!(
        there >= stored.len() && answers.values().all(|status| matches!(status, 200 | 201)),
        "{answers:?}"
    );
    println!("{kind}: with room again {there} were there, {answers:?} for the others");
    check(&mut receiver, &all, before);
    receiver.stop();
}

#[test]
fn uploads_fill_a_memory_file_system_and_all_succeed_once_there_is_room() {
    fills_and_recovers("tmpfs", SmallDisk::in_memory);
}

#[test]
fn uploads_fill_an_ext4_and_all_succeed_once_there_is_room() {
    fills_and_recovers("ext4", SmallDisk::ext4);
}
