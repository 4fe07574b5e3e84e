//! How long to wait after the n-th failure in a row: exponential, capped, with jitter.
//!
//! Pure: the randomness is handed in. The jitter keeps a fleet that lost its collector from coming back
//! in step.

use std::time::Duration;

use rand::Rng;

/// The wait after the first failure, before jitter.
pub const BASE: Duration = Duration::from_secs(1);
/// The longest wait that this host decides by itself.
pub const CAP: Duration = Duration::from_mins(5);
/// The longest `Retry-After` that is honoured: a receiver with a broken clock must not stop a host for days.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// The wait after `failures` failures in a row: half of the step for certain, the other half by chance.
///
/// What the receiver asked for is a lower bound: nobody is asked again before that.
pub fn delay(failures: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let step = (BASE * (1 << doublings)).min(CAP);
    let jittered = step.mul_f64(rng.random_range(0.5..=1.0));
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

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
}
