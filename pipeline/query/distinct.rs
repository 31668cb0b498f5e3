//! `count(DISTINCT text)` of groups. The engine's own keeps a table a group for texts (DataFusion 55.2), and cuts each batch into one
//! piece a group to fill them; one table for all groups takes the rows as they come. What goes from part to part is the same as the
//! engine's.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray, StringViewArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::functions_aggregate::count::Count;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator};
use datafusion::prelude::SessionContext;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::as_inner::as_inner;

pub fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::new_from_impl(Counted { inner: Count::new() }));
}

/// The engine's, but for texts that are `DISTINCT`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Counted {
    inner: Count,
}

fn is_ours(args: &AccumulatorArgs<'_>) -> bool {
    args.is_distinct
        && matches!(args.expr_fields, [field] if matches!(field.data_type(), DataType::Utf8 | DataType::Utf8View))
}

impl AggregateUDFImpl for Counted {
    as_inner!(name signature return_type is_nullable accumulator state_fields create_sliding_accumulator default_value reverse_expr order_sensitivity documentation set_monotonicity value_from_stats);

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        is_ours(&args) || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match is_ours(&args) {
            true => Ok(Box::new(Groups::new(args.expr_fields[0].data_type().clone()))),
            false => self.inner.create_groups_accumulator(args),
        }
    }
}

/// A text of a group.
#[derive(Clone, Copy)]
struct Seen {
    hash: u64,
    group: usize,
    /// Where it lies in the bytes of all.
    from: usize,
    len: u32,
}

struct Groups {
    kind: DataType,
    seen: HashTable<Seen>,
    bytes: Vec<u8>,
    counts: Vec<i64>,
}

impl Groups {
    fn new(kind: DataType) -> Groups {
        Groups { kind, seen: HashTable::new(), bytes: Vec::new(), counts: Vec::new() }
    }

    fn see(&mut self, group: usize, text: &str) {
        let Groups { seen, bytes, counts, .. } = self;
        let hash = xxh3_64_with_seed(text.as_bytes(), group as u64);
        let is_same = |it: &Seen| it.hash == hash && it.group == group && of(bytes, it) == text.as_bytes();
        if seen.find(hash, is_same).is_none() {
            seen.insert_unique(hash, Seen { hash, group, from: bytes.len(), len: text.len() as u32 }, |it| it.hash);
            bytes.extend_from_slice(text.as_bytes());
            counts[group] += 1;
        }
    }

    /// Takes the first `groups` groups out; those behind them are the first then.
    fn take(&mut self, groups: usize) -> Groups {
        let mut taken = Groups::new(self.kind.clone());
        if groups == self.counts.len() {
            return std::mem::replace(self, taken);
        }
        let mut left = Groups::new(self.kind.clone());
        taken.counts = vec![0; groups];
        left.counts = vec![0; self.counts.len() - groups];
        for it in &self.seen {
            // What was a text before is one still.
            let text = std::str::from_utf8(of(&self.bytes, it)).unwrap_or_default();
            match it.group.checked_sub(groups) {
                Some(group) => left.see(group, text),
                None => taken.see(it.group, text),
            }
        }
        *self = left;
        taken
    }

    fn emitted(&self, emit: EmitTo) -> usize {
        match emit {
            EmitTo::All => self.counts.len(),
            EmitTo::First(groups) => groups,
        }
    }

    /// One list of texts a group.
    fn lists(&self) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::<i32>::from_lengths(self.counts.iter().map(|count| *count as usize));
        let mut places: Vec<i32> = offsets[..self.counts.len()].to_vec();
        let mut in_order: Vec<Option<&Seen>> = vec![None; self.seen.len()];
        for it in &self.seen {
            in_order[places[it.group] as usize] = Some(it);
            places[it.group] += 1;
        }
        let texts =
            in_order.into_iter().flatten().map(|it| std::str::from_utf8(of(&self.bytes, it)).unwrap_or_default());
        listed(&self.kind, offsets, texts)
    }
}

fn of<'b>(bytes: &'b [u8], it: &Seen) -> &'b [u8] {
    &bytes[it.from..it.from + it.len as usize]
}

fn listed<'t>(kind: &DataType, offsets: OffsetBuffer<i32>, texts: impl Iterator<Item = &'t str>) -> Result<ArrayRef> {
    let texts: ArrayRef = match kind {
        DataType::Utf8View => Arc::new(StringViewArray::from_iter_values(texts)),
        _ => Arc::new(StringArray::from_iter_values(texts)),
    };
    Ok(Arc::new(ListArray::try_new(Arc::new(Field::new_list_field(kind.clone(), true)), offsets, texts, None)?))
}

/// The texts that there are, with their places.
fn each<'a>(values: &'a dyn Array, mut to: impl FnMut(usize, &'a str)) {
    let mut take = |(row, text): (usize, Option<&'a str>)| text.into_iter().for_each(|text| to(row, text));
    match values.as_string_view_opt() {
        Some(texts) => texts.iter().enumerate().for_each(&mut take),
        None => values.as_string::<i32>().iter().enumerate().for_each(&mut take),
    }
}

fn is_asked(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.counts.resize(total, 0);
        each(&values[0], |row, text| {
            if is_asked(filter, row) {
                self.see(groups[row], text);
            }
        });
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.counts.resize(total, 0);
        let lists = values[0].as_list::<i32>();
        // Of a slice, values of others stand before and behind its own.
        let offsets = lists.offsets();
        let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
        let lengths = offsets.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        let group_of: Vec<usize> =
            groups.iter().zip(lengths).flat_map(|(group, length)| std::iter::repeat_n(*group, length)).collect();
        each(&lists.values().slice(first, last - first), |at, text| self.see(group_of[at], text));
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let taken = self.take(self.emitted(emit));
        Ok(Arc::new(Int64Array::from(taken.counts)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.take(self.emitted(emit)).lists()?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut texts: Vec<Option<&str>> = vec![None; values[0].len()];
        each(&values[0], |row, text| texts[row] = Some(text).filter(|_| is_asked(filter, row)));
        let offsets = OffsetBuffer::<i32>::from_lengths(texts.iter().map(|text| usize::from(text.is_some())));
        Ok(vec![listed(&self.kind, offsets, texts.into_iter().flatten())?])
    }

    fn size(&self) -> usize {
        self.seen.allocation_size() + self.bytes.capacity() + self.counts.capacity() * size_of::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use datafusion::arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    fn array(kind: &DataType, texts: &[Option<String>]) -> ArrayRef {
        match kind {
            DataType::Utf8View => Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>()),
            _ => Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
        }
    }

    proptest! {
        /// Rows in two parts that are merged, in pieces of any size, some of them passed on as they came.
        #[test]
        fn counts_what_a_set_a_group_would(
            rows in prop::collection::vec((0usize..6, prop::option::of("[ab]{0,2}|[a-c]{14}"), prop::option::of(any::<bool>())), 1..120),
            (views, first, pieces, asks) in (any::<bool>(), 0usize..4, 1usize..20, any::<bool>()),
        ) {
            let kind = if views { DataType::Utf8View } else { DataType::Utf8 };
            let (mut parts, mut whole) = ([Groups::new(kind.clone()), Groups::new(kind.clone())], Groups::new(kind.clone()));
            let mut expected: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
            for (at, piece) in rows.chunks(pieces).enumerate() {
                let texts: Vec<Option<String>> = piece.iter().map(|(_, text, _)| text.clone()).collect();
                let groups: Vec<usize> = piece.iter().map(|(group, ..)| *group).collect();
                let filter: BooleanArray = piece.iter().map(|(.., asked)| *asked).collect();
                let (values, filter) = ([array(&kind, &texts)], asks.then_some(&filter));
                if at % 3 == 2 {
                    let state = whole.convert_to_state(&values, filter)?;
                    whole.merge_batch(&state, &groups, 6)?;
                } else {
                    parts[at % 3].update_batch(&values, &groups, filter, 6)?;
                }
                for (group, text, asked) in piece {
                    if let Some(text) = text.as_deref().filter(|_| !asks || *asked == Some(true)) {
                        expected.entry(*group).or_default().insert(text);
                    }
                }
            }
            for mut part in parts {
                part.counts.resize(6, 0);
                let head = part.state(EmitTo::First(first))?;
                whole.merge_batch(&head, &(0..first).collect::<Vec<_>>(), 6)?;
                // Batches are sliced on their way.
                let rest = part.state(EmitTo::All)?;
                let cut = (6 - first) / 2;
                let (before, behind) = (rest[0].slice(0, cut), rest[0].slice(cut, 6 - first - cut));
                whole.merge_batch(&[before], &(first..first + cut).collect::<Vec<_>>(), 6)?;
                whole.merge_batch(&[behind], &(first + cut..6).collect::<Vec<_>>(), 6)?;
            }
            let expected: Vec<i64> = (0..6).map(|group| expected.get(&group).map_or(0, |set| set.len() as i64)).collect();
            let mut told = whole.evaluate(EmitTo::First(first))?.as_primitive::<Int64Type>().values().to_vec();
            told.extend(whole.evaluate(EmitTo::All)?.as_primitive::<Int64Type>().values());
            prop_assert_eq!(told, expected);
        }
    }

    #[tokio::test]
    async fn the_engine_uses_it() -> Result<()> {
        let context = SessionContext::new();
        register(&context);
        let rows = "(VALUES ('a', 'x'), ('a', 'y'), ('a', 'x'), ('b', NULL), ('c', 'x')) AS t(g, v)";
        for (sql, expected) in [
            (format!("SELECT count(DISTINCT v) FROM {rows} GROUP BY g ORDER BY g"), vec![2, 0, 1]),
            (format!("SELECT count(DISTINCT v) FROM {rows}"), vec![2]),
            (format!("SELECT count(v) FROM {rows} GROUP BY g ORDER BY g"), vec![3, 0, 1]),
            (format!("SELECT count(*) FROM {rows}"), vec![5]),
            (
                format!(
                    "SELECT count(DISTINCT v) + count(*) + max(length(v)) FROM {rows} GROUP BY g ORDER BY g LIMIT 1"
                ),
                vec![6],
            ),
        ] {
            let batches = context.sql(&sql).await?.collect().await?;
            let told = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
            assert_eq!(told.collect::<Vec<_>>(), expected, "{sql}");
        }
        Ok(())
    }
}
