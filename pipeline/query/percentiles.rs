//! `percentile_cont` as PostgreSQL reckons it, and `percentile_disc`. The engine's own takes the place between two values at a millionth
//! (DataFusion 55.2): the ninth decile of talk times was 21.3538932 seconds where it is 21.354.

use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::percentile_cont::PercentileCont;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator};
use datafusion::prelude::SessionContext;

use super::as_inner::as_inner;

pub fn register(context: &SessionContext) {
    for way in [Way::Between, Way::Of] {
        context.register_udaf(AggregateUDF::new_from_impl(Percentile { inner: PercentileCont::new(), way }));
    }
}

/// What is told where the place lies between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    /// Their mean, weighted by the place.
    Between,
    /// The first whose place is at or beyond it.
    Of,
}

/// The engine's, which keeps all values, with an end of our own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    inner: PercentileCont,
    way: Way,
}

impl AggregateUDFImpl for Percentile {
    as_inner!(signature return_type state_fields groups_accumulator_supported simplify documentation);

    fn name(&self) -> &str {
        match self.way {
            Way::Between => self.inner.name(),
            Way::Of => "percentile_disc",
        }
    }

    fn aliases(&self) -> &[String] {
        match self.way {
            Way::Between => self.inner.aliases(),
            Way::Of => &[],
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let (place, keeps_values) = (Place::of(&args, self.way)?, args.is_distinct);
        let inner = self.inner.accumulator(args)?;
        Ok(match place {
            Some(place) => Box::new(One { inner, place, keeps_values }),
            None => inner,
        })
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let place = Place::of(&args, self.way)?;
        let inner = self.inner.create_groups_accumulator(args)?;
        Ok(match place {
            Some(place) => Box::new(Groups { inner, place }),
            None => inner,
        })
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone)]
struct Place {
    /// 0 to 1, from the least.
    share: f64,
    way: Way,
    kind: DataType,
}

impl Place {
    /// Nothing where all values are null.
    fn of(args: &AccumulatorArgs<'_>, way: Way) -> Result<Option<Place>> {
        let kind = args.expr_fields[0].data_type().clone();
        if kind.is_null() {
            return Ok(None);
        }
        // A constant, as the engine's own looks over.
        let told = args.exprs[1].evaluate(&RecordBatch::new_empty(args.schema.clone().into()))?;
        let ColumnarValue::Scalar(ScalarValue::Float64(Some(share))) = told else {
            return plan_err!("a percentile's share is not a number from 0 to 1");
        };
        let descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        Ok(Some(Place { share: if descending { 1.0 - share } else { share }, way, kind }))
    }

    /// PostgreSQL 15, `orderedsetaggs.c`.
    fn value(&self, values: &ArrayRef) -> Result<Option<f64>> {
        let values = cast(values, &DataType::Float64)?;
        let mut values = values.as_primitive::<Float64Type>().values().to_vec();
        let Some(last) = values.len().checked_sub(1) else { return Ok(None) };
        let at = match self.way {
            Way::Between => self.share * last as f64,
            Way::Of => ((self.share * values.len() as f64).ceil() - 1.0).max(0.0),
        };
        let (first, part) = (at.floor(), at - at.floor());
        // Not below 0, nor beyond the last.
        let (_, lower, behind) = values.select_nth_unstable_by((first as usize).min(last), f64::total_cmp);
        let lower = *lower;
        if part == 0.0 {
            return Ok(Some(lower));
        }
        let upper = behind.iter().copied().min_by(f64::total_cmp).unwrap_or(lower);
        Ok(Some(lower + part * (upper - lower)))
    }

    fn values(&self, lists: &ArrayRef) -> Result<ArrayRef> {
        let lists = lists.as_list::<i32>();
        let value = |at| if lists.is_null(at) { Ok(None) } else { self.value(&lists.value(at)) };
        let values = (0..lists.len()).map(value).collect::<Result<Float64Array>>()?;
        Ok(cast(&values, &self.kind)?)
    }
}

/// Of all rows.
#[derive(Debug)]
struct One {
    inner: Box<dyn Accumulator>,
    place: Place,
    /// When it tells its state, the engine's own of distinct values keeps them, and the other gives them away.
    keeps_values: bool,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let lists = self.inner.state()?[0].to_array()?;
        let value = ScalarValue::try_from_array(&self.place.values(&lists)?, 0)?;
        if !self.keeps_values {
            // Windows go on with them.
            self.inner.merge_batch(&[lists])?;
        }
        Ok(value)
    }

    fn size(&self) -> usize {
        size_of::<Place>() + self.inner.size()
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// Of each group.
struct Groups {
    inner: Box<dyn GroupsAccumulator>,
    place: Place,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, groups, filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.inner.merge_batch(states, groups, count)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.place.values(&self.inner.state(emit)?[0])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    /// As PostgreSQL 15 answers.
    #[tokio::test]
    async fn percentiles_are_postgresqls() {
        let context = SessionContext::new();
        register(&context);
        let of = |what: &str| {
            format!(
                "SELECT {what} FROM (VALUES (1, 10.0), (1, 3.5), (2, 7.0), (1, 20.0), (2, NULL), (3, NULL), (1, 4.0)) t(g, x)"
            )
        };
        let group = |what: &str| format!("{what} WITHIN GROUP (ORDER BY x)");
        for (what, expected) in [
            (group("percentile_cont(0.875)"), "15.0"),
            (group("percentile_cont(0.375)"), "5.5"),
            (group("percentile_cont(0)"), "3.5"),
            (group("percentile_cont(1)"), "20.0"),
            ("percentile_cont(0.375) WITHIN GROUP (ORDER BY x DESC)".to_owned(), "8.5"),
            (group("percentile_disc(0.5)"), "7.0"),
            (group("percentile_disc(0.6)"), "7.0"),
            (group("percentile_disc(0.61)"), "10.0"),
            (group("percentile_disc(0)"), "3.5"),
            ("percentile_disc(DISTINCT x, 0.6)".to_owned(), "7.0"),
            ("percentile_cont(DISTINCT x, 0.375)".to_owned(), "5.5"),
            (group("percentile_cont(0.5)") + " FILTER (WHERE g = 3)", ""),
        ] {
            let rows = context.sql(&of(&what)).await.expect(&what).collect().await.expect(&what);
            assert_eq!(array_value_to_string(rows[0].column(0), 0).expect("a text"), expected, "{what}");
        }
        let grouped = of(&format!("g, {}", group("percentile_cont(0.25)"))) + " GROUP BY g ORDER BY g";
        let rows = context.sql(&grouped).await.expect("a plan").collect().await.expect("rows");
        let told: Vec<String> =
            (0..3).map(|at| array_value_to_string(rows[0].column(1), at).expect("a text")).collect();
        assert_eq!(told, ["3.875", "7.0", ""]);
    }
}
