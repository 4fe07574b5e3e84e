//! Tests of whole episodes, from the recorder's directory to the trainer's archive.

use std::collections::BTreeMap;
use std::fs;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{assert_holds, sha256_of_file};
use integration_tests::clone::GitClone;
use integration_tests::episodes::Recording;
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::{Sandbox, run};
use integration_tests::shipper::LabHost;

const MIB: u64 = 1 << 20;

/// Returns twenty episodes of an everyday size and one of a long night, by three commits in turn.
fn recordings(commits: &[CommitHash]) -> Vec<Recording> {
    let sizes = std::iter::repeat_n(2 * MIB, 20).chain([200 * MIB]);
    let in_turn = (1..).zip(commits.iter().cycle()).zip(sizes);
    in_turn.map(|((seed, commit), bytes)| Recording::new(seed, commit, bytes)).collect()
}

#[test]
fn everything_recorded_arrives_whole_and_exactly_once() {
    let sandbox = Sandbox::new();
    let (clone, commits) = GitClone::with_commits(&sandbox, "cis490", 3);
    let mut receiver = Receiver::start(&sandbox, Options::gated(clone.path()));
    let lab_host = LabHost::new(&sandbox, "lab-1", receiver.url());
    let recordings = recordings(&commits);
    for recording in &recordings {
        recording.write_to(&lab_host.episodes());
    }
    let ids: Vec<String> = recordings.iter().map(|recording| recording.id().to_string()).collect();

    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    assert_eq!(lab_host.names("shipped"), ids);
    assert_eq!(lab_host.names("outbox"), [""; 0]);
    assert_eq!(lab_host.names("episodes"), [""; 0]);

    let rows: BTreeMap<String, _> =
        receiver.rows().into_iter().map(|row| (row.episode_id.to_string(), row)).collect();
    assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), ids, "one row for each");
    assert_eq!(receiver.rows().len(), ids.len(), "and no second one");
    for recording in &recordings {
        let (id, row) = (recording.id(), &rows[recording.id().as_str()]);
        let archive = receiver.archive("lab-1", id.as_str());
        assert_eq!(row.sha256, sha256_of_file(&archive), "{id}");
        assert_eq!(row.size_bytes, fs::metadata(&archive).unwrap().len(), "{id}");
        assert_eq!(
            (row.host_id.as_str(), row.commit.as_ref(), row.backfilled),
            ("lab-1", recording.commit.as_ref(), false)
        );
        assert_holds(&archive, &lab_host.data().join("shipped").join(id.as_str()));
    }

    let index = fs::read(receiver.index()).unwrap();
    assert_eq!(lab_host.once().code, Some(0), "a second pass finds nothing to do");
    assert_eq!(fs::read(receiver.index()).unwrap(), index);

    // An operator moves an episode back, or the shipper lost the answer: the same bytes go out again.
    let again = lab_host.data().join("shipped").join(&ids[3]);
    run(sandbox.command("mv").arg(again).arg(lab_host.episodes()));
    let pass = lab_host.once();
    assert_eq!(pass.code, Some(0), "{}", pass.log);
    assert_eq!(lab_host.names("shipped"), ids);
    assert_eq!(fs::read(receiver.index()).unwrap(), index, "no second row");
    receiver.stop();
    assert_eq!(fs::read_dir(receiver.state().join("episodes/.incoming")).unwrap().count(), 0);
}
