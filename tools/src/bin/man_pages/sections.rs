//! The sections of a manual page beyond `--help`: by program, in the order of man-pages(7).
//!
//! The exit codes come from the table at the top of each program's `cli.rs`, so there is no second list of them.

use crate::roff;

/// The sections below the options of a program.
#[derive(Debug)]
pub(crate) struct Sections {
    pub(crate) program: &'static str,
    /// The source with the table of exit codes.
    cli: &'static str,
    environment: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    signals: &'static [(&'static str, &'static str)],
    /// Commands, each with its description.
    examples: &'static [(&'static str, &'static str)],
    see_also: &'static [&'static str],
}

const RUST_LOG: (&str, &str) = (
    "RUST_LOG",
    "What the service logs: a level (`error`, `warn`, `info`, `debug`, `trace`, `off`), or `TARGET=LEVEL`, with commas \
     between them. Default: `info`.",
);
const JOURNAL_STREAM: (&str, &str) = (
    "JOURNAL_STREAM",
    "Set by systemd. The log then has no time of its own, and levels as the journal takes them.",
);
const CREDENTIALS_DIRECTORY: (&str, &str) = (
    "CREDENTIALS_DIRECTORY",
    "Set by systemd, which has put the secrets there that the configuration names. A file there takes the place of the one \
     that is configured.",
);
const NOTIFY_SOCKET: (&str, &str) =
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd: where readiness and liveness are reported.");
const NO_COLOR: (&str, &str) = ("NO_COLOR", "Nothing is printed in colour.");
const EPISODES: (&str, &str) = (
    "/var/lib/cis490/episodes/HOST/EPISODE.tar.zst",
    "The stored archives, unless `store.episodes_root` says otherwise.",
);
const INDEX: (&str, &str) =
    ("/var/lib/cis490/index.jsonl", "A row for each stored episode, unless `store.index` says otherwise.");
const RECEIVER_TOML: (&str, &str) = ("/etc/cis490/receiver.toml", "The configuration, see receiver.toml(5).");

/// All programs that are installed.
pub(crate) const ALL: [Sections; 4] = [
    Sections {
        program: "cis490-receiver",
        cli: include_str!("../../../../receiver/src/cli.rs"),
        environment: &[
            RUST_LOG,
            JOURNAL_STREAM,
            CREDENTIALS_DIRECTORY,
            (
                "LISTEN_FDS, LISTEN_PID",
                "Set by systemd: sockets that it passes are taken instead of `server.listen`.",
            ),
            NOTIFY_SOCKET,
            (
                "SUDO_USER, USER, LOGNAME",
                "The first of them that is set is noted as the person who admitted a commit.",
            ),
        ],
        files: &[
            RECEIVER_TOML,
            EPISODES,
            INDEX,
            ("/var/lib/cis490/admitted.json", "Commits that are admitted by name (`cis490-receiver admit`)."),
            ("/var/lib/cis490/gate.json", "The last good commit window."),
            ("/usr/share/doc/cis490-receiver/docs/operators.md", "What to do when something is wrong."),
        ],
        signals: &[
            (
                "SIGHUP",
                "Reads the files of `[auth]`, certificates and admitted.json again now; the receiver does so every few \
                 seconds anyway. The configuration is read at the start only.",
            ),
            (
                "SIGTERM, SIGINT",
                "Stop: no new uploads are taken, those in flight get `server.shutdown_timeout_s` to end.",
            ),
        ],
        examples: &[
            ("cis490-receiver --check-config", "Checks the configuration and the files that it names."),
            ("sudo cis490-receiver token add lab-1", "Makes a token for the host lab-1 and prints it, once."),
            (
                "sudo cis490-receiver admit COMMIT --host lab-1 --until 7d --reason \"local fix\"",
                "Takes episodes of a commit outside the window, from one host, for a week.",
            ),
            ("curl -s http://127.0.0.1:8444/v1/health", "Asks a receiver whether it is well."),
        ],
        see_also: &[
            "receiver.toml(5)",
            "cis490-receiver-token(1)",
            "cis490-receiver-admit(1)",
            "cis490-verify(1)",
            "cis490-index-backfill(1)",
            "cis490-shipper(1)",
            "systemd.socket(5)",
        ],
    },
    Sections {
        program: "cis490-shipper",
        cli: include_str!("../../../../shipper/src/cli.rs"),
        environment: &[RUST_LOG, JOURNAL_STREAM, CREDENTIALS_DIRECTORY, NOTIFY_SOCKET, NO_COLOR],
        files: &[
            ("/etc/cis490/lab-host.toml", "The configuration, see lab-host.toml(5)."),
            (
                "/var/lib/cis490/data",
                "Episodes that are recorded, packed, shipped or refused (`episodes/`, `outbox/`, `shipped/`, \
                 `quarantine/`), unless `paths.data_root` says otherwise.",
            ),
            ("/var/lib/cis490/data/status.json", "What `cis490-shipper status` reads."),
            ("/usr/share/doc/cis490-shipper/docs/operators.md", "What to do when something is wrong."),
        ],
        signals: &[
            (
                "SIGHUP",
                "Reads token and certificates again now; the shipper does so every two seconds anyway. The configuration \
                 is read at the start only.",
            ),
            (
                "SIGTERM, SIGINT",
                "Stop: uploads in flight get 5 seconds; what is cut off is sent again by the next start.",
            ),
        ],
        examples: &[
            (
                "cis490-shipper --check-config && cis490-shipper --ping",
                "Checks the configuration, then the whole path to the receiver.",
            ),
            ("sudo -u cis490 cis490-shipper status", "Shows backlog, rate and what is wrong."),
            ("sudo -u cis490 cis490-shipper quarantine release --all", "Sends the refused episodes again."),
        ],
        see_also: &[
            "lab-host.toml(5)",
            "cis490-shipper-status(1)",
            "cis490-shipper-quarantine(1)",
            "cis490-receiver(1)",
        ],
    },
    Sections {
        program: "cis490-index-backfill",
        cli: include_str!("../../backfill/cli.rs"),
        environment: &[NO_COLOR],
        files: &[EPISODES, INDEX, ("/var/lib/cis490/index.lock", "The lock under which rows are appended.")],
        signals: &[(
            "SIGINT, SIGTERM",
            "End the program. The rows that it has appended stay, another run goes on.",
        )],
        examples: &[
            (
                "sudo -u cis490 cis490-index-backfill --dry-run",
                "Shows which rows are missing, and writes nothing.",
            ),
            ("sudo -u cis490 cis490-index-backfill", "Adds them. It may run beside the receiver."),
        ],
        see_also: &["cis490-verify(1)", "cis490-receiver(1)"],
    },
    Sections {
        program: "cis490-verify",
        cli: include_str!("../../verify/cli.rs"),
        environment: &[NO_COLOR],
        files: &[
            EPISODES,
            INDEX,
            ("/var/lib/cis490-verify/report.json", "The report of the last run by cis490-verify.timer."),
        ],
        signals: &[("SIGINT, SIGTERM", "End the program. With `--resume` the next run goes on from there.")],
        examples: &[
            (
                "sudo -u cis490 cis490-verify --no-hash",
                "Compares store and index by names and sizes, in seconds.",
            ),
            ("sudo -u cis490 cis490-verify --rate 20MiB", "Reads every archive again, at a bounded rate."),
            ("sudo systemctl start cis490-verify", "Runs what the timer runs, now."),
        ],
        see_also: &["cis490-index-backfill(1)", "cis490-receiver(1)", "systemd.timer(5)"],
    },
];

impl Sections {
    /// Returns the sections in roff.
    pub(crate) fn text(&self) -> String {
        [
            list("EXIT STATUS", exit_codes(self.cli)),
            list("ENVIRONMENT", self.environment.iter().copied()),
            list("FILES", self.files.iter().copied()),
            list("SIGNALS", self.signals.iter().copied()),
            list("EXAMPLES", self.examples.iter().copied()),
            roff::heading("SEE ALSO"),
            format!("{}\n", self.see_also.join(",\n").replace('-', "\\-")),
        ]
        .concat()
    }
}

fn list<'a>(title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    roff::heading(title) + &items.map(|(tag, text)| roff::item(tag, text)).collect::<Vec<_>>().concat()
}

/// Finds the rows `//! | 78 | the configuration cannot be used |`, in the order of the source.
fn exit_codes(cli: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rows =
        cli.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |")?.split_once(" | "));
    rows.filter(|(code, _)| code.parse::<u8>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_says_its_exit_codes() {
        for sections in ALL {
            let codes: Vec<_> = exit_codes(sections.cli).map(|(code, _)| code).collect();
            assert!(
                codes.contains(&"0") && codes.contains(&"1") && codes.contains(&"2"),
                "{}: {codes:?}",
                sections.program
            );
            assert!(sections.text().contains(".SH \"SIGNALS\"\n.TP\n\\fBSIG"), "{}", sections.program);
        }
    }
}
