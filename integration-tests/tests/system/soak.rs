//! A soak test: several lab hosts ship over a bad network, while their shippers and the receiver are killed repeatedly.
//!
//! In the end every episode is stored exactly once and complete (I1-I4), and nothing partial is left (I5). The hosts
//! have put away stored episodes and nothing else (I6), and `cis490-verify` finds nothing wrong. The test counts rounds
//! and not time. Events follow a seed, though not to the byte, because several processes run at the same time.
//!
//! `CIS490_DEPTH` sets the number of rounds, and `CIS490_SOAK_SEED` the seed:
//!
//! ```text
//! CIS490_DEPTH=deep CIS490_SOAK_SEED=1 cargo test -p integration-tests --features system --test system soak -- --nocapture
//! ```

use std::collections::BTreeMap;

use cis490_shared::ids::CommitHash;
use integration_tests::archive::{assert_holds, sha256_of_file};
use integration_tests::depth::Depth;
use integration_tests::episodes::Recording;
use integration_tests::process::Process;
use integration_tests::proxy::{CUT_ANSWER, CUT_REQUEST, Proxy, STALL, TRICKLE};
use integration_tests::receiver::{Options, Receiver};
use integration_tests::sandbox::Sandbox;
use integration_tests::shipper::{LabHost, names};
use integration_tests::until::{PATIENCE, wait_until};
use integration_tests::verify;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

const HOSTS: usize = 8;
const SEED: u64 = 490;
/// Maximum number of passes over a good network to ship a backlog. The first may still meet leftovers of the bad
/// network.
const LAST_PASSES: usize = 5;

#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn chosen_seed() -> u64 {
    std::env::var("CIS490_SOAK_SEED").map_or(SEED, |text| text.parse().expect("a whole number"))
}

/// The accident of a round, apart from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Accident {
    None,
    ReceiverKilled,
    ShipperKilled,
    BothKilled,
}

const ACCIDENTS: [Accident; 4] =
    [Accident::None, Accident::ReceiverKilled, Accident::ShipperKilled, Accident::BothKilled];

struct Soak<'a> {
    sandbox: &'a Sandbox,
    receiver: Receiver<'a>,
    proxy: &'a Proxy,
    hosts: Vec<LabHost<'a>>,
    recorded: Vec<Vec<String>>,
    rng: StdRng,
}

impl Soak<'_> {
    /// Records an episode on every host, lets all of them ship, and causes an accident meanwhile.
    fn round(&mut self, number: u64) -> Accident {
        self.record(number);
        let accident = *ACCIDENTS.choose(&mut self.rng).expect("there are some");
        let until = self.proxy.carried() + self.rng.random_range(0..300_000);
        let start = |host: &LabHost<'_>| Process::start(self.sandbox, "shipper", host.command(&["--once"]));
        let mut passes: Vec<Process> = self.hosts.iter().map(start).collect();
        wait_until("enough was sent, or nothing is sent any more", PATIENCE, || {
            let has_ended = passes.iter_mut().all(|pass| pass.status().is_some());
            (has_ended || self.proxy.carried() >= until).then_some(())
        });
        if matches!(accident, Accident::ShipperKilled | Accident::BothKilled) {
            passes[self.rng.random_range(0..HOSTS)].kill();
        }
        if matches!(accident, Accident::ReceiverKilled | Accident::BothKilled) {
            self.receiver.kill();
            self.receiver.restart();
        }
        for pass in &mut passes {
            let code = pass.wait_at_most(3 * PATIENCE).code();
            assert!(matches!(code, None | Some(0 | 75)), "round {number}: {code:?}\n{}", pass.log());
        }
        accident
    }

    fn record(&mut self, round: u64) {
        let commit = CommitHash::parse(&"ab".repeat(20)).expect("a commit");
        for (number, host) in self.hosts.iter().enumerate() {
            let size = self.rng.random_range(2_000..300_000);
            let recording = Recording::new(round * 100 + number as u64, &commit, size);
            recording.write_to(&host.episodes());
            self.recorded[number].push(recording.id().to_string());
        }
    }

    /// Ships the remaining episodes over a good network.
    fn ship_the_rest(&self) {
        self.proxy.calm();
        for host in &self.hosts {
            let pass = (1..=LAST_PASSES).map(|_| host.once()).find(|pass| pass.code == Some(0));
            assert!(pass.is_some(), "{} cannot ship its backlog", host.host());
        }
    }

    /// Fails unless every recorded episode is stored exactly once, and put away on its host.
    fn check(&self, kills: u32) {
        let mut rows = BTreeMap::new();
        let (found, torn) = self.receiver.rows_and_torn_lines();
        assert!(torn <= kills as usize, "{torn} torn lines after {kills} kills");
        for row in found {
            let pair = (row.host_id.to_string(), row.episode_id.to_string());
            let second = rows.insert(pair, row.sha256);
            assert_eq!(second, None, "a second row");
        }
        for (host, ids) in self.hosts.iter().zip(&self.recorded) {
            assert_eq!(host.names("shipped"), *ids, "shipped by {}", host.host());
            for directory in ["episodes", "outbox", "quarantine"] {
                assert_eq!(host.names(directory), [""; 0], "{directory}/ of {}", host.host());
            }
            for id in ids {
                let archive = self.receiver.archive(host.host(), id);
                assert_holds(&archive, &host.data().join("shipped").join(id));
                let row = rows.remove(&(host.host().to_owned(), id.clone()));
                assert_eq!(row, Some(sha256_of_file(&archive)), "the row of {id}");
            }
        }
        assert!(rows.is_empty(), "rows of what nobody recorded: {rows:?}");
        assert_eq!(names(&self.receiver.state().join("episodes/.incoming")), [""; 0]);
        verify::assert_clean(self.sandbox, &self.receiver.state().join("episodes"), &"at the end");
    }
}

#[test]
fn everything_recorded_arrives_exactly_once_whatever_is_cut_or_killed() {
    // Three rounds take about a second on two cores.
    let (rounds, seed) = (Depth::chosen().pick(20, 60, 20_000), chosen_seed());
    println!("{rounds} rounds with {HOSTS} hosts, seed {seed}: CIS490_SOAK_SEED={seed} repeats it");
    let sandbox = Sandbox::new();
    let receiver = Receiver::start(&sandbox, Options::open());
    let proxy = Proxy::start(receiver.url(), seed);
    let hosts = (0..HOSTS).map(|n| LabHost::new(&sandbox, &format!("lab-{n}"), &proxy.url())).collect();
    let rng = StdRng::seed_from_u64(seed);
    let recorded = vec![Vec::new(); HOSTS];
    let mut soak = Soak { sandbox: &sandbox, receiver, proxy: &proxy, hosts, recorded, rng };

    let mut accidents: BTreeMap<Accident, u32> = BTreeMap::new();
    for round in 1..=rounds {
        *accidents.entry(soak.round(round)).or_default() += 1;
    }
    let left: usize = soak.hosts.iter().map(|host| host.names("episodes").len()).sum();
    let tally = proxy.tally();
    println!("{accidents:?}; connections: {tally:?}; {left} episodes left after it");
    // A run without any trouble proves nothing.
    for trouble in [CUT_REQUEST, CUT_ANSWER, TRICKLE, STALL] {
        assert!(tally.contains_key(trouble), "no connection met with `{trouble}`: {tally:?}");
    }
    for accident in ACCIDENTS {
        assert!(accidents.contains_key(&accident), "{accident:?} never happened: {accidents:?}");
    }
    soak.ship_the_rest();
    let kills = accidents[&Accident::ReceiverKilled] + accidents[&Accident::BothKilled];
    soak.check(kills);
    soak.receiver.stop();
}
