//! A random part of the archives, so that a weekly run over many terabytes can be short.
//!
//! Pure: the random numbers are a parameter. The number of archives is exact and rounded up, so that at least one is
//! read even in a small store. Every archive has the same chance.

use std::fmt;

use rand::Rng;
use rand::seq::index;

/// A percentage above 0 and up to 100, in steps of a ten-thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent {
    millionths: u32,
}

/// The number of digits after the point.
const DECIMALS: usize = 4;

/// Why a text is no percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// It is no number.
    #[error("it is no number such as `5` or `0.25`, with at most {DECIMALS} decimals")]
    NotANumber,
    /// It is zero or above 100.
    #[error("it must be more than 0 and at most 100")]
    OutOfRange,
}

impl Percent {
    /// Parses a number with an optional `%` after it.
    pub fn parse(text: &str) -> Result<Self, PercentError> {
        let text = text.trim().trim_end_matches('%').trim_end();
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > DECIMALS {
            return Err(PercentError::NotANumber);
        }
        let millionths: u64 =
            format!("{whole}{decimals:0<DECIMALS$}").parse().map_err(|_| PercentError::OutOfRange)?;
        match u32::try_from(millionths) {
            Ok(millionths @ 1..=1_000_000) => Ok(Self { millionths }),
            _ => Err(PercentError::OutOfRange),
        }
    }

    /// Returns this part of `count`, rounded up.
    fn part_of(self, count: usize) -> usize {
        let part = (count as u128 * u128::from(self.millionths)).div_ceil(1_000_000);
        usize::try_from(part).unwrap_or(count)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.millionths / 10_000, self.millionths % 10_000);
        match format!("{decimals:04}").trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            decimals => write!(f, "{whole}.{decimals}"),
        }
    }
}

/// Draws this part of the positions below `count`, in ascending order.
pub fn draw(part: Percent, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut positions = index::sample(rng, count, part.part_of(count)).into_vec();
    positions.sort_unstable();
    positions
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn percent(text: &str) -> Percent {
        Percent::parse(text).unwrap()
    }

    #[test]
    fn percentages_are_taken_and_told_as_people_write_them() {
        for (text, told) in [
            ("5", "5"),
            ("100", "100"),
            ("0.25", "0.25"),
            ("12.50%", "12.5"),
            ("0.0001", "0.0001"),
            ("07", "7"),
        ] {
            assert_eq!(percent(text).to_string(), told);
        }
        for text in ["", "%", ".5", "5.", "-1", "+1", "1e1", "five", "0.00001", "NaN"] {
            assert_eq!(Percent::parse(text), Err(PercentError::NotANumber), "{text}");
        }
        for text in ["0", "0.0000", "100.0001", "101", "99999999999999999999999"] {
            assert_eq!(Percent::parse(text), Err(PercentError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn the_number_is_exact_and_never_zero_of_something() {
        for (part, count, drawn) in
            [("5", 200, 10), ("5", 201, 11), ("0.01", 3, 1), ("100", 7, 7), ("5", 0, 0)]
        {
            let positions = draw(percent(part), count, &mut StdRng::seed_from_u64(1));
            assert_eq!(positions.len(), drawn, "{part} % of {count}");
            assert!(positions.is_sorted_by(|a, b| a < b) && positions.iter().all(|at| *at < count));
        }
    }

    #[test]
    fn one_seed_gives_one_sample_and_another_gives_another() {
        let drawn = |seed| draw(percent("10"), 1000, &mut StdRng::seed_from_u64(seed));
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn every_archive_has_the_same_chance() {
        let (mut rng, mut times) = (StdRng::seed_from_u64(490), [0_u32; 100]);
        for _ in 0..10_000 {
            for position in draw(percent("10"), 100, &mut rng) {
                times[position] += 1;
            }
        }
        // Each is expected 1000 times with a standard deviation of 30; five of those never happen by chance.
        assert_eq!(times.iter().sum::<u32>(), 100_000);
        assert!(times.iter().all(|times| (850..=1150).contains(times)), "{times:?}");
    }
}
