//! `lab-host.toml`: which values are accepted, and how a mistake is explained.

use std::path::Path;

use cis490_shared::config_file::parse;

use super::*;

const MINIMAL: &str = "host_id = \"lab-1\"\n[receiver]\nurl = \"https://collector.wg\"\n";

fn config(text: &str) -> Config {
    parse(text, Path::new("lab-host.toml")).unwrap()
}

fn error_of(text: &str) -> String {
    parse::<Config>(text, Path::new("lab-host.toml")).unwrap_err().to_string()
}

#[test]
fn two_keys_are_enough() {
    let config = config(MINIMAL);
    assert_eq!(config.paths.data_root, Path::new("/var/lib/cis490/data"));
    assert_eq!(config.queue, Queue::default());
    assert_eq!((config.queue.scan_interval_s, config.queue.parallel_uploads), (5, 2));
    assert_eq!((config.queue.compression_level, config.queue.quarantine_keep_days), (3, 30));
    assert_eq!((config.retention.shipped_keep_days, config.retention.free_percent), (0, 10));
}

#[test]
fn the_example_is_read_but_for_the_host_id_that_it_leaves_open() {
    let example = include_str!("../../../etc/lab-host.toml");
    assert!(error_of(example).contains("REPLACE_ME"));
    let config = config(&example.replace("REPLACE_ME", "lab-1"));
    assert_eq!(config.queue, Queue::default(), "the example shows the defaults");
    assert_eq!(config.retention, Retention::default());
    // Every key is in the example; keys without a default are commented out.
    let keys = "host_id data_root url ca_file client_cert_file client_key_file scan_interval_s parallel_uploads \
                rate_limit stall_timeout_s compression_level quarantine_keep_days quarantine_keep_commit_days shipped_keep_days free_percent";
    for key in keys.split_whitespace() {
        assert!(example.contains(&format!("{key} = ")), "{key}");
    }
}

#[test]
fn incident_09_a_host_id_that_was_never_set_is_a_clear_error() {
    assert_eq!(
        error_of(&MINIMAL.replace("lab-1", "REPLACE_ME")),
        "`lab-host.toml`: `host_id` still says `REPLACE_ME`: give this lab host a name that no other one has"
    );
}

#[test]
fn what_makes_no_sense_names_its_key() {
    let with = |line: &str| format!("{MINIMAL}{line}\n");
    let queue = |line: &str| format!("{MINIMAL}[queue]\n{line}\n");
    let cases = [
        (MINIMAL.replace("lab-1", "lab.1"), "line 1: `host_id` is `lab.1`: it holds `.`"),
        (MINIMAL.replace("lab-1", ""), "line 1: `host_id` is ``: it is empty"),
        (
            MINIMAL.replace("https", "ftp"),
            "line 3: `receiver.url` is `ftp://collector.wg`: it must begin with",
        ),
        (queue("scan_interval_s = 0"), "`queue.scan_interval_s` is 0, it must be 1 to 86400"),
        (queue("parallel_uploads = 0"), "`queue.parallel_uploads` is 0, it must be 1 to 16"),
        (queue("parallel_uploads = 17"), "`queue.parallel_uploads` is 17, it must be 1 to 16"),
        (queue("stall_timeout_s = 9"), "`queue.stall_timeout_s` is 9, it must be 10 to 3600"),
        (queue("stall_timeout_s = 3601"), "`queue.stall_timeout_s` is 3601, it must be 10 to 3600"),
        (queue("compression_level = 0"), "`queue.compression_level` is 0, it must be 1 to 19"),
        (queue("compression_level = 20"), "`queue.compression_level` is 20, it must be 1 to 19"),
        (
            queue("rate_limit = \"fast\""),
            "line 5: `queue.rate_limit` is `fast`: give a whole number with a unit",
        ),
        (
            queue("rate_limit = \"0B/s\""),
            "line 5: `queue.rate_limit` is `0B/s`, which sends nothing; to pause:",
        ),
        (queue("rate_limit = 5"), "must be a rate as `2MiB/s`, or a list of them"),
        (
            queue("rate_limit = [\"1MiB/s\", \"2MiB/s\"]"),
            "`queue.rate_limit` holds `1MiB/s` and `2MiB/s`, which overlap",
        ),
        (
            queue("parallel_uploads = 16\nrate_limit = \"16KiB/s\""),
            "`queue.rate_limit` is `16KiB/s`: at least 32KiB/s is needed for 16 uploads at a time",
        ),
        (
            queue("paralel_uploads = 2"),
            "line 5: unknown key `paralel_uploads`, did you mean `parallel_uploads`?",
        ),
        (with("[retention]\nfree_percent = 91"), "`retention.free_percent` is 91, it must be 0 to 90"),
        (
            with("[retention]\nshipped_days = 3"),
            "unknown key `shipped_days`, did you mean `shipped_keep_days`?",
        ),
        (with("[paths]\ndata_root = \"data\""), "`paths.data_root` is `data`, an absolute path is needed"),
        (
            with("client_cert_file = \"/c\""),
            "`receiver.client_cert_file` is set without `receiver.client_key_file`",
        ),
        (
            with("client_key_file = \"/k\""),
            "`receiver.client_key_file` is set without `receiver.client_cert_file`",
        ),
        (
            with("ca_file = \"/ca\"").replace("https", "http"),
            "`receiver.ca_file` is set, but `receiver.url` is `http://collector.wg`, without TLS",
        ),
    ];
    for (text, expected) in cases {
        let error = error_of(&text);
        assert!(error.contains(expected), "{error}\n  does not say\n{expected}");
    }
}

#[test]
fn a_receiver_may_be_a_name_or_an_address_of_either_family() {
    let cases = [
        ("http://collector.wg", (false, "collector.wg", 80)),
        ("https://collector.wg/", (true, "collector.wg", 443)),
        ("https://10.0.0.1:8444", (true, "10.0.0.1", 8444)),
        ("http://[::1]:8444", (false, "::1", 8444)),
        ("https://[fd00::1]", (true, "fd00::1", 443)),
        ("http://localhost:80", (false, "localhost", 80)),
    ];
    for (text, (tls, host, port)) in cases {
        let url = ReceiverUrl::parse(text).unwrap();
        assert_eq!((url.is_tls(), url.host(), url.port()), (tls, host, port), "{text}");
        assert_eq!(url.to_string(), text.trim_end_matches('/'));
    }
}

#[test]
fn a_token_that_goes_to_another_machine_in_the_clear_is_shown() {
    for (url, expected) in [
        ("http://collector.wg", true),
        ("http://10.0.0.1:8444", true),
        ("http://[fd00::1]", true),
        ("https://collector.wg", false),
        ("http://127.0.0.1:8444", false),
        ("http://[::1]:8444", false),
        ("http://localhost", false),
    ] {
        let receiver = |token: &str| {
            config(&format!("host_id = \"lab-1\"\n[receiver]\nurl = \"{url}\"\n{token}")).receiver
        };
        assert_eq!(receiver("token_file = \"/t\"").shows_its_token(), expected, "{url}");
        assert!(!receiver("").shows_its_token(), "{url}");
    }
}

#[test]
fn an_address_that_cannot_be_one_says_why() {
    let cases = [
        ("collector.wg", UrlError::Scheme),
        ("HTTP://x", UrlError::Scheme),
        ("", UrlError::Scheme),
        ("https://", UrlError::Host),
        ("https://:8444", UrlError::Host),
        ("https://a b", UrlError::Host),
        ("https://x:port", UrlError::Host),
        ("https://x:99999", UrlError::Host),
        ("https://x:", UrlError::Host),
        ("https://[fe80::1%25eth0]:8444", UrlError::Zone),
        ("https://[fe80::1%eth0]", UrlError::Zone),
        ("https://x/v1", UrlError::Path),
        ("https://x?y", UrlError::Path),
        ("https://me:secret@x", UrlError::UserInfo),
    ];
    for (text, error) in cases {
        assert_eq!(ReceiverUrl::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn zero_days_keep_a_refused_episode_for_ever() {
    let queue = |days| Queue { quarantine_keep_days: days, ..Queue::default() };
    assert_eq!(queue(0).quarantine_keep(), Keep::default());
    let two_days = Keep { for_commit: None, others: Some(Duration::from_hours(48)) };
    assert_eq!(queue(2).quarantine_keep(), two_days);
    let told_to = Queue { quarantine_keep_commit_days: 1, ..queue(0) };
    assert_eq!(told_to.quarantine_keep().for_commit, Some(Duration::from_hours(24)));
}

#[test]
fn zero_days_and_zero_percent_delete_nothing() {
    let off = Retention { shipped_keep_days: 0, free_percent: 0 };
    assert_eq!(off.rules(), Rules { keep: None, free_percent: 0 });
    let on = Retention { shipped_keep_days: 2, free_percent: 20 };
    assert_eq!(on.rules(), Rules { keep: Some(Duration::from_hours(48)), free_percent: 20 });
}
