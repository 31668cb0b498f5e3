//! `mode() WITHIN GROUP (ORDER BY x)`: the value that stands most often, of several the first in that order, as in PostgreSQL. The engine has
//! none.

use std::collections::HashMap;
use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

pub fn register(context: &SessionContext) {
    let signature = Signature::any(1, Volatility::Immutable);
    context.register_udaf(AggregateUDF::new_from_impl(Mode { signature }));
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mode {
    signature: Signature,
}

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &'static str {
        "mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        Ok(kinds[0].clone())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let kind = args.expr_fields[0].data_type().clone();
        let is_descending = args.order_bys.first().is_some_and(|sort| sort.options.descending);
        Ok(Box::new(Counts { kind, is_descending, counts: HashMap::new(), bytes: 0 }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name, kind| {
            Arc::new(Field::new_list(format_state_name(args.name, name), Field::new_list_field(kind, true), true))
        };
        Ok(vec![list("values", args.input_fields[0].data_type().clone()), list("counts", DataType::Int64)])
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

/// How often each value stands.
#[derive(Debug)]
struct Counts {
    kind: DataType,
    is_descending: bool,
    counts: HashMap<ScalarValue, i64>,
    /// What the values take that lies elsewhere.
    bytes: usize,
}

impl Counts {
    fn count(&mut self, value: ScalarValue, times: i64) {
        let bytes = value.size();
        *self.counts.entry(value).or_insert_with(|| {
            self.bytes += bytes;
            0
        }) += times;
    }

    /// The more often, and then the earlier in the order.
    fn is_before(&self, (a, a_times): (&ScalarValue, &i64), (b, b_times): (&ScalarValue, &i64)) -> bool {
        let order = a.partial_cmp(b).map(|order| if self.is_descending { order } else { order.reverse() });
        a_times.cmp(b_times).then(order.unwrap_or(std::cmp::Ordering::Equal)).is_gt()
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in (0..values[0].len()).filter(|row| values[0].is_valid(*row)) {
            self.count(ScalarValue::try_from_array(&values[0], row)?, 1);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, times] = [0, 1].map(|at| states[at].as_list::<i32>());
        for (values, times) in values.iter().flatten().zip(times.iter().flatten()) {
            for (row, times) in times.as_primitive::<Int64Type>().values().iter().enumerate() {
                self.count(ScalarValue::try_from_array(&values, row)?, *times);
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, times): (Vec<_>, Vec<_>) =
            self.counts.drain().map(|(value, times)| (value, ScalarValue::Int64(Some(times)))).unzip();
        let list = |values: &[ScalarValue], kind| ScalarValue::List(ScalarValue::new_list(values, kind, true));
        Ok(vec![list(&values, &self.kind), list(&times, &DataType::Int64)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let most = self.counts.iter().reduce(|best, other| if self.is_before(other, best) { other } else { best });
        most.map_or_else(|| ScalarValue::try_from(&self.kind), |(value, _)| Ok(value.clone()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes + self.counts.capacity() * size_of::<(ScalarValue, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    /// As PostgreSQL 15 answers.
    #[tokio::test]
    async fn the_most_frequent_of_several_is_the_first_in_order() {
        let context = SessionContext::new();
        register(&context);
        let rows = "(VALUES (1, 'b'), (1, 'a'), (2, 'c'), (1, 'b'), (1, 'a'), (2, NULL), (2, NULL), (3, NULL), (1, 'd')) t(g, x)";
        for (what, expected) in [
            ("mode() WITHIN GROUP (ORDER BY x)", ["a", "c", ""]),
            ("mode() WITHIN GROUP (ORDER BY x DESC)", ["b", "c", ""]),
            ("mode() WITHIN GROUP (ORDER BY g * 2)", ["2", "4", "6"]),
            ("mode() WITHIN GROUP (ORDER BY x) FILTER (WHERE x > 'a')", ["b", "c", ""]),
        ] {
            let sql = format!("SELECT {what} FROM {rows} GROUP BY g ORDER BY g");
            let told = context.sql(&sql).await.expect(what).collect().await.expect(what);
            let told = [0, 1, 2].map(|row| array_value_to_string(told[0].column(0), row).expect("a text"));
            assert_eq!(told, expected, "{what}");
        }
    }
}
