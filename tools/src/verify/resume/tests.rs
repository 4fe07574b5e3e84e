//! The file of a run: resumed, refused, and never written into the store or over other files.

use super::*;

fn run(dir: &Path) -> Run {
    let text = |name| dir.join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(dir.join("episodes/h1")).unwrap();
    Run {
        episodes_root: text("episodes"),
        index: text("index.jsonl"),
        host: None,
        since: None,
        sample: Some("5".to_owned()),
        seed: Some(7),
        deep: false,
    }
}

#[test]
fn a_run_goes_on_where_it_was_saved_and_with_the_seed_that_it_drew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, run) = (dir.path().join("state"), run(dir.path()));
    let (mut file, mark) = ResumeFile::open(&path, run.clone(), None).unwrap();
    assert_eq!((mark, path.is_file()), (Mark::default(), true), "written before the work begins");
    let mark = r#"{"through":["h","e3"],"again":[["h","e2"]],"archives":2,"bytes":20}"#;
    let mark: Mark = serde_json::from_str(mark).unwrap();
    file.save_if_due(&mark).unwrap();
    assert_ne!(ResumeFile::open(&path, run.clone(), None).unwrap().1, mark, "it is not due");
    file.save(&mark).unwrap();
    drop(file);
    let asked = Run { seed: Some(8), ..run.clone() };
    let (file, gone_on) = ResumeFile::open(&path, asked, None).unwrap();
    assert_eq!((gone_on, file.seed()), (mark, Some(7)));
    file.remove().unwrap();
    assert_eq!(ResumeFile::open(&path, run, None).unwrap().1, Mark::default());
}

#[test]
fn a_run_with_other_flags_is_refused_and_its_state_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (path, run) = (dir.path().join("state"), run(dir.path()));
    drop(ResumeFile::open(&path, run.clone(), None).unwrap());
    let before = fs::read(&path).unwrap();
    let others = [
        (Run { deep: true, ..run.clone() }, None),
        (Run { sample: None, seed: None, ..run.clone() }, None),
        (Run { since: Some("2025-10-09T00:00:00Z".to_owned()), ..run.clone() }, None),
        (Run { host: Some(HostId::parse("h1").unwrap()), ..run.clone() }, None),
        (run, Some(8)),
    ];
    for (other, seed) in others {
        let error = ResumeFile::open(&path, other, seed).unwrap_err();
        let ResumeError::OtherRun { flags, .. } = error else { panic!("{error}") };
        assert!(flags.ends_with("--sample 5 --seed 7"), "{flags}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_not_ours_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes");
    for content in ["", "{}", "a shopping list", r#"{"cis490_verify_state":2,"run":{},"mark":{}}"#] {
        fs::write(&path, content).unwrap();
        let error = ResumeFile::open(&path, run(dir.path()), None).unwrap_err();
        assert!(matches!(error, ResumeError::NotAState { .. }), "{content}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn nothing_is_written_into_the_store_or_over_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path());
    std::os::unix::fs::symlink(dir.path().join("episodes"), dir.path().join("link")).unwrap();
    for name in ["episodes/state", "episodes/h1/state", "link/h1/state", "index.jsonl", "link/../index.jsonl"]
    {
        let error = ResumeFile::open(&dir.path().join(name), run.clone(), None).unwrap_err();
        assert!(matches!(error, ResumeError::InTheStore(_)), "{name}: {error}");
    }
    let index = dir.path().join("index.new").to_str().unwrap().to_owned();
    let error = ResumeFile::open(&dir.path().join("index"), Run { index, ..run.clone() }, None).unwrap_err();
    assert!(matches!(error, ResumeError::InTheStore(_)), "its temporary name is the index: {error}");
    assert!(fs::read_dir(dir.path().join("episodes")).unwrap().count() == 1);
    ResumeFile::open(&dir.path().join("state"), run, None).unwrap();
}

#[test]
fn a_state_that_cannot_be_written_is_told_before_hours_of_work() {
    let dir = tempfile::tempdir().unwrap();
    let error = ResumeFile::open(&dir.path().join("gone/state"), run(dir.path()), None).unwrap_err();
    assert!(matches!(error, ResumeError::Write { .. }), "{error}");
}
