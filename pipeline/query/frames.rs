//! Sums and means of fractions over frames that move (`ROWS BETWEEN 6 PRECEDING AND CURRENT ROW`). The engine adds what comes and takes away
//! what goes, and each time rounds: a week of zeros behind a sale had a mean of `1e-14`. Here nothing is rounded before it is told.

use std::mem::size_of_val;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl};
use datafusion::prelude::SessionContext;

use super::as_inner::as_inner;

pub fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(Mean { inner: Avg::new() }));
}

pub(super) fn is_ours(args: &AccumulatorArgs<'_>) -> bool {
    !args.is_distinct && matches!(args.expr_fields, [field] if *field.data_type() == DataType::Float64)
}

/// The engine's, but for frames that move.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mean {
    inner: Avg,
}

impl AggregateUDFImpl for Mean {
    as_inner!(name aliases signature return_type accumulator state_fields groups_accumulator_supported create_groups_accumulator
        reverse_expr documentation);

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match is_ours(&args) {
            true => Ok(Box::new(Frame::new(Told::Mean))),
            false => self.inner.create_sliding_accumulator(args),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Sum,
    Mean,
}

/// The rows that are in it.
#[derive(Debug)]
pub(super) struct Frame {
    told: Told,
    sum: Exact,
    /// How many values are endless above, below, and none at all: what goes takes them along.
    above: u64,
    below: u64,
    none: u64,
    count: u64,
}

impl Frame {
    pub(super) fn new(told: Told) -> Frame {
        Frame { told, sum: Exact::default(), above: 0, below: 0, none: 0, count: 0 }
    }

    fn value(&self) -> Option<f64> {
        let sum = match (self.above > 0, self.below > 0) {
            _ if self.none > 0 => f64::NAN,
            (true, true) => f64::NAN,
            (true, false) => f64::INFINITY,
            (false, true) => f64::NEG_INFINITY,
            (false, false) => self.sum.rounded(),
        };
        (self.count > 0).then_some(match self.told {
            Told::Sum => sum,
            Told::Mean => sum / self.count as f64,
        })
    }

    fn endless(&mut self, value: f64) -> Option<&mut u64> {
        match value {
            _ if value.is_nan() => Some(&mut self.none),
            f64::INFINITY => Some(&mut self.above),
            f64::NEG_INFINITY => Some(&mut self.below),
            _ => None,
        }
    }
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.count += 1;
            match self.endless(value) {
                Some(count) => *count += 1,
                None => self.sum.add(value),
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.count = self.count.saturating_sub(1);
            match self.endless(value) {
                Some(count) => *count = count.saturating_sub(1),
                None => self.sum.add(-value),
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.value()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.parts.capacity() * size_of::<f64>()
    }
}

/// Numbers whose digits do not overlap, the least first, that together are the sum (Shewchuk, *Adaptive Precision Floating-Point Arithmetic*,
/// 1997, as `math.fsum` of Python has it).
#[derive(Debug, Default)]
struct Exact {
    parts: Vec<f64>,
}

impl Exact {
    fn add(&mut self, value: f64) {
        let mut carried = value;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let part = self.parts[at];
            let (large, small) = if carried.abs() < part.abs() { (part, carried) } else { (carried, part) };
            let sum = large + small;
            let lost = small - (sum - large);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
            carried = sum;
        }
        self.parts.truncate(kept);
        if carried != 0.0 {
            self.parts.push(carried);
        }
    }

    /// The number of double precision that is nearest to it.
    fn rounded(&self) -> f64 {
        let mut parts = self.parts.iter().rev();
        let mut sum = parts.next().copied().unwrap_or(0.0);
        for part in parts.by_ref() {
            let before = sum;
            sum = before + part;
            let lost = part - (sum - before);
            if lost != 0.0 {
                // Halves go by what is behind them.
                let beyond = parts.next().is_some_and(|next| next.is_sign_positive() == lost.is_sign_positive());
                let twice = sum + lost * 2.0;
                return if beyond && twice - sum == lost * 2.0 { twice } else { sum };
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;
    use proptest::prelude::*;

    use super::super::sums;
    use super::*;

    #[tokio::test]
    async fn frames_leave_nothing_behind() {
        let context = SessionContext::new();
        sums::register(&context);
        register(&context);
        for (values, expected) in [
            ("(1, 0.1), (2, 1e16), (3, 0.2), (4, 0.0), (5, 0.0)", ["0.1", "1e16", "1e16", "0.2", "0.0"]),
            ("(1, 0.1), (2, 'Infinity'::double), (3, 0.3), (4, 0.5), (5, NULL)", ["0.1", "inf", "inf", "0.8", "0.5"]),
        ] {
            let frame = "OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
            let sql = format!(
                "SELECT sum(x) {frame}, avg(x) {frame}, count(x) {frame} FROM (VALUES {values}) t(n, x) ORDER BY n"
            );
            let rows = context.sql(&sql).await.expect("a plan").collect().await.expect("rows");
            let column = |column: usize| -> Vec<f64> {
                (0..5).map(|row| array_value_to_string(rows[0].column(column), row).unwrap().parse().unwrap()).collect()
            };
            let (sums, means, counts) = (column(0), column(1), column(2));
            assert_eq!(sums, expected.map(|it| it.parse::<f64>().unwrap()), "{values}");
            for row in 0..5 {
                assert_eq!(means[row], sums[row] / counts[row]);
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_takes_all_of_itself_along(
            left in prop::collection::vec(-1e12f64..1e12, 0..8),
            gone in prop::collection::vec(prop_oneof![-1e-9f64..1e-9, -1e18f64..1e18], 0..40),
        ) {
            let (mut all, mut alone) = (Exact::default(), Exact::default());
            gone.iter().chain(&left).for_each(|it| all.add(*it));
            gone.iter().for_each(|it| all.add(-it));
            left.iter().rev().for_each(|it| alone.add(*it));
            prop_assert_eq!(all.rounded(), alone.rounded());
        }
    }
}
