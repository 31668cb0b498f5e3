//! Random draws that are the same on every machine: ChaCha12 by seed, IEEE 754's exact operations, and a logarithm of
//! our own, since those of the system's libraries differ in the last digit.

use callweave_core::time::MICROS_PER_SECOND;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

pub(super) struct Draw(StdRng);

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw(StdRng::seed_from_u64(seed))
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to `n - 1`; 0 for an `n` of 0. The bias of n ⁄ 2⁶⁴ does not matter here.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// From 0 (inclusive) to 1 (exclusive).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Draws nothing where the answer is certain, so that a share of 0 leaves the rest of the stream as it was.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && (share >= 1.0 || self.unit() < share)
    }

    pub(super) fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// Whole milliseconds between two numbers of seconds, in microseconds.
    pub(super) fn seconds(&mut self, least: f64, most: f64) -> i64 {
        whole_millis(least + self.unit() * (most - least))
    }

    /// An exponentially distributed number of seconds, in microseconds (whole milliseconds).
    pub(super) fn exponential(&mut self, mean_seconds: f64) -> i64 {
        whole_millis(self.standard_exponential() * mean_seconds)
    }

    /// An exponentially distributed number with the mean 1.
    pub(super) fn standard_exponential(&mut self) -> f64 {
        -ln(1.0 - self.unit())
    }

    /// How many trials until the first success, the mean being `mean` (at least 1), at most `most`.
    pub(super) fn geometric(&mut self, mean: f64, most: u16) -> u16 {
        let go_on = 1.0 - 1.0 / mean;
        let mut n = 1;
        while n < most && self.chance(go_on) {
            n += 1;
        }
        n
    }

    /// The index of a weight, drawn in proportion; `sums` are the running totals.
    pub(super) fn weighted(&mut self, sums: &[f64]) -> usize {
        let at = self.unit() * sums.last().copied().unwrap_or(0.0);
        sums.partition_point(|&sum| sum <= at).min(sums.len().saturating_sub(1))
    }
}

fn whole_millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64 * (MICROS_PER_SECOND / 1000)
}

/// The natural logarithm of a number in (0, 1], by additions, multiplications and one division only: with
/// x = m·2ᵉ, ln x = e·ln 2 + 2·artanh((m - 1) ⁄ (m + 1)). Good to twelve digits.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    let mut power = s;
    for k in 0..14u32 {
        sum += power / f64::from(2 * k + 1);
        power *= square;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * sum
}

/// A one-to-one scrambling of 64 bits (SplitMix64's last step): ids that look random and never meet.
pub(super) fn scramble(mut n: u64) -> u64 {
    n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for x in [1.0, 0.999_999, 0.75, 0.5, 0.1, 1e-3, 1e-9, 1.0 / (1u64 << 53) as f64] {
            assert!((ln(x) - x.ln()).abs() < 1e-11, "{x}: {} {}", ln(x), x.ln());
        }
    }

    #[test]
    fn draws_have_the_means_they_should() {
        let mut draw = Draw::new(1);
        let n = 20_000;
        let exponential: i64 = (0..n).map(|_| draw.exponential(60.0)).sum();
        assert!((exponential / n / MICROS_PER_SECOND - 60).abs() <= 1);
        let geometric: u64 = (0..n).map(|_| u64::from(draw.geometric(5.0, 500))).sum();
        assert!((geometric as f64 / n as f64 - 5.0).abs() < 0.15);
        let weighted = (0..n).filter(|_| draw.weighted(&[1.0, 1.0, 4.0]) == 2).count();
        assert!((weighted as f64 / n as f64 - 0.75).abs() < 0.02);
        assert_eq!(draw.below(0), 0);
    }
}
