//! Arithmetic of measurements: medians, percentiles, and counts that can be divided.

use std::time::Duration;

/// Returns a count as a number that can be divided. It is exact below 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "counts of bytes and requests stay far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Returns the length of a list as a number that can be divided.
pub(crate) fn length<T>(list: &[T]) -> f64 {
    float(list.len() as u64)
}

/// Returns the middle of the values, or the mean of the two middle ones. NaN if there are no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (0, Some(upper)) => f64::midpoint(sorted[middle - 1], *upper),
        (_, Some(value)) => *value,
        (_, None) => f64::NAN,
    }
}

/// Returns the smallest of the sorted times that at least `permille` of 1,000 do not exceed. Zero if there are no
/// times.
pub(crate) fn percentile(sorted: &[Duration], permille: usize) -> Duration {
    let rank = (sorted.len() * permille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Returns a time in milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 500), Duration::from_millis(100));
        assert_eq!(percentile(&times, 990), Duration::from_millis(198));
        assert_eq!(percentile(&times, 1000), Duration::from_millis(200));
        assert_eq!(percentile(&times[..1], 500), Duration::from_millis(1));
        assert_eq!(percentile(&[], 500), Duration::ZERO);
    }
}
