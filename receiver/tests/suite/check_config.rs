//! `--check-config`: what a start would find, said before there is one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::clone_in;

fn check(dir: &Path, text: &str) -> Output {
    let at = dir.display().to_string();
    std::fs::write(dir.join("receiver.toml"), text.replace("{dir}", &at)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cis490-receiver"));
    command.arg("--check-config").arg("--config").arg(dir.join("receiver.toml"));
    command.env_remove("RUST_LOG").env_remove("CREDENTIALS_DIRECTORY").output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const STORE: &str =
    "[store]\nepisodes_root = \"{dir}/episodes\"\nindex = \"{dir}/index.jsonl\"\nmin_free_bytes = 1\n";

#[test]
fn a_start_that_will_go_well_is_described_with_the_origin_of_every_value() {
    let dir = tempfile::tempdir().unwrap();
    let (clone, head) = clone_in(dir.path());
    let token = format!("lab-1 = {}\nalice = {}\n", "ab".repeat(32), "cd".repeat(32));
    std::fs::write(dir.path().join("tokens"), token).unwrap();
    std::fs::set_permissions(dir.path().join("tokens"), PermissionsExt::from_mode(0o640)).unwrap();
    let text = format!(
        "{STORE}[auth]\ntokens_file = \"{{dir}}/tokens\"\nreaders = [\"alice\"]\n[version_gate]\nrepo_path = \"{}\"\nwindow = 7\n",
        clone.display()
    );
    let checked = check(dir.path(), &text);
    let (out, err) = texts(&checked);
    assert_eq!(checked.status.code(), Some(0), "{err}");
    assert!(!err.contains("warning:"), "{err}");
    let gate = format!("last 7 commits of HEAD in {}: 1 there, the newest is {head}\n", clone.display());
    for line in [
        "  auth         tokens (1 host), readers alice\n",
        &gate,
        "/episodes (not there yet, the first start makes it)\n",
        " free, writable)\n",
        "\n  version_gate.window = 7  # file\n",
        "\n  version_gate.git_timeout_s = 10  # default\n",
        "\n  server.tls = (none)  # default\n",
    ] {
        assert!(out.contains(line), "{line} is not in:\n{out}");
    }
    assert!(!out.contains(&"ab".repeat(32)), "{out}");
}

#[test]
fn what_the_service_waits_for_or_somebody_should_look_at_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokens"), "").unwrap();
    std::fs::set_permissions(dir.path().join("tokens"), PermissionsExt::from_mode(0o644)).unwrap();
    let text = "[store]\nepisodes_root = \"{dir}/store\"\nindex = \"{dir}/state/index.jsonl\"\n\
                min_free_bytes = 18000000000000000\n[auth]\ntokens_file = \"{dir}/tokens\"\n\
                [version_gate]\nrepo_path = \"/nonexistent\"\n";
    std::fs::create_dir(dir.path().join("store")).unwrap();
    let checked = check(dir.path(), text);
    let (out, err) = texts(&checked);
    assert_eq!(checked.status.code(), Some(0), "{err}");
    for warning in [
        "has no token of a host",
        "the clone cannot be read",
        "everybody on this machine can read",
        "uploads will be refused",
    ] {
        assert!(
            err.lines().any(|line| line.starts_with("warning: ") && line.contains(warning)),
            "{warning}: {err}"
        );
    }
    assert!(out.contains("tokens (0 hosts)") && out.contains("/nonexistent: cannot be read now"), "{out}");
    let open = format!("{STORE}[version_gate]\nenabled = false\n");
    let (out, _) = texts(&check(dir.path(), &open));
    assert!(out.contains("auth         nobody is asked: every client may upload as any host\n"), "{out}");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{STORE}[version_gate]\nenabled = false\n");
    std::fs::write(dir.path().join("episodes"), "a file").unwrap();
    let file = check(dir.path(), &text);
    assert_eq!(file.status.code(), Some(78));
    let (_, err) = texts(&file);
    assert!(
        err.starts_with("error: `store.episodes_root`: `") && err.contains("is no directory\nhelp: "),
        "{err}"
    );
    // Of a read-only file system, since root may write everywhere else.
    let read_only = check(dir.path(), &text.replace("{dir}/episodes", "/proc/sys"));
    let (_, err) = texts(&read_only);
    assert_eq!(read_only.status.code(), Some(78), "{err}");
    assert!(err.contains("cannot be written: "), "{err}");
}
