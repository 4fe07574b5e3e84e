//! Which uploads are admitted, and which are refused.

use proptest::prelude::*;

use super::*;

fn admission() -> Admission {
    Admission::new(Limits { uploads: 3, uploads_per_host: 9, min_free_bytes: 100, host_quota_bytes: None })
}

fn admit_of(admission: &Admission, host: &str, episode: usize) -> Result<Permit, AdmissionRefusal> {
    let (host, episode) = (HostId::parse(host).unwrap(), EpisodeId::parse(&format!("e{episode}")).unwrap());
    admission.admit(&host, &episode, 1, || Ok(Room { free_bytes: 1100, host_bytes: 0 })).unwrap()
}

/// Starts as many uploads of a host as are admitted.
fn flood(admission: &Admission, host: &str) -> Vec<Permit> {
    (0..100).map_while(|episode| admit_of(admission, host, episode).ok()).collect()
}

fn admit(admission: &Admission, episode: &str, length: u64) -> Result<Permit, AdmissionRefusal> {
    let host = HostId::parse("h").unwrap();
    let room = Room { free_bytes: 1100, host_bytes: 50 };
    admission.admit(&host, &EpisodeId::parse(episode).unwrap(), length, || Ok(room)).unwrap()
}

#[test]
fn one_upload_per_pair_and_a_bounded_number_in_all() {
    let admission = admission();
    let first = admit(&admission, "a", 1).unwrap();
    assert_eq!(admit(&admission, "a", 1).unwrap_err(), AdmissionRefusal::PairInFlight);
    let _others = [admit(&admission, "b", 1).unwrap(), admit(&admission, "c", 1).unwrap()];
    assert_eq!(admit(&admission, "d", 1).unwrap_err(), AdmissionRefusal::TooManyUploads(3));
    drop(first);
    admit(&admission, "a", 1).unwrap();
}

#[test]
fn whoever_floods_leaves_a_place_to_every_host_that_has_none() {
    let limits = Limits { uploads: 8, uploads_per_host: 4, min_free_bytes: 0, host_quota_bytes: None };
    let admission = Admission::new(limits);
    let first = flood(&admission, "flood-1");
    assert_eq!(first.len(), 4);
    assert_eq!(admit_of(&admission, "flood-1", 9).unwrap_err(), AdmissionRefusal::TooManyOfHost(4));
    let second = flood(&admission, "flood-2");
    assert_eq!((second.len(), admission.in_flight()), (2, 6));
    assert_eq!(admit_of(&admission, "flood-2", 9).unwrap_err(), AdmissionRefusal::TooManyUploads(6));
    let seen = admission.observe();
    assert_eq!((seen.in_flight, seen.hosts, seen.limit, seen.kept_for_newcomers), (6, 2, 8, 2));
    assert_eq!(seen.refused_for_number, 4, "a flood ends with the first refusal");
    let good = admit_of(&admission, "lab-1", 0).unwrap();
    admit_of(&admission, "lab-1", 1).unwrap_err();
    let _other = admit_of(&admission, "lab-2", 0).unwrap();
    assert_eq!(admit_of(&admission, "lab-3", 0).unwrap_err(), AdmissionRefusal::TooManyUploads(8));
    drop(good);
    admit_of(&admission, "lab-1", 1).unwrap();
}

#[test]
fn parallel_uploads_cannot_fill_the_disk_together() {
    let admission = admission();
    let mut first = admit(&admission, "a", 600).unwrap();
    let refused = admit(&admission, "b", 600).unwrap_err();
    assert_eq!(refused, AdmissionRefusal::DiskFull { length: 600, available: 400 });
    let second = admit(&admission, "b", 400).unwrap();
    drop(second);
    first.reserved_on_disk();
    // The free bytes that the caller reports now exclude the reservation of the first.
    admit(&admission, "b", 1000).unwrap();
}

#[test]
fn a_host_gets_its_share_and_what_it_is_uploading_counts() {
    let limits = Limits { uploads: 3, uploads_per_host: 3, min_free_bytes: 0, host_quota_bytes: Some(100) };
    let admission = Admission::new(limits);
    let mut first = admit(&admission, "a", 30).unwrap();
    first.reserved_on_disk();
    let refused = admit(&admission, "b", 21).unwrap_err();
    assert_eq!(refused, AdmissionRefusal::Quota { length: 21, used: 80, quota: 100 });
    admit(&admission, "b", 20).unwrap();
    let (other, episode) = (HostId::parse("g").unwrap(), EpisodeId::parse("a").unwrap());
    let room = Room { free_bytes: 1000, host_bytes: 0 };
    admission.admit(&other, &episode, 100, || Ok(room)).unwrap().unwrap();
}

#[test]
fn nothing_is_admitted_once_it_is_closed() {
    let admission = admission();
    admission.close();
    assert_eq!(admit(&admission, "a", 1).unwrap_err(), AdmissionRefusal::ShuttingDown);
    assert_eq!(admission.observe().refused_for_number, 0, "a stop is no flood");
}

#[tokio::test]
async fn idle_waits_for_the_last_upload() {
    let admission = admission();
    let permit = admit(&admission, "a", 1).unwrap();
    let idle = admission.idle();
    tokio::pin!(idle);
    assert!(futures_util::poll!(idle.as_mut()).is_pending());
    drop(permit);
    idle.await;
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_nothing_is_left_promised(lengths in prop::collection::vec(0u64..400, 1..40)) {
        let admission = admission();
        let mut held = Vec::new();
        for (n, length) in lengths.into_iter().enumerate() {
            if let Ok(mut permit) = admit(&admission, &format!("e{n}"), length) {
                if length % 3 == 0 {
                    permit.reserved_on_disk();
                }
                held.push(permit);
            }
            prop_assert!(admission.shared.state().promised <= 1000);
            if n % 4 == 3 {
                held.clear();
            }
        }
        drop(held);
        prop_assert_eq!((admission.in_flight(), admission.shared.state().promised), (0, 0));
    }
}
