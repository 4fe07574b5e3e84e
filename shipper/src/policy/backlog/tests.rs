//! The order of the backlog, and the reasons that hold an episode back.

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::policy::schedule;

fn id(text: &str) -> EpisodeId {
    EpisodeId::parse(text).unwrap()
}

fn backlog(names: impl IntoIterator<Item = String>) -> Backlog {
    let mut backlog = Backlog::new(StdRng::seed_from_u64(1));
    backlog.offer(names.into_iter().map(|name| id(&name)));
    backlog
}

fn thousand() -> Backlog {
    backlog((0..1000).map(|n| format!("e{n:04}")))
}

fn shipped() -> Outcome {
    let elapsed = Duration::from_millis(1);
    Outcome::Stored(Shipped {
        status: 201,
        commit: None,
        size_bytes: 1,
        elapsed,
        position: None,
        remediation: None,
    })
}

fn transient(scope: Scope) -> Outcome {
    Outcome::Transient { scope, reason: "x".to_owned(), retry_after: None, help: None }
}

fn refusal(status: u16) -> Refusal {
    Refusal { status: Some(status), error: "x".to_owned(), ..Refusal::default() }
}

fn ship(backlog: &mut Backlog, now: Instant) -> EpisodeId {
    match backlog.next(now, true) {
        Next::Ship(pick) => pick.episode_id,
        other => panic!("{other:?}"),
    }
}

/// Tries until `end`, with the same outcome for every episode. Returns the number of attempts.
fn attempts(backlog: &mut Backlog, mut now: Instant, end: Instant, outcome: &Outcome) -> (usize, Vec<News>) {
    let (mut count, mut all_news) = (0, Vec::new());
    while now < end {
        match backlog.next(now, true) {
            Next::Ship(pick) => {
                count += 1;
                let (_, news) = backlog.settle(&pick.episode_id, outcome.clone(), now);
                all_news.extend(news);
            }
            Next::Wait(until) => now = until,
            Next::Idle | Next::PutAway => break,
        }
    }
    (count, all_news)
}

#[test]
fn a_dead_receiver_and_a_thousand_episodes_cost_one_attempt_per_step_and_one_log_entry() {
    for scope in [Scope::Network, Scope::Receiver] {
        let (mut backlog, now) = (thousand(), Instant::now());
        let hour = now + Duration::from_hours(1);
        let (count, news) = attempts(&mut backlog, now, hour, &transient(scope));
        // Nine doublings up to the cap, then one attempt per 150 to 300 seconds.
        assert!((15..=40).contains(&count), "{count} attempts in an hour");
        assert_eq!(news.len(), 1, "{news:?}");
    }
}

#[test]
fn a_receiver_that_nobody_reaches_says_nothing_about_the_episode_that_was_tried() {
    let (mut backlog, now) = (thousand(), Instant::now());
    attempts(&mut backlog, now, now + Duration::from_hours(1), &transient(Scope::Network));
    assert_eq!(backlog.counts(), (1000, 0));
}

#[test]
fn episodes_that_fail_one_by_one_are_taken_for_trouble_of_the_receiver() {
    let (mut backlog, now) = (thousand(), Instant::now());
    let (count, news) =
        attempts(&mut backlog, now, now + Duration::from_hours(1), &transient(Scope::Episode));
    assert!((15..=50).contains(&count), "{count} attempts in an hour");
    assert_eq!(news.iter().filter(|news| matches!(news, News::HoldBegan { .. })).count(), 1, "{news:?}");
    assert_eq!(backlog.hold_cause(), Some(Cause::Failing));
}

#[test]
fn one_bad_episode_stops_no_other() {
    let (mut backlog, mut now) = (thousand(), Instant::now());
    for scope in [Scope::Episode, Scope::Receiver] {
        let mut shipped_count = 0;
        while shipped_count < 100 {
            match backlog.next(now, true) {
                Next::Ship(pick) if pick.episode_id == id("e0000") => {
                    backlog.settle(&pick.episode_id, transient(scope), now);
                }
                Next::Ship(pick) => {
                    backlog.settle(&pick.episode_id, shipped(), now);
                    backlog.finish(&pick.episode_id);
                    shipped_count += 1;
                }
                Next::Wait(until) => now = until,
                Next::Idle | Next::PutAway => panic!("there is work"),
            }
        }
    }
}

#[test]
fn while_a_hold_is_on_a_single_upload_probes() {
    let (mut backlog, mut now) = (thousand(), Instant::now());
    let (first, second) = (ship(&mut backlog, now), ship(&mut backlog, now));
    let (deed, news) = backlog.settle(&first, transient(Scope::Network), now);
    assert_eq!(deed, Action::Keep);
    assert!(matches!(news, Some(News::HoldBegan { cause: Cause::Unreachable, .. })));
    let Next::Wait(until) = backlog.next(now, true) else { panic!("a hold is on") };
    now = until;
    assert_eq!(backlog.next(now, true), Next::Idle, "the second upload is still under way and will tell");
    assert_eq!(backlog.settle(&second, transient(Scope::Network), now).1, None);
    let Next::Wait(until) = backlog.next(now, true) else { panic!("a hold is on") };
    now = until;
    let probe = ship(&mut backlog, now);
    assert_eq!(backlog.next(now, true), Next::Idle);
    assert_eq!(backlog.settle(&probe, shipped(), now).1, Some(News::HoldEnded(Cause::Unreachable)));
    assert!(matches!(backlog.next(now, true), Next::Ship(_)));
}

#[test]
fn a_host_that_is_not_let_in_keeps_every_episode_and_says_so_once() {
    let (mut backlog, now) = (thousand(), Instant::now());
    let outcome = crate::answers::judge::blocked(401, None);
    let (count, news) = attempts(&mut backlog, now, now + Duration::from_hours(1), &outcome);
    assert!((15..=40).contains(&count), "{count} attempts in an hour");
    let [News::HoldBegan { cause: Cause::Blocked(401), help: Some(help), .. }] = &news[..] else {
        panic!("{news:?}")
    };
    assert!(help.contains("host_id"));
    let (ready, waiting) = backlog.counts();
    assert_eq!(ready + waiting, 1000);
}

#[test]
fn what_is_about_the_host_never_counts_against_an_episode() {
    let now = Instant::now();
    for status in [401, 403, 404, 405, 411, 426] {
        let mut backlog = backlog(["e1".to_owned()]);
        let id = ship(&mut backlog, now);
        backlog.settle(&id, crate::answers::judge::blocked(status, None), now);
        assert_eq!(backlog.counts(), (1, 0), "{status}: it is as if it had not been tried");
    }
    // Perhaps a filter on the way rejects this one URL, so another episode is tried before it.
    let mut backlog = backlog(["e1".to_owned(), "e2".to_owned()]);
    let id = ship(&mut backlog, now);
    backlog.settle(&id, crate::answers::judge::blocked(451, None), now);
    let Next::Wait(until) = backlog.next(now, true) else { panic!("a hold is on") };
    assert_eq!(ship(&mut backlog, until).as_str(), "e2");
}

#[test]
fn a_new_certificate_ends_the_wait_for_what_an_old_one_caused_and_no_other() {
    let now = Instant::now();
    let distrusted = || Outcome::TlsRejected { reason: "a reason".to_owned(), help: "help" };
    for (outcome, is_over) in [
        (crate::answers::judge::blocked(401, None), true),
        (distrusted(), true),
        (transient(Scope::Receiver), false),
    ] {
        let mut backlog = thousand();
        let id = ship(&mut backlog, now);
        backlog.settle(&id, outcome.clone(), now);
        assert!(matches!(backlog.next(now, true), Next::Wait(_)));
        backlog.shown_anew(now);
        assert_eq!(matches!(backlog.next(now, true), Next::Ship(_)), is_over, "{outcome:?}");
    }
}

#[test]
fn large_episodes_are_passed_over_until_there_is_room_for_one() {
    let (mut backlog, now) = (backlog(["e1", "e2", "e3"].map(str::to_owned)), Instant::now());
    for _ in 0..2 {
        let id = ship(&mut backlog, now);
        assert_eq!(backlog.settle(&id, Outcome::Postponed, now), (Action::Keep, None));
        let next = backlog.next(now, true);
        assert_eq!(next, Next::Ship(Pick { episode_id: id.clone(), mismatches: 0 }), "oldest first");
        backlog.settle(&id, Outcome::Postponed, now);
        let Next::Ship(small) = backlog.next(now, false) else { panic!("there is a small one") };
        backlog.settle(&small.episode_id, Outcome::Postponed, now);
    }
    assert_eq!(backlog.next(now, false), Next::Idle, "no turn, and no busy loop");
}

#[test]
fn the_gate_is_asked_about_refused_episodes_where_nothing_else_tells_whether_it_is_there() {
    let (mut empty, mut now) = (backlog([]), Instant::now());
    assert!(empty.may_ask(now));
    assert!(matches!(empty.unanswered(transient(Scope::Network), now), Some(News::HoldBegan { .. })));
    assert!(!empty.may_ask(now));
    now += Duration::from_secs(1);
    assert!(empty.may_ask(now) && empty.unanswered(transient(Scope::Network), now).is_none());
    assert!(!empty.may_ask(now + Duration::from_millis(900)), "the steps grow");
    assert_eq!(empty.answered(), Some(News::HoldEnded(Cause::Unreachable)));

    let mut backlog = thousand();
    let id = ship(&mut backlog, now);
    backlog.settle(&id, transient(Scope::Network), now);
    assert!(!backlog.may_ask(now + Duration::from_secs(1)), "an episode finds out");
}

#[test]
fn an_episode_that_fails_for_ever_keeps_no_other_in_quarantine() {
    let (mut backlog, mut now) = (backlog(["e1".to_owned()]), Instant::now());
    for _ in 0..9 {
        let id = loop {
            match backlog.next(now, true) {
                Next::Ship(pick) => break pick.episode_id,
                Next::Wait(until) => now = until,
                Next::Idle | Next::PutAway => panic!("there is one"),
            }
        };
        backlog.settle(&id, transient(Scope::Episode), now);
    }
    assert_eq!(backlog.hold_cause(), Some(Cause::Failing));
    assert!(backlog.may_ask(now) && backlog.answered().is_none());
    assert_eq!(backlog.hold_cause(), Some(Cause::Failing), "the gate knows nothing of why");
}

#[test]
fn bytes_that_arrive_as_others_three_times_are_put_aside() {
    let (mut backlog, mut now) = (backlog(["e".to_owned()]), Instant::now());
    for expected in 0..MAX_MISMATCHES {
        let Next::Ship(pick) = backlog.next(now, true) else { panic!("due") };
        assert_eq!(pick.mismatches, expected);
        let (deed, _) = backlog.settle(&pick.episode_id, Outcome::Mismatch(refusal(400)), now);
        match expected + 1 == MAX_MISMATCHES {
            true => assert_eq!(deed, Action::Quarantine(refusal(400))),
            false => assert_eq!(deed, Action::Keep),
        }
        now += schedule::CAP;
    }
}

#[test]
fn an_episode_that_cannot_be_packed_holds_nobody_up_and_is_put_aside_where_that_cannot_pass() {
    for aside in [Some("local-unreadable"), None] {
        let names = ["bad1", "bad2", "bad3", "bad4"];
        let (mut backlog, start) = (backlog(names.map(str::to_owned)), Instant::now());
        let (mut now, mut all_news, mut put_aside) = (start, Vec::new(), Vec::new());
        while now < start + Duration::from_hours(1) {
            match backlog.next(now, true) {
                Next::Ship(pick) => {
                    let outcome = Outcome::Unready { reason: "x".to_owned(), aside };
                    let (deed, news) = backlog.settle(&pick.episode_id, outcome, now);
                    all_news.extend(news);
                    if let Action::Quarantine(refusal) = deed {
                        assert!(refusal.status.is_none() && Some(refusal.error.as_str()) == aside);
                        assert!(now - start > Duration::from_mins(2), "{:?}", now - start);
                        backlog.finish(&pick.episode_id);
                        put_aside.push(pick.episode_id);
                    }
                }
                Next::Wait(until) => now = until,
                Next::Idle | Next::PutAway => break,
            }
            assert_eq!(backlog.hold_cause(), None, "the receiver is not at fault");
        }
        assert_eq!(all_news.len(), 4, "each is told once: {all_news:?}");
        assert_eq!(put_aside.len(), if aside.is_some() { 4 } else { 0 });
    }
}

#[test]
fn what_is_refused_on_this_host_proves_nothing_about_the_receiver() {
    let (mut backlog, now) = (thousand(), Instant::now());
    let first = ship(&mut backlog, now);
    let second = ship(&mut backlog, now);
    backlog.settle(&first, transient(Scope::Network), now);
    let local = Refusal { status: None, error: "local-no-meta".to_owned(), ..Refusal::default() };
    let (deed, news) = backlog.settle(&second, Outcome::Refused(local.clone()), now);
    assert_eq!((deed, news), (Action::Quarantine(local), None));
    assert_eq!(backlog.hold_cause(), Some(Cause::Unreachable));
}

#[test]
fn what_cannot_be_moved_holds_all_else_and_is_moved_alone_until_it_works() {
    let (mut backlog, mut now) = (backlog(["e1", "e2", "e3"].map(str::to_owned)), Instant::now());
    let [first, second] = [ship(&mut backlog, now), ship(&mut backlog, now)];
    backlog.settle(&first, shipped(), now);
    let news = backlog.stuck([&first], "a reason".to_owned(), "help", now);
    assert!(matches!(news, Some(News::HoldBegan { cause: Cause::Unmovable, help: Some("help"), .. })));
    // An upload that was under way is settled and moved, but the hold goes on.
    backlog.settle(&second, shipped(), now);
    backlog.finish(&second);
    assert_eq!(backlog.moved(), None);
    backlog.offer(["e1", "e3"].map(id));
    assert_eq!((backlog.counts(), backlog.may_ask(now)), ((1, 1), false), "it is not found anew");
    for _ in 0..5 {
        let Next::Wait(until) = backlog.next(now, true) else { panic!("a hold is on") };
        assert_eq!(backlog.next_try(now), Some(until));
        now = until;
        assert_eq!(backlog.next(now, true), Next::PutAway);
        assert_eq!(backlog.stuck([&first], "a reason".to_owned(), "help", now), None, "known already");
    }
    assert_eq!(backlog.hold_cause(), Some(Cause::Unmovable));
    backlog.finish(&first);
    assert_eq!(backlog.moved(), Some(News::HoldEnded(Cause::Unmovable)));
    assert_eq!(ship(&mut backlog, now).as_str(), "e3");
}

#[test]
fn days_of_trouble_do_not_fill_the_disk_with_archives() {
    let (mut backlog, mut now) = (thousand(), Instant::now());
    let (mut tried, mut with_archive) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2000 {
        match backlog.next(now, true) {
            Next::Ship(pick) => {
                let (deed, _) = backlog.settle(&pick.episode_id, transient(Scope::Receiver), now);
                match deed {
                    Action::Keep => with_archive.insert(pick.episode_id.clone()),
                    _ => with_archive.remove(&pick.episode_id),
                };
                tried.insert(pick.episode_id);
                assert!(with_archive.len() <= KEPT_ARCHIVES, "{with_archive:?}");
            }
            Next::Wait(until) => now = until,
            Next::Idle | Next::PutAway => panic!("there is work"),
        }
    }
    assert!(tried.len() > 1, "not always the same one is tried");
}

proptest! {
    #[test]
    fn only_a_success_retires_and_nothing_is_ever_forgotten(choices in prop::collection::vec(0..8_u8, 1..300)) {
        let (mut backlog, mut now) = (backlog((0..20).map(|n| format!("e{n:02}"))), Instant::now());
        let (mut retired, mut aside) = (0, 0);
        for choice in choices {
            let pick = match backlog.next(now, true) {
                Next::Ship(pick) => pick.episode_id,
                Next::Wait(until) => { now = until; continue }
                Next::Idle | Next::PutAway => break,
            };
            let outcome = match choice {
                0 => shipped(),
                1 => Outcome::Refused(refusal(412)),
                2 => Outcome::Conflict(refusal(409)),
                3 => Outcome::Mismatch(refusal(400)),
                4 => crate::answers::judge::blocked(403, None),
                5 => transient(Scope::Episode),
                6 => transient(Scope::Network),
                _ => Outcome::Stopped,
            };
            let success = matches!(outcome, Outcome::Stored(_));
            match backlog.settle(&pick, outcome, now).0 {
                Action::Retire(_) => { prop_assert!(success); retired += 1; backlog.finish(&pick); }
                Action::Quarantine(_) => { prop_assert!(!success); aside += 1; backlog.finish(&pick); }
                Action::Keep | Action::KeepWithoutArchive => prop_assert!(!success),
            }
        }
        let (ready, waiting) = backlog.counts();
        prop_assert_eq!(ready + waiting + retired + aside, 20);
    }
}
