//! Which rows a later revision has taken the place of, known beforehand.
//!
//! `queries/staging/` asks of each row whether a later one of its key stands anywhere in the table. Answered anew each time, that
//! reads the keys of all corrections, and those of all rows to compare them with, for the first row of `LIMIT 100` as well. So
//! the highest revision of every key that was ever corrected is kept, by table, and brought up to date with each version from
//! the files that are new in it. It takes 2²¹ times 17 bytes at most; a table with more is asked as before.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, Int32Array, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col, lit,
};
use datafusion::physical_plan::execute_stream;
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::StreamExt;
use siphasher::sip128::SipHasher13;

/// Keys of one table that have been corrected: as many as a hash table of 2²¹ places holds.
const CORRECTIONS_MAX: usize = 1_800_000;

/// Tables whose rows are corrected by later ones, with what names a row within its account.
const KEYS: [(&str, &str); 3] = [("calls", "call_id"), ("leases", "lease_id"), ("sessions", "session_id")];
const ACCOUNT: &str = "account";
const REVISION: &str = "revision";
/// What the stored table is called in `queries/staging/`.
const STORED: &str = "h";

/// Those tables.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().map(|(table, _)| table)
}

/// What names a row of `table` within its account, where later rows correct earlier ones.
pub(super) fn key(table: &str) -> Option<&'static str> {
    KEYS.iter().find(|(name, _)| *name == table).map(|(_, key)| *key)
}

/// The highest revision of each key that has one above the first.
#[derive(Debug, Clone, Default)]
pub(super) struct Corrections {
    secret: Secret,
    highest: HashMap<Place, i32, BuildHasherDefault<Hashed>>,
}

/// Drawn anew by each process: nobody outside can aim at the place of somebody else's key.
#[derive(Clone)]
struct Secret([u64; 2]);

impl Default for Secret {
    fn default() -> Secret {
        let own = RandomState::new();
        Secret([0, 1].map(|half: u8| own.hash_one(half)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// 96 bits that stand for an account and a key: with the revision they take 16 bytes, four of them one line of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place([u32; 3]);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high, _] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

/// Takes a hash as it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(32) ^ number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Corrections {
    pub fn is_empty(&self) -> bool {
        self.highest.is_empty()
    }

    /// Where each row's key stands; nothing for a row without one. An account has a secret of its own, made once where
    /// its rows follow each other.
    fn places(&self, rows: &Rows) -> Vec<Option<Place>> {
        let Secret([first, second]) = self.secret;
        let mut before: Option<(&str, SipHasher13)> = None;
        let mut places = Vec::with_capacity(rows.revisions().len());
        for (account, key) in rows.keys() {
            let (Some(account), Some(key)) = (account, key) else {
                places.push(None);
                continue;
            };
            let hasher = match before {
                Some((known, hasher)) if known == account => hasher,
                _ => {
                    let own = SipHasher13::new_with_keys(first, second).hash(account.as_bytes());
                    before.insert((account, SipHasher13::new_with_keys(own.h1, own.h2))).1
                }
            };
            let hash = hasher.hash(key.as_bytes());
            places.push(Some(Place([hash.h1 as u32, (hash.h1 >> 32) as u32, hash.h2 as u32])));
        }
        places
    }

    /// Whether there is still room for more.
    fn add(&mut self, rows: &RecordBatch) -> Result<bool> {
        let rows = Rows::of(rows.columns())?;
        for (place, revision) in self.places(&rows).into_iter().zip(rows.revisions()) {
            if let (Some(place), Some(revision @ 2..)) = (place, revision) {
                let highest = self.highest.entry(place).or_insert(revision);
                *highest = revision.max(*highest);
            }
        }
        Ok(self.highest.len() <= CORRECTIONS_MAX)
    }

    /// Which rows are the latest of their key. Of a row without a key or a revision nothing is known to be later.
    fn latest(&self, rows: &Rows) -> BooleanArray {
        // All places are reckoned before the first is looked for: the table is larger than any cache, and without anything
        // between them several searches wait for memory at once. With it, and one hash in place of two, count(*) takes half.
        let places = self.places(rows);
        let revisions = rows.revisions();
        let is_latest = |row: usize| match places[row] {
            Some(place) if revisions.is_valid(row) => {
                self.highest.get(&place).is_none_or(|highest| *highest <= revisions.value(row))
            }
            _ => true,
        };
        BooleanArray::new(BooleanBuffer::collect_bool(places.len(), is_latest), None)
    }
}

/// Accounts, keys and revisions, however they are stored.
struct Rows([Arc<dyn Array>; 3]);

impl Rows {
    fn of(columns: &[Arc<dyn Array>]) -> Result<Rows> {
        let [account, key, revision] = columns else {
            return Err(DataFusionError::Internal("an account, a key and a revision are wanted".to_owned()));
        };
        let texts = |column| cast(column, &DataType::Utf8View);
        Ok(Rows([texts(account)?, texts(key)?, cast(revision, &DataType::Int32)?]))
    }

    fn keys(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        let [accounts, keys, _] = &self.0;
        accounts.as_string_view().iter().zip(keys.as_string_view())
    }

    fn revisions(&self) -> &Int32Array {
        self.0[2].as_primitive()
    }
}

/// The corrections of one version of a table.
pub(super) struct Known {
    version: u64,
    files: HashSet<String>,
    /// Nothing: they are too many.
    corrections: Option<Arc<Corrections>>,
}

impl Known {
    pub fn corrections(&self) -> Option<Arc<Corrections>> {
        self.corrections.clone()
    }

    /// Those of the version that `table` stands at. Where files are gone (put together, erased, too old), all are read again: what
    /// they corrected may be the latest now.
    pub async fn of(
        before: Option<Known>,
        table: &DeltaTable,
        key: &str,
        session: &Arc<SessionState>,
    ) -> Result<Known, DeltaTableError> {
        let snapshot = table.snapshot()?.snapshot();
        let version = snapshot.version();
        let before = match before {
            Some(known) if known.version == version => return Ok(known),
            before => before,
        };
        let files: HashSet<String> = snapshot.try_log_data()?.iter().map(|file| file.path().into_owned()).collect();
        let mut scan = table.table_provider().with_session(Arc::clone(session));
        let corrections = match before.filter(|known| known.files.is_subset(&files)) {
            Some(Known { corrections: None, .. }) => return Ok(Known { version, files, corrections: None }),
            Some(known) => {
                scan = scan.with_file_paths(files.difference(&known.files));
                known.corrections
            }
            None => None,
        };
        let mut corrections = corrections.unwrap_or_default();
        let provider = scan.build().await?;
        let all = provider.schema();
        let wanted = [ACCOUNT, key, REVISION].map(|column| all.index_of(column));
        let wanted = wanted.into_iter().collect::<Result<Vec<_>, _>>()?;
        let corrected = col(REVISION).gt(lit(1));
        let plan = provider.scan(session.as_ref(), Some(&wanted), &[corrected], None).await?;
        let mut rows = execute_stream(plan, session.task_ctx())?;
        let known = Arc::make_mut(&mut corrections);
        let mut is_room = true;
        while let Some(batch) = rows.next().await
            && is_room
        {
            is_room = known.add(&batch?)?;
        }
        Ok(Known { version, files, corrections: is_room.then_some(corrections) })
    }
}

/// The view of `table` with what is known in the place of the search for later rows. As it was, where it has no such search.
pub(super) fn told(plan: LogicalPlan, table: &str, corrections: &Arc<Corrections>) -> Result<LogicalPlan> {
    let Some(key) = key(table) else { return Ok(plan) };
    let is_latest = match corrections.is_empty() {
        true => lit(true),
        false => {
            let columns = [ACCOUNT, key, REVISION].map(|name| Expr::Column(Column::new(Some(STORED), name)));
            ScalarUDF::from(IsLatest::new(Arc::clone(corrections))).call(columns.to_vec())
        }
    };
    let answered = |expr: Expr| {
        Ok(match expr {
            Expr::Exists(Exists { negated: true, .. }) => Transformed::yes(is_latest.clone()),
            other => Transformed::no(other),
        })
    };
    Ok(plan.transform_up(|node| node.map_expressions(|expr| expr.transform_up(answered)))?.data)
}

/// Whether a row is the latest of its key.
#[derive(Clone)]
struct IsLatest {
    corrections: Arc<Corrections>,
    signature: Signature,
}

impl IsLatest {
    fn new(corrections: Arc<Corrections>) -> IsLatest {
        IsLatest { corrections, signature: Signature::any(3, Volatility::Immutable) }
    }
}

impl fmt::Debug for IsLatest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsLatest").field("corrections", &self.corrections.highest.len()).finish()
    }
}

impl PartialEq for IsLatest {
    fn eq(&self, other: &IsLatest) -> bool {
        Arc::ptr_eq(&self.corrections, &other.corrections)
    }
}

impl Eq for IsLatest {}

impl Hash for IsLatest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.corrections).hash(state);
    }
}

impl ScalarUDFImpl for IsLatest {
    fn name(&self) -> &str {
        "is_latest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.into_iter().map(|column| column.into_array(rows)).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(self.corrections.latest(&Rows::of(&columns)?))))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;

    use super::*;

    fn rows(rows: &[(Option<&str>, Option<&str>, Option<i32>)]) -> Vec<Arc<dyn Array>> {
        let accounts: StringArray = rows.iter().map(|row| row.0).collect();
        let keys: StringArray = rows.iter().map(|row| row.1).collect();
        let revisions: Int32Array = rows.iter().map(|row| row.2).collect();
        vec![Arc::new(accounts), Arc::new(keys), Arc::new(revisions)]
    }

    #[test]
    fn accounts_are_told_apart_row_by_row() -> Result<()> {
        let mut known = Corrections::default();
        let names = ["account", "key", "revision"];
        let corrected = rows(&[(Some("acme"), Some("a"), Some(3)), (Some("globex"), Some("b"), Some(2))]);
        known.add(&RecordBatch::try_from_iter(names.into_iter().zip(corrected))?)?;
        let more =
            rows(&[(Some("acme"), Some("a"), Some(2)), (Some("acme"), Some("c"), Some(1)), (None, Some("b"), Some(9))]);
        known.add(&RecordBatch::try_from_iter_with_nullable(
            names.into_iter().zip(more).map(|(name, rows)| (name, rows, true)),
        )?)?;
        let asked = rows(&[
            (Some("acme"), Some("a"), Some(1)),
            (Some("acme"), Some("a"), Some(3)),
            (Some("globex"), Some("a"), Some(1)),
            (Some("globex"), Some("b"), Some(1)),
            (Some("acme"), Some("b"), Some(1)),
            (Some("acme"), Some("a"), Some(2)),
            // Where the account ends and the key begins counts, too.
            (Some("acm"), Some("ea"), Some(1)),
            (None, Some("a"), Some(1)),
            (Some("acme"), None, Some(1)),
            (Some("acme"), Some("a"), None),
        ]);
        let latest = known.latest(&Rows::of(&asked)?);
        let expected = [false, true, true, false, true, false, true, true, true, true];
        assert_eq!(latest, BooleanArray::from(expected.to_vec()));
        Ok(())
    }
}
