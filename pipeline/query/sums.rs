//! `sum` of whole numbers that says when the result is beyond 64 bits. The engine's own begins again at the other end then, and
//! a wrong number that looks like a right one is the worst of answers.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::sum_checked;
use datafusion::arrow::datatypes::{ArrowNumericType, DataType, Int64Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator};
use datafusion::prelude::SessionContext;

use super::as_inner::as_inner;
use super::frames::{self, Frame, Told};

pub fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(Checked { inner: Sum::new() }));
}

pub(super) fn beyond() -> DataFusionError {
    let text = "the sum is beyond what 64 bits hold: write sum(CAST(… AS DECIMAL(38, 0)))";
    DataFusionError::ArrowError(Box::new(ArrowError::ArithmeticOverflow(text.to_owned())), None)
}

/// The engine's, but for whole numbers that are not `DISTINCT`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    inner: Sum,
}

impl AggregateUDFImpl for Checked {
    as_inner!(name signature return_type state_fields groups_accumulator_supported reverse_expr order_sensitivity documentation set_monotonicity value_from_stats);

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 if !args.is_distinct => Ok(Box::new(One::<Int64Type> { sum: None })),
            DataType::UInt64 if !args.is_distinct => Ok(Box::new(One::<UInt64Type> { sum: None })),
            _ => self.inner.accumulator(args),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 => Ok(Box::new(Groups::<Int64Type>::default())),
            DataType::UInt64 => Ok(Box::new(Groups::<UInt64Type>::default())),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    /// What leaves a window is taken out of its sum again.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::Int64 if !args.is_distinct => Ok(Box::new(Sliding::<Int64Type>::default())),
            DataType::UInt64 if !args.is_distinct => Ok(Box::new(Sliding::<UInt64Type>::default())),
            _ if frames::is_ours(&args) => Ok(Box::new(Frame::new(Told::Sum))),
            _ => self.inner.create_sliding_accumulator(args),
        }
    }
}

/// Of all rows.
#[derive(Debug)]
struct One<T: ArrowNumericType> {
    sum: Option<T::Native>,
}

impl<T: ArrowNumericType> One<T> {
    fn scalar(&self) -> Result<ScalarValue> {
        ScalarValue::new_primitive::<T>(self.sum, &T::DATA_TYPE)
    }
}

impl<T: ArrowNumericType + Debug> Accumulator for One<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(more) = sum_checked(values[0].as_primitive::<T>()).map_err(|_| beyond())? else { return Ok(()) };
        self.sum = Some(match self.sum {
            Some(sum) => sum.add_checked(more).map_err(|_| beyond())?,
            None => more,
        });
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.scalar()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.scalar()
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Of the rows in a window; rows come before others go, so that it may be beyond 64 bits in between.
#[derive(Debug)]
struct Sliding<T> {
    sum: i128,
    count: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Default for Sliding<T> {
    fn default() -> Sliding<T> {
        Sliding { sum: 0, count: 0, kind: PhantomData }
    }
}

impl<T: ArrowNumericType + Debug> Accumulator for Sliding<T>
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            self.sum += value.into();
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            self.sum -= value.into();
            self.count = self.count.saturating_sub(1);
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
        let sum = T::Native::try_from(self.sum).map_err(|_| beyond())?;
        ScalarValue::new_primitive::<T>((self.count > 0).then_some(sum), &T::DATA_TYPE)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// Of each group.
struct Groups<T: ArrowNumericType> {
    sums: Vec<T::Native>,
    /// Whether a group has had a value.
    seen: Vec<bool>,
}

impl<T: ArrowNumericType> Default for Groups<T> {
    fn default() -> Groups<T> {
        Groups { sums: Vec::new(), seen: Vec::new() }
    }
}

impl<T: ArrowNumericType> GroupsAccumulator for Groups<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.resize(total, T::default_value());
        self.seen.resize(total, false);
        let values = values[0].as_primitive::<T>();
        let taken = taken(values, filter);
        for (row, (group, value)) in groups.iter().zip(values.values()).enumerate() {
            if taken.as_ref().is_none_or(|taken| taken.value(row)) {
                self.sums[*group] = self.sums[*group].add_checked(*value).map_err(|_| beyond())?;
                self.seen[*group] = true;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let seen = NullBuffer::from(emit.take_needed(&mut self.seen));
        Ok(Arc::new(PrimitiveArray::<T>::new(sums.into(), Some(seen).filter(|seen| seen.null_count() > 0))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values[0].as_primitive::<T>();
        let nulls = taken(values, filter).map(NullBuffer::new);
        Ok(vec![Arc::new(PrimitiveArray::<T>::new(values.values().clone(), nulls))])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// The rows that count; nothing: all.
fn taken<T: ArrowNumericType>(values: &PrimitiveArray<T>, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let there = values.nulls().map(|nulls| nulls.inner().clone());
    let asked = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    match (there, asked) {
        (Some(there), Some(asked)) => Some(&there & &asked),
        (there, asked) => there.or(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sums_of_whole_numbers_do_not_begin_again_at_the_other_end() {
        let context = SessionContext::new();
        register(&context);
        let rows = "(VALUES (9223372036854775807, 'a'), (1, 'a'), (NULL, 'b'), (5, 'c'), (7, 'c')) AS t(x, g)";
        for (sql, expected) in [
            ("SELECT sum(x) FROM {} WHERE g = 'c'", "12"),
            ("SELECT sum(x) FROM {} WHERE g = 'b'", "NULL"),
            ("SELECT sum(x) FROM {} GROUP BY g HAVING g = 'c'", "12"),
            ("SELECT sum(x) FILTER (WHERE x > 5) FROM {} GROUP BY g HAVING g = 'c'", "7"),
            ("SELECT sum(x) FROM {} GROUP BY g HAVING g = 'b'", "NULL"),
            ("SELECT sum(DISTINCT x) FROM {} WHERE g = 'c'", "12"),
            ("SELECT sum(x * 1.5) FROM {} WHERE g = 'c'", "18"),
            ("SELECT sum(CAST(x AS DECIMAL(38, 0))) FROM {} WHERE g = 'a'", "9223372036854775808"),
            (
                "SELECT sum(x) OVER (ORDER BY g, x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {} WHERE g = 'c' ORDER BY 1 DESC",
                "12",
            ),
            (
                "SELECT sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (9223372036854775807), (9223372036854775806)) t(x)",
                "beyond",
            ),
            ("SELECT sum(x) FROM {}", "beyond"),
            ("SELECT sum(x) FROM {} GROUP BY g ORDER BY g LIMIT 1", "beyond"),
            ("SELECT sum(-x - 1) FROM {} WHERE g = 'a'", "beyond"),
        ] {
            let frame = context.sql(&sql.replace("{}", rows)).await.unwrap();
            match frame.collect().await {
                Ok(batches) => {
                    let value =
                        ScalarValue::try_from_array(batches.iter().find(|it| it.num_rows() > 0).unwrap().column(0), 0);
                    assert_eq!(value.unwrap().to_string(), expected, "{sql}");
                }
                Err(error) => assert!(error.to_string().contains(expected), "{sql}: {error}"),
            }
        }
    }
}
