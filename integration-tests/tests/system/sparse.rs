//! Tests of a disk image that is nearly all holes, from the lab host to the trainer. Neither our programs nor common
//! tools ever read, store or unpack it at its full size.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use cis490_shared::ids::CommitHash;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::LabHost;

/// Length of the image in bytes. Reading or writing that many zeros takes many minutes on any machine.
const LENGTH: u64 = 1 << 40;
const DATA: [(u64, &[u8]); 3] = [(0, b"boot"), (LENGTH / 3, b"across"), (LENGTH - 9, b"the end")];

#[test]
fn an_image_of_a_tebibyte_of_holes_arrives_and_unpacks_with_its_holes() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let recording = Recording {
        commit: None,
        ..Recording::new(1, &CommitHash::parse(&"ab".repeat(20)).unwrap(), 20_000)
    };
    let image = File::create(recording.write_to(&lab_host.episodes()).join("disk.img")).unwrap();
    image.set_len(LENGTH).unwrap();
    for (at, bytes) in DATA {
        image.write_all_at(bytes, at).unwrap();
    }
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);

    let id = recording.id().to_string();
    let archive = File::open(receiver.archive("lab-1", &id)).unwrap();
    assert!(archive.metadata().unwrap().len() < 1 << 20);
    let tar = zstd::decode_all(archive).unwrap();
    let python =
        "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall(sys.argv[1])";
    for unpacker in [
        ["tar", "-x", "-f", "-", "-C"].as_slice(),
        &["python3", "-c", python],
        &["bsdtar", "-x", "-f", "-", "-C"],
    ] {
        let into = sandbox.dir(unpacker[0]);
        unpack(unpacker, &tar, &into);
        assert_is_the_image(&into.join(&id).join("disk.img"));
        let inner = fs::read(into.join(&id).join("meta.json")).unwrap();
        assert!(inner == fs::read(lab_host.data().join("shipped").join(&id).join("meta.json")).unwrap());
    }
}

fn unpack(unpacker: &[&str], tar: &[u8], into: &Path) {
    let mut program = Command::new(unpacker[0]);
    let mut running = program.args(&unpacker[1..]).arg(into).stdin(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(tar).unwrap();
    assert!(running.wait().unwrap().success(), "{unpacker:?}");
}

fn assert_is_the_image(path: &Path) {
    let image = File::open(path).unwrap();
    let found = image.metadata().unwrap();
    let name = path.display();
    assert_eq!(found.len(), LENGTH, "{name}");
    // At most three blocks of 16 MiB hold data.
    assert!(found.blocks() * 512 <= 49 << 20, "{name}: {} blocks", found.blocks());
    for (at, bytes) in DATA {
        let mut read = vec![1; bytes.len()];
        image.read_exact_at(&mut read, at).unwrap();
        assert_eq!(read, bytes, "{name} at {at}");
    }
}
