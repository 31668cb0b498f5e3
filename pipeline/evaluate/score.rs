//! How well answers do: right and wrong, and whether probabilities are what they say.

use super::case::Given;

/// Probabilities below count as this in the log loss: one that was ruled out and true would be infinitely wrong.
const LEAST: f64 = 1e-6;
/// Bins of the reliability table, of equal width.
pub const BINS: usize = 15;

#[derive(Debug, Clone, Default)]
pub struct Score {
    pub calls: usize,
    /// Answers that are right; "none of them" is one.
    pub right: usize,
    /// Answers that name a session, and those of them that are right.
    pub named: usize,
    pub named_right: usize,
    /// The mean square of what is missing to certainty, of the answer that was given.
    pub brier: f64,
    /// The mean of -ln of what the right answer was given.
    pub log_loss: f64,
    pub reliability: Vec<Bin>,
    pub ece_10: f64,
    pub ece_15: f64,
}

/// Answers of about the same probability.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bin {
    pub calls: usize,
    pub said: f64,
    pub right: f64,
}

impl Score {
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.calls.max(1) as f64
    }

    /// The share of calls for which a session is named.
    pub fn coverage(&self) -> f64 {
        self.named as f64 / self.calls.max(1) as f64
    }

    /// The share of named sessions that are the caller's.
    pub fn precision(&self) -> f64 {
        self.named_right as f64 / self.named.max(1) as f64
    }
}

/// By probability in bins of equal width: what was said on average, and what was true.
pub fn reliability(said: &[(f64, bool)], bins: usize) -> Vec<Bin> {
    let mut table = vec![Bin::default(); bins];
    for &(probability, right) in said {
        let bin = &mut table[((probability * bins as f64) as usize).min(bins - 1)];
        bin.calls += 1;
        bin.said += probability;
        bin.right += f64::from(u8::from(right));
    }
    for bin in &mut table {
        let calls = bin.calls.max(1) as f64;
        (bin.said, bin.right) = (bin.said / calls, bin.right / calls);
    }
    table
}

/// Expected calibration error (Naeini and others, 2015): the mean distance between what is said and what is true.
pub fn calibration_error(table: &[Bin]) -> f64 {
    let all: usize = table.iter().map(|bin| bin.calls).sum();
    table.iter().map(|bin| bin.calls as f64 * (bin.said - bin.right).abs()).sum::<f64>() / all.max(1) as f64
}

/// Scores answers; calibration is that of sessions that are named, since nothing else has a confidence.
pub fn score(given: impl Iterator<Item = Given>) -> Score {
    let mut score = Score::default();
    let mut named = Vec::new();
    for it in given {
        score.calls += 1;
        score.right += usize::from(it.right);
        let wrong = f64::from(u8::from(it.right)) - it.probability;
        score.brier += wrong * wrong;
        score.log_loss -= it.of_truth.max(LEAST).ln();
        if it.named {
            score.named += 1;
            score.named_right += usize::from(it.right);
            named.push((it.probability, it.right));
        }
    }
    let calls = score.calls.max(1) as f64;
    (score.brier, score.log_loss) = (score.brier / calls, score.log_loss / calls);
    score.reliability = reliability(&named, BINS);
    score.ece_15 = calibration_error(&score.reliability);
    score.ece_10 = calibration_error(&reliability(&named, 10));
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_right_and_what_was_said() {
        let given = |named, right, probability, of_truth| Given { named, right, probability, of_truth };
        let all = [given(true, true, 0.9, 0.9), given(true, false, 0.9, 0.05), given(false, true, 0.6, 0.6)];
        let score = score(all.into_iter());
        assert_eq!((score.calls, score.right, score.named, score.named_right), (3, 2, 2, 1));
        assert!((score.brier - (0.01 + 0.81 + 0.16) / 3.0).abs() < 1e-12, "{}", score.brier);
        assert!((score.log_loss + (0.9f64 * 0.05 * 0.6).ln() / 3.0).abs() < 1e-12);
        assert!((score.ece_15 - 0.4).abs() < 1e-12 && (score.ece_10 - 0.4).abs() < 1e-12);
    }
}
