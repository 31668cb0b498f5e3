//! When a delivery that failed is tried again.

use crate::time::{MICROS_PER_HOUR, MICROS_PER_SECOND};

/// Attempts in all.
pub const ATTEMPTS: u32 = 10;
/// Seconds from each failed attempt to the next; together three days. Each is made up to a tenth longer or shorter by chance, so
/// that receivers who failed together are not all asked again at once.
pub const WAITS: [i64; ATTEMPTS as usize - 1] =
    [5, 60, 600, 3_600, 3 * 3_600, 8 * 3_600, 12 * 3_600, 24 * 3_600, 85_735];
/// What waited longer than this before its first attempt, because its receiver was down, has no second one. In microseconds.
pub const GIVEN_UP_AFTER: i64 = 72 * MICROS_PER_HOUR;
/// A `Retry-After` further away counts as this. In seconds.
const RETRY_AFTER_MAX: i64 = 24 * 3_600;

/// Microseconds until the next attempt after the `failed`th (counted from 1); nothing after the last. `chance` is from 0 to 1,
/// `retry_after` what the receiver asked for, in seconds: it is never tried before that.
pub fn wait_after(failed: u32, chance: f64, retry_after: Option<i64>) -> Option<i64> {
    let seconds = *WAITS.get(usize::try_from(failed).ok()?.checked_sub(1)?)?;
    let jittered = (seconds * MICROS_PER_SECOND) as f64 * (0.9 + 0.2 * chance.clamp(0.0, 1.0));
    let asked = retry_after.unwrap_or(0).clamp(0, RETRY_AFTER_MAX) * MICROS_PER_SECOND;
    Some((jittered as i64).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_take_three_days() {
        assert_eq!(WAITS.iter().sum::<i64>(), 3 * 86_400);
        let all: Vec<_> = (1..).map_while(|failed| wait_after(failed, 0.5, None)).collect();
        assert_eq!(all, WAITS.map(|seconds| seconds * MICROS_PER_SECOND));
    }

    #[test]
    fn waits_by_chance_and_by_wish() {
        for (failed, chance, retry_after, seconds) in [
            (1, 0.0, None, Some(4.5)),
            (1, 1.0, None, Some(5.5)),
            (1, 0.5, Some(120), Some(120.0)),
            (3, 0.5, Some(120), Some(600.0)),
            (1, 0.5, Some(i64::MAX), Some(86_400.0)),
            (1, 0.5, Some(-1), Some(5.0)),
            (9, 0.5, None, Some(85_735.0)),
            (10, 0.5, None, None),
            (10, 0.5, Some(5), None),
            (0, 0.5, None, None),
        ] {
            let wait = wait_after(failed, chance, retry_after).map(|micros| micros as f64 / 1e6);
            assert_eq!(wait, seconds, "{failed} {chance} {retry_after:?}");
        }
    }
}
