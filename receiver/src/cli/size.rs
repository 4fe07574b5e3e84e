//! Numbers of bytes for a person.

/// A number of bytes in a unit that a person can read.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let scale = (bytes.max(1).ilog2() / 10).min(4);
    match scale.checked_sub(1).and_then(|unit| UNITS.get(unit as usize)) {
        None => format!("{bytes} B"),
        Some(unit) => {
            let tenths = (bytes >> (10 * (scale - 1))).saturating_mul(10) >> 10;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        let texts = [0, 1023, 1024, 1536, 1 << 30, u64::MAX].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 GiB", "16777215.9 TiB"]);
    }
}
