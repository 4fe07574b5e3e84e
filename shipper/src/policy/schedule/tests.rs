//! The order of episodes, and the waiting times of failed ones.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn id(text: &str) -> EpisodeId {
    EpisodeId::parse(text).unwrap()
}

fn picked(schedule: &mut Schedule, now: Instant) -> Option<String> {
    schedule.pick(now, true).map(|pick| pick.episode_id.to_string())
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

#[test]
fn the_oldest_comes_first_and_a_waiting_one_in_its_place_once_it_is_due() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.offer(["b", "a", "c"].map(id));
    assert_eq!(picked(&mut schedule, now).unwrap(), "a");
    schedule.retry_later(id("a"), None, now, &mut rng());
    assert_eq!(picked(&mut schedule, now).unwrap(), "b");
    let due = schedule.next_due(true).unwrap();
    assert!(due > now && due <= now + BASE);
    assert_eq!(picked(&mut schedule, due).unwrap(), "a");
    assert_eq!(picked(&mut schedule, due).unwrap(), "c");
    assert_eq!(picked(&mut schedule, due), None);
}

#[test]
fn a_scan_brings_nothing_back_that_is_in_flight_or_waits() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.offer(["a", "b"].map(id));
    schedule.pick(now, true);
    schedule.pick(now, true);
    schedule.retry_later(id("b"), None, now, &mut rng());
    schedule.offer(["a", "b"].map(id));
    assert_eq!(schedule.counts(), (0, 1));
    assert_eq!(schedule.known(), BTreeSet::from(["a", "b"].map(id)));
    schedule.finish(&id("a"));
    schedule.offer(["a", "b"].map(id));
    assert_eq!(schedule.counts(), (1, 1));
}

#[test]
fn what_is_noticed_is_ready_in_its_place_unless_it_is_known() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.offer(["a", "b", "d"].map(id));
    schedule.pick(now, true);
    schedule.pick(now, true);
    schedule.retry_later(id("b"), None, now, &mut rng());
    for name in ["a", "b", "c", "c"] {
        schedule.notice(id(name));
    }
    assert_eq!(schedule.counts(), (2, 1));
    assert_eq!(picked(&mut schedule, now).unwrap(), "c");
    assert_eq!(picked(&mut schedule, now).unwrap(), "d");
}

#[test]
fn failures_and_mismatches_are_counted_over_all_tries_of_an_episode() {
    let (mut schedule, mut now, mut rng) = (Schedule::default(), Instant::now(), rng());
    schedule.offer([id("a")]);
    for count in 1..=3 {
        assert_eq!(schedule.pick(now, true).unwrap().mismatches, count - 1);
        assert_eq!(schedule.count_mismatch(&id("a")), count);
        schedule.retry_later(id("a"), None, now, &mut rng);
        now = schedule.next_due(true).unwrap();
    }
    schedule.pick(now, true);
    schedule.put_back(id("a"), now);
    assert_eq!(schedule.pick(now, true).unwrap().mismatches, 3, "being put back forgets nothing");
}

#[test]
fn what_the_receiver_asked_for_is_waited_for() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    schedule.offer([id("a")]);
    schedule.pick(now, true);
    schedule.retry_later(id("a"), Some(Duration::from_secs(90)), now, &mut rng());
    assert_eq!(schedule.next_due(true), Some(now + Duration::from_secs(90)));
}

proptest! {
    #[test]
    fn no_episode_is_ever_lost_or_in_two_places(steps in prop::collection::vec((0..6_u8, 0..6_u8), 1..200)) {
        let (mut schedule, mut now, mut rng) = (Schedule::default(), Instant::now(), rng());
        let all: Vec<EpisodeId> = (0..6).map(|n| id(&format!("e{n}"))).collect();
        let mut finished = BTreeSet::new();
        for (step, n) in steps {
            let chosen = all[usize::from(n)].clone();
            let flying = schedule.in_flight.contains_key(&chosen);
            match step {
                0 => schedule.offer(all.iter().filter(|id| !finished.contains(*id)).cloned()),
                1 => { schedule.pick(now, true); }
                2 => schedule.retry_later(chosen, None, now, &mut rng),
                3 => schedule.put_back(chosen, now),
                4 if !finished.contains(&chosen) => schedule.notice(chosen),
                4 => {}
                _ => { schedule.finish(&chosen); if flying { finished.insert(chosen); } }
            }
            now += Duration::from_millis(300);
            for id in &all {
                let places = usize::from(schedule.ready.contains(id))
                    + usize::from(schedule.waiting.contains_key(id))
                    + usize::from(schedule.in_flight.contains_key(id));
                prop_assert!(places <= usize::from(!finished.contains(id)), "{id} is in {places} places");
            }
        }
        schedule.offer(all.iter().filter(|id| !finished.contains(*id)).cloned());
        let (ready, waiting) = schedule.counts();
        prop_assert_eq!(ready + waiting + schedule.in_flight().len(), all.len() - finished.len());
    }
}

proptest! {
    #[test]
    fn the_wait_lies_in_the_upper_half_of_its_step(failures in 1_u32..2000, seed: u64) {
        let wait = delay(failures, None, &mut StdRng::seed_from_u64(seed));
        let step = BASE.as_secs_f64() * 2_f64.powi(i32::try_from(failures).unwrap() - 1);
        let step = step.min(CAP.as_secs_f64());
        prop_assert!(wait.as_secs_f64() >= step * 0.499 && wait.as_secs_f64() <= step, "{wait:?} of {step} s");
    }

    #[test]
    fn nobody_is_asked_before_the_receiver_said_so(failures in 1_u32..20, seconds in 0_u64..100_000) {
        let asked = Duration::from_secs(seconds);
        let wait = delay(failures, Some(asked), &mut StdRng::seed_from_u64(1));
        prop_assert!(wait >= asked.min(LONGEST_RETRY_AFTER));
        prop_assert!(wait <= asked.min(LONGEST_RETRY_AFTER).max(CAP));
    }
}

#[test]
fn two_hosts_do_not_wait_in_step() {
    let wait = |seed| delay(5, None, &mut StdRng::seed_from_u64(seed));
    assert_ne!(wait(1), wait(2));
}
