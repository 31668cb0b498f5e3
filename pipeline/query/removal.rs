//! `removal_effects(moves)`: what is lost when a state of a Markov chain is taken out (Anderl, Becker, von Wangenheim and
//! Schumann, 2016, "Mapping the customer journey"). SQL has no linear algebra, and unrolled steps would read the visits again
//! for each of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, ListBuilder, StringArray, StringBuilder, StructBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

/// Where journeys begin, and the two ways in which they end.
const START: &str = "(start)";
const CALL: &str = "(call)";
const END: &str = "(end)";
/// States beside these; the work grows with their fourth power.
const STATES_MAX: usize = 100;

pub fn register(context: &SessionContext) {
    context.register_udf(ScalarUDF::new_from_impl(Removal { signature: Signature::any(1, Volatility::Immutable) }));
}

/// How often journeys went from one state to another.
struct Move<'a> {
    from: &'a str,
    to: &'a str,
    times: f64,
}

/// The share of journeys to a call that are lost without each state, by its name; nothing where there are none.
fn effects(moves: &[Move<'_>]) -> Result<Vec<(String, f64)>> {
    let names: BTreeSet<&str> = moves.iter().flat_map(|it| [it.from, it.to]).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| ![START, CALL, END].contains(name)).collect();
    if names.len() > STATES_MAX {
        return exec_err!("{} states are too many for removal_effects: give {STATES_MAX} at most", names.len());
    }
    // The start comes behind all others.
    let place = |name: &str| if name == START { Some(names.len()) } else { names.binary_search(&name).ok() };
    let size = names.len() + 1;
    let mut chances = vec![vec![0.0; size + 1]; size];
    for it in moves {
        let to = if it.to == CALL { Some(size) } else { place(it.to) };
        let Some(from) = place(it.from) else { continue };
        let all: f64 = moves.iter().filter(|other| other.from == it.from).map(|other| other.times).sum();
        if let Some(to) = to {
            chances[from][to] += it.times / all;
        }
    }
    let whole = reached(&chances, None);
    if whole <= 0.0 {
        return Ok(Vec::new());
    }
    // Nothing is gained by taking a state out, but for the last digits.
    let removal = |at| (1.0 - reached(&chances, Some(at)) / whole).max(0.0);
    let effect = |(at, name): (usize, &&str)| ((*name).to_owned(), removal(at));
    Ok(names.iter().enumerate().map(effect).collect())
}

/// The chance to get from the start to a call, where journeys break off at the state that is `removed`. Each row has the
/// chances to move to each state, and that to call behind them.
fn reached(chances: &[Vec<f64>], removed: Option<usize>) -> f64 {
    let size = chances.len();
    // x = Qx + b, so (I - Q)x = b, by elimination. Every state leads to an end, so there is one answer.
    let mut rows: Vec<Vec<f64>> = chances
        .iter()
        .enumerate()
        .map(|(at, chances)| {
            let kept = if removed == Some(at) { 0.0 } else { 1.0 };
            let entry = |(to, chance): (usize, &f64)| match to {
                to if to == size => kept * chance,
                to => f64::from(u8::from(to == at)) - kept * chance,
            };
            chances.iter().enumerate().map(entry).collect()
        })
        .collect();
    for at in 0..size {
        let best = (at..size).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs())).unwrap_or(at);
        rows.swap(at, best);
        if rows[at][at].abs() < 1e-12 {
            continue;
        }
        let (done, rest) = rows.split_at_mut(at + 1);
        let pivot = &done[at];
        for row in rest {
            let factor = row[at] / pivot[at];
            row.iter_mut().zip(pivot).skip(at).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    let mut reached = vec![0.0; size];
    for at in (0..size).rev() {
        let known: f64 = (at + 1..size).map(|to| rows[at][to] * reached[to]).sum();
        if rows[at][at].abs() >= 1e-12 {
            reached[at] = (rows[at][size] - known) / rows[at][at];
        }
    }
    // The start is the last.
    reached.last().copied().unwrap_or(0.0)
}

#[derive(PartialEq, Eq, Hash)]
struct Removal {
    signature: Signature,
}

impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("state", DataType::Utf8, true), Field::new("removal", DataType::Float64, true)])
}

fn texts(column: &ArrayRef) -> Result<StringArray> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// One list of moves: structs of from, to and times.
fn read(list: &ArrayRef) -> Result<Vec<(String, f64)>> {
    let Some(list) = list.as_struct_opt().filter(|it| it.num_columns() == 3) else {
        return exec_err!("removal_effects takes a list of structs: from, to, and how often");
    };
    let (from, to) = (texts(list.column(0))?, texts(list.column(1))?);
    let times = cast(list.column(2), &DataType::Float64)?;
    let times = times.as_primitive::<Float64Type>();
    let moves = (0..list.len()).map(|at| Move { from: from.value(at), to: to.value(at), times: times.value(at) });
    effects(&moves.filter(|it| it.times > 0.0).collect::<Vec<_>>())
}

impl ScalarUDFImpl for Removal {
    fn name(&self) -> &'static str {
        "removal_effects"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Struct(fields()), true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(lists) = columns.first().and_then(|lists| lists.as_list_opt::<i32>()) else {
            return exec_err!("removal_effects takes a list of structs: from, to, and how often");
        };
        let mut builder = ListBuilder::new(StructBuilder::from_fields(fields(), lists.len()));
        let lost = || DataFusionError::Internal("a builder of another type".to_owned());
        for row in 0..lists.len() {
            let effects = if lists.is_valid(row) { read(&lists.value(row))? } else { Vec::new() };
            for (state, removal) in effects {
                let values = builder.values();
                values.field_builder::<StringBuilder>(0).ok_or_else(lost)?.append_value(state);
                values.field_builder::<Float64Builder>(1).ok_or_else(lost)?.append_value(removal);
                values.append(true);
            }
            builder.append(true);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_state_loses_what_went_through_it() {
        let step = |from, to, times| Move { from, to, times };
        // Half of all journeys begin with a, and half of those call at once; the others go on to b, which calls half the time.
        let moves = [
            step(START, "a", 2.0),
            step(START, "b", 2.0),
            step("a", CALL, 1.0),
            step("a", "b", 1.0),
            step("b", CALL, 1.0),
            step("b", END, 1.0),
        ];
        let found = effects(&moves).expect("few states");
        let expected = [("a", 1.0 - 0.25 / 0.625), ("b", 1.0 - 0.25 / 0.625)];
        assert_eq!(found.len(), 2);
        for ((name, removal), (expected_name, expected)) in found.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert!((removal - expected).abs() < 1e-12, "{name}: {removal} is not {expected}");
        }
        assert!(effects(&[step(START, "a", 1.0), step("a", END, 1.0)]).expect("few states").is_empty());
        assert!(effects(&[]).expect("none").is_empty());
    }

    /// A visit to the same channel again changes nothing that its chances do not say already.
    #[test]
    fn loops_are_followed_for_good() {
        let step = |from, to, times| Move { from, to, times };
        let moves = [step(START, "a", 1.0), step("a", "a", 98.0), step("a", CALL, 1.0), step("a", END, 1.0)];
        let found = effects(&moves).expect("few states");
        assert!((found[0].1 - 1.0).abs() < 1e-9, "{found:?}");
    }
}
