//! Calls of closed pages and of nobody: a sum of parts, each a shape that is given times a rate that is sought. Delays are a mixture of
//! exponentials; strays come at all times. The likelihood of a superposition of Poisson processes is concave in such rates, so
//! that Newton's method finds its top (Daley and Vere-Jones, 2003, chapter 7). Expectation and maximisation would, too, but creeps
//! where parts are alike, as these are.

use super::bins::{self, FAR, TAILS};

/// Tails, and strays.
pub const PARTS: usize = TAILS + 1;
pub const STRAYS: usize = TAILS;

/// Calls that what is supposed of each part is worth, and that of strays, which are the hardest to tell from calls of days later: of an
/// account, and of a pool whose account's rates are known.
const WORTH: [f64; 2] = [1.0, 40.0];
const WORTH_OF_ACCOUNT: f64 = 30.0;
/// The share of an account's calls that are strays, before anything is known.
pub const STRAYS_SUPPOSED: f64 = 0.1;
/// Of all calls, so many at least are supposed to be of closed pages or strays.
const CLOSED_LEAST: f64 = 0.02;
/// In points, so that nothing is divided by nothing.
const EXPOSURE_LEAST: f64 = 1e-9;
/// No step makes a rate more than e^3 times as great or as small, and none is halved more often than this.
const STEP_MOST: f64 = 3.0;
const HALVINGS: usize = 10;
const STEPS: usize = 2;
/// Of what is supposed of a part, so much is left at least where the search begins.
const LEAST: f64 = 1e-4;

/// One call: what each part's rate counts for in it, and the rate of all else that could have made it.
pub struct Row {
    pub of: [f64; PARTS],
    pub others: f64,
}

/// How much of what is supposed the rates may be: a gamma distribution of the logarithm, by its mean, worth so many calls.
pub struct Supposed {
    worth: [f64; PARTS],
    mean: [f64; PARTS],
}

impl Supposed {
    /// Of an account: delays as they are supposed, in proportion to the calls that open pages do not explain, and a share of all calls for strays.
    /// `exposure`: calls of each part at a rate of one.
    pub fn of_account(calls: f64, open: f64, exposure: &[f64; PARTS]) -> Supposed {
        let closed = (calls - open).max(CLOSED_LEAST * calls) * (1.0 - STRAYS_SUPPOSED);
        let expected: f64 = bins::TAILS_SUPPOSED.iter().zip(exposure).map(|(rate, exposure)| rate * exposure).sum();
        Supposed {
            worth: std::array::from_fn(|part| WORTH[usize::from(part == STRAYS)]),
            mean: std::array::from_fn(|part| match part {
                STRAYS => STRAYS_SUPPOSED * calls / exposure[STRAYS].max(EXPOSURE_LEAST),
                tail => bins::TAILS_SUPPOSED[tail] * closed / expected.max(EXPOSURE_LEAST),
            }),
        }
    }

    /// Of a pool: its account's rates, but for how many there are in all.
    pub fn of_pool(calls: f64, open: f64, exposure: &[f64; PARTS], account: &[f64; PARTS]) -> Supposed {
        let expected: f64 = account.iter().zip(exposure).map(|(rate, exposure)| rate * exposure).sum();
        let scale = (calls - open).max(CLOSED_LEAST * calls) / expected.max(EXPOSURE_LEAST);
        Supposed { worth: [WORTH_OF_ACCOUNT; PARTS], mean: account.map(|rate| rate * scale) }
    }
}

/// The logarithm of the likelihood, and of what is supposed, but for constants.
fn value(rows: &[Row], exposure: &[f64; PARTS], supposed: &Supposed, rates: &[f64; PARTS]) -> f64 {
    let calls: f64 = rows.iter().map(|row| sum(row, rates).ln()).sum();
    let of = |part: usize| {
        let (rate, worth) = (rates[part], supposed.worth[part]);
        worth * (rate.ln() - rate / supposed.mean[part]) - rate * exposure[part]
    };
    calls + (0..PARTS).map(of).sum::<f64>()
}

fn sum(row: &Row, rates: &[f64; PARTS]) -> f64 {
    (row.others + row.of.iter().zip(rates).map(|(of, rate)| of * rate).sum::<f64>()).max(1e-300)
}

/// Rates that are likelier than those at hand, or as likely.
pub fn step(rows: &[Row], exposure: &[f64; PARTS], supposed: &Supposed, from: [f64; PARTS]) -> [f64; PARTS] {
    let mut rates: [f64; PARTS] = std::array::from_fn(|part| from[part].max(supposed.mean[part] * LEAST));
    let mut best = value(rows, exposure, supposed, &rates);
    for _ in 0..STEPS {
        let by = newton(rows, exposure, supposed, &rates);
        let mut part_of_step = 1.0;
        for _ in 0..HALVINGS {
            let to =
                std::array::from_fn(|part| rates[part] * (part_of_step * by[part]).clamp(-STEP_MOST, STEP_MOST).exp());
            let likely = value(rows, exposure, supposed, &to);
            if likely >= best {
                (rates, best) = (to, likely);
                break;
            }
            part_of_step /= 2.0;
        }
    }
    rates
}

/// Newton's step, in logarithms of rates. What the second derivative has beside the calls' shares is taken as it is at the top, where it is
/// the worth of what is supposed: so the matrix is positive definite everywhere.
fn newton(rows: &[Row], exposure: &[f64; PARTS], supposed: &Supposed, rates: &[f64; PARTS]) -> [f64; PARTS] {
    let (mut slope, mut bend) = ([0.0; PARTS], [[0.0; PARTS]; PARTS]);
    for row in rows {
        let all = sum(row, rates);
        let share: [f64; PARTS] = std::array::from_fn(|part| row.of[part] * rates[part] / all);
        for at in 0..PARTS {
            slope[at] += share[at];
            for other in 0..=at {
                bend[at][other] += share[at] * share[other];
            }
        }
    }
    for at in 0..PARTS {
        slope[at] += supposed.worth[at] - rates[at] * (supposed.worth[at] / supposed.mean[at] + exposure[at]);
        bend[at][at] += supposed.worth[at];
    }
    solve(&bend, &slope)
}

/// Solves `a x = b` by Cholesky's decomposition; of `a`, which is symmetric and positive definite, the lower half is read.
fn solve(a: &[[f64; PARTS]; PARTS], b: &[f64; PARTS]) -> [f64; PARTS] {
    let mut lower = [[0.0; PARTS]; PARTS];
    for row in 0..PARTS {
        for column in 0..=row {
            let sum: f64 = (0..column).map(|at| lower[row][at] * lower[column][at]).sum();
            lower[row][column] = match column == row {
                true => (a[row][row] - sum).max(f64::MIN_POSITIVE).sqrt(),
                false => (a[row][column] - sum) / lower[column][column],
            };
        }
    }
    let mut x = [0.0; PARTS];
    for row in 0..PARTS {
        let sum: f64 = (0..row).map(|at| lower[row][at] * x[at]).sum();
        x[row] = (b[row] - sum) / lower[row][row];
    }
    for row in (0..PARTS).rev() {
        let sum: f64 = (row + 1..PARTS).map(|at| lower[at][row] * x[at]).sum();
        x[row] = (x[row] - sum) / lower[row][row];
    }
    x
}

/// The density of each tail in each far bin.
pub fn far() -> [[f64; TAILS]; FAR] {
    std::array::from_fn(|at| std::array::from_fn(|tail| bins::tail(tail, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSURE: [f64; PARTS] = [100.0, 90.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0];

    fn supposed() -> Supposed {
        Supposed { worth: [2.0; PARTS], mean: [0.5; PARTS] }
    }

    fn top(rows: &[Row]) -> [f64; PARTS] {
        (0..30).fold([0.1; PARTS], |rates, _| step(rows, &EXPOSURE, &supposed(), rates))
    }

    /// Where each call tells of one part alone, the top is the mean of a gamma distribution.
    #[test]
    fn one_part_a_call_is_counted() {
        for (part, calls) in [(0, 0.0), (3, 7.0), (STRAYS, 1_000.0)] {
            let row = || Row { of: std::array::from_fn(|at| f64::from(u8::from(at == part))), others: 0.0 };
            let rates = top(&(0..calls as usize).map(|_| row()).collect::<Vec<_>>());
            for (at, rate) in rates.iter().enumerate() {
                let calls = if at == part { calls } else { 0.0 };
                let expected = (calls + 2.0) / (EXPOSURE[at] + 2.0 / 0.5);
                assert!((rate / expected - 1.0).abs() < 1e-9, "{at}: {rate} {expected}");
            }
        }
    }

    /// Where all calls tell of all parts, and parts are alike, there is a top still, and no step goes down.
    #[test]
    fn steps_go_up_to_the_top() {
        let row = |n: usize| Row {
            of: std::array::from_fn(|at| 1.0 + 0.1 * ((n * (at + 3)) % 7) as f64),
            others: (n % 5) as f64 * 0.3,
        };
        let rows: Vec<Row> = (0..400).map(row).collect();
        let mut rates = [5.0; PARTS];
        for _ in 0..300 {
            let next = step(&rows, &EXPOSURE, &supposed(), rates);
            let [before, after] = [rates, next].map(|rates| value(&rows, &EXPOSURE, &supposed(), &rates));
            assert!(after >= before, "{before} {after}");
            rates = next;
        }
        let left = newton(&rows, &EXPOSURE, &supposed(), &rates);
        assert!(left.iter().all(|by| by.abs() < 1e-6), "{left:?}");
    }

    #[test]
    fn what_is_supposed_adds_up() {
        let expected =
            |supposed: &Supposed| supposed.mean.iter().zip(&EXPOSURE).map(|(mean, of)| mean * of).sum::<f64>();
        let account = Supposed::of_account(1_000.0, 400.0, &EXPOSURE);
        assert!((expected(&account) - (600.0 * 0.9 + 100.0)).abs() < 1e-9, "{}", expected(&account));
        let pool = Supposed::of_pool(50.0, 10.0, &EXPOSURE, &[0.2; PARTS]);
        assert!((expected(&pool) - 40.0).abs() < 1e-9, "{}", expected(&pool));
        // All calls came while pages were open: something is supposed nevertheless.
        assert!(Supposed::of_account(10.0, 10.0, &EXPOSURE).mean.iter().all(|mean| *mean > 0.0));
    }
}
