//! Whose rows a login sees, and what of them.
//!
//! [`Barrier`] stands between a stored table and everything that is asked of it. Its plan is a leaf: no rule of the engine
//! looks behind it, so that no condition of an asker is evaluated on a row of somebody else, where an error, a duration or
//! the count of rows of `EXPLAIN ANALYZE` would tell of it. Conditions that cannot fail are handed down as hints for
//! passing over files, and stand above the barrier all the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array,
};
use datafusion::arrow::compute::kernels::cmp::eq;
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, Result, ScalarValue, Statistics, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::error::QueryError;

const ACCOUNT: &str = "account";

/// What a login sees.
#[derive(Debug, Clone)]
pub struct Access {
    pub account: Arc<str>,
    /// Where it is there, people are hidden: see [`hidden`].
    pub mask: Option<MaskKey>,
}

/// What pseudonyms are made with: without it nobody can try all numbers that there are.
#[derive(Clone)]
pub struct MaskKey(Arc<[u8]>);

impl MaskKey {
    pub fn new(bytes: &[u8]) -> MaskKey {
        MaskKey(bytes.into())
    }

    /// A name that is the same wherever this account's rows have the same text, and tells nothing else: 64 bits of an
    /// HMAC-SHA-256 (RFC 2104).
    fn pseudonym(&self, account: &str, text: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return HIDDEN.to_owned() };
        mac.update(account.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        hash.iter().take(8).fold(String::from("person-"), |text, byte| format!("{text}{byte:02x}"))
    }

    /// What tells one key from another, and nothing of it.
    pub(super) fn mark(&self) -> String {
        self.pseudonym("", "the key of pseudonyms")
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What stands where no pseudonym can be made.
const HIDDEN: &str = "hidden";
/// What a text is supposed to take on average.
const TEXT_BYTES: usize = 24;
/// Values of a list that is handed down as a hint.
const HINT_VALUES_MAX: usize = 100;
/// A withheld number is nobody's.
const ANONYMOUS: &str = callweave_core::phone::ANONYMOUS;
/// A text with so many digits in a row holds a phone number, however it is written; an extension has fewer. E.164 knows none that are shorter.
const PHONE_DIGITS_MIN: usize = 7;
/// What stands between two numbers, and within none.
const BETWEEN_NUMBERS: [char; 6] = [',', ';', '&', '|', '@', ':'];

/// What becomes of a column that is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hide {
    /// Each person has a name of their own, so that they can still be counted and joined.
    Pseudonym,
    /// The same, of a text that holds a phone number; extensions, queues and names stay. Of an outbound call the destination, and whom a
    /// telephone system takes for the agent, may be the person who is called, in whatever way that system writes it (`sip:+1…@trunk`).
    Phone,
    /// Nothing is left.
    Empty,
}

/// The columns that name people or hold what they said, by table: phone numbers, network addresses, free text, recordings,
/// and the bytes of events that could not be used; and those that tell whose telephone it is to somebody who made a visitor ask to be called
/// at a number, which anybody can.
pub(super) fn hidden(table: &str, column: &str) -> Option<Hide> {
    match (table, column) {
        ("calls", "caller") | ("deals", "phone") => Some(Hide::Pseudonym),
        ("calls", "destination" | "agent") => Some(Hide::Phone),
        ("calls", "recording_url")
        | ("page_views", "ip" | "user_id" | "client_id")
        | ("call_candidates", "asked_for_callback" | "known_caller")
        | ("web_events", "properties")
        | ("notes", "comment")
        | ("transcripts", "segments")
        | ("rejected", "raw" | "reason") => Some(Hide::Empty),
        _ => None,
    }
}

/// A stored table as one login sees it.
#[derive(Debug)]
pub struct Barrier {
    table: Arc<str>,
    stored: Arc<dyn TableProvider>,
    access: Arc<Access>,
    account: usize,
}

impl Barrier {
    /// # Errors
    /// The table has no accounts: nobody's rows can be told from others'.
    pub fn new(table: &str, stored: Arc<dyn TableProvider>, access: Arc<Access>) -> Result<Barrier, QueryError> {
        let account = stored.schema().index_of(ACCOUNT).map_err(|error| QueryError::engine(error.into()))?;
        Ok(Barrier { table: table.into(), stored, access, account })
    }

    pub(super) fn stored(&self) -> &dyn TableProvider {
        self.stored.as_ref()
    }

    fn hides(&self, column: &str) -> Option<Hide> {
        self.access.mask.as_ref().and_then(|_| hidden(&self.table, column))
    }

    /// Whether a condition may be looked at below the barrier: it can neither fail nor tell what is hidden.
    fn is_harmless(&self, filter: &Expr) -> bool {
        let plain = |expr: &Expr| matches!(expr, Expr::Column(Column { name, .. }) if self.hides(name).is_none());
        let fixed = |expr: &Expr| matches!(expr, Expr::Literal(..));
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
                self.is_harmless(left) && self.is_harmless(right)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                matches!(
                    op,
                    Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
                ) && ((plain(left) && fixed(right)) || (fixed(left) && plain(right)))
            }
            Expr::Between(it) => plain(&it.expr) && fixed(&it.low) && fixed(&it.high),
            // More values pass over hardly any file, and the Delta reader makes a chain of them that it goes down by recursion.
            Expr::InList(it) => it.list.len() <= HINT_VALUES_MAX && plain(&it.expr) && it.list.iter().all(fixed),
            Expr::IsNull(it) | Expr::IsNotNull(it) => plain(it),
            _ => false,
        }
    }
}

impl TableProvider for Barrier {
    fn schema(&self) -> SchemaRef {
        self.stored.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let may = |filter: &&Expr| match self.is_harmless(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(may).collect())
    }

    // As `async_trait` has it: see `query`.
    fn scan<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        filters: &'d [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        self.boxed_read(state, projection, filters)
    }
}

impl Barrier {
    fn boxed_read<'f>(
        &'f self,
        state: &'f dyn Session,
        projection: Option<&'f Vec<usize>>,
        filters: &'f [Expr],
    ) -> BoxFuture<'f, Result<Arc<dyn ExecutionPlan>>> {
        self.read(state, projection, filters).boxed()
    }

    async fn read(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.stored.schema();
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let mut read = wanted.clone();
        let account = read.iter().position(|column| *column == self.account).unwrap_or_else(|| {
            read.push(self.account);
            read.len() - 1
        });
        let mine = col(ACCOUNT).eq(lit(&*self.access.account));
        let hints: Vec<Expr> =
            filters.iter().filter(|filter| self.is_harmless(filter)).cloned().chain([mine]).collect();
        let stored = in_parts(self.stored.scan(state, Some(&read), &hints, None).await?, state)?;
        let hides = wanted.iter().map(|column| self.hides(schema.field(*column).name())).collect();
        let shown = Arc::new(schema.project(&wanted)?);
        Ok(Arc::new(BarrierExec::new(Arc::clone(&self.table), stored, Arc::clone(&self.access), account, hides, shown)))
    }
}

/// Reads files in as many parts as the engine works in. It does so by itself where it sees files, but not behind the barrier.
fn in_parts(plan: Arc<dyn ExecutionPlan>, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let (parts, options) = (state.config().target_partitions(), state.config_options());
    if !options.optimizer.repartition_file_scans {
        return Ok(plan);
    }
    let split = |plan: Arc<dyn ExecutionPlan>| match plan.children().is_empty() {
        true => Ok(plan.repartitioned(parts, options)?.map_or_else(|| Transformed::no(plan), Transformed::yes)),
        false => Ok(Transformed::no(plan)),
    };
    Ok(plan.transform_up(split)?.data)
}

#[derive(Debug)]
pub(super) struct BarrierExec {
    table: Arc<str>,
    stored: Arc<dyn ExecutionPlan>,
    seer: Arc<Seer>,
    properties: Arc<PlanProperties>,
}

/// What is done to each batch.
#[derive(Debug)]
struct Seer {
    access: Arc<Access>,
    /// Where the account stands in what is read.
    account: usize,
    /// For each column that is shown; they come first in what is read.
    hides: Vec<Option<Hide>>,
    shown: SchemaRef,
}

impl BarrierExec {
    fn new(
        table: Arc<str>,
        stored: Arc<dyn ExecutionPlan>,
        access: Arc<Access>,
        account: usize,
        hides: Vec<Option<Hide>>,
        shown: SchemaRef,
    ) -> BarrierExec {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&shown)),
            Partitioning::UnknownPartitioning(stored.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        BarrierExec { table, stored, seer: Arc::new(Seer { access, account, hides, shown }), properties }
    }

    /// The same of what another machine said: `stored` reads the columns that are shown, `shown` of them, and the account.
    ///
    /// # Errors
    /// What is read has no account at `account`, or less columns than are shown.
    pub(super) fn over(
        table: &str,
        stored: Arc<dyn ExecutionPlan>,
        access: Arc<Access>,
        account: usize,
        shown: usize,
    ) -> Result<BarrierExec> {
        let schema = stored.schema();
        if schema.fields().get(account).is_none_or(|field| field.name() != ACCOUNT) {
            return plan_err!("what is read of {table} has no account at {account}");
        }
        let shown = Arc::new(schema.project(&(0..shown).collect::<Vec<_>>())?);
        let hides = |name: &str| access.mask.as_ref().and_then(|_| hidden(table, name));
        let hides = shown.fields().iter().map(|field| hides(field.name())).collect();
        Ok(BarrierExec::new(table.into(), stored, access, account, hides, shown))
    }

    /// Whether a column is shown as it is stored.
    pub(super) fn shows_as_stored(&self, column: usize) -> bool {
        let Seer { hides, shown, .. } = self.seer.as_ref();
        let stored = self.stored.schema();
        let types = (shown.fields().get(column), stored.fields().get(column));
        hides.get(column) == Some(&None) && matches!(types, (Some(a), Some(b)) if a.data_type() == b.data_type())
    }

    /// The same before a part of the files.
    pub(super) fn with_stored(&self, stored: Arc<dyn ExecutionPlan>) -> BarrierExec {
        let Seer { access, account, hides, shown } = self.seer.as_ref();
        let (table, access, shown) = (Arc::clone(&self.table), Arc::clone(access), Arc::clone(shown));
        BarrierExec::new(table, stored, access, *account, hides.clone(), shown)
    }

    pub(super) fn table(&self) -> &str {
        &self.table
    }

    pub(super) fn stored(&self) -> &Arc<dyn ExecutionPlan> {
        &self.stored
    }

    pub(super) fn access(&self) -> &Access {
        &self.seer.access
    }

    /// Where the account stands in what is read.
    pub(super) fn account_at(&self) -> usize {
        self.seer.account
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountScan: table={}, account={}", self.table, self.seer.access.account)
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "AccountScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// None: nothing looks behind it.
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// How many rows there may be, so that joins begin with the smaller side. Rows of others in the same files are among them:
    /// only the order of magnitude is told, which the choice of a plan shows.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let stored = StatisticsContext::new().compute(self.stored.as_ref(), args)?;
        let mut told = Statistics::new_unknown(&self.seer.shown);
        if let Some(&rows) = stored.num_rows.get_value() {
            let rows = magnitude(rows);
            told.num_rows = Precision::Inexact(rows);
            told.total_byte_size = Precision::Inexact(rows.saturating_mul(row_bytes(&self.seer.shown)));
        }
        Ok(Arc::new(told))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let seer = Arc::clone(&self.seer);
        let rows = self.stored.execute(partition, context)?.map(move |batch| seer.see(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.seer.shown), rows)))
    }
}

/// About how long a row is: the engine compares sides of a join by bytes.
fn row_bytes(schema: &SchemaRef) -> usize {
    schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES)).sum()
}

/// The next power of ten.
fn magnitude(rows: usize) -> usize {
    (0..).map_while(|digits| 10usize.checked_pow(digits)).find(|it| *it >= rows).unwrap_or(rows)
}

/// Whether a text holds a phone number, by its digits: what else stands between them (`+1 (212) 555-9177`) does not part them, unless it is a
/// letter or stands between numbers.
fn holds_phone(text: &str) -> bool {
    let mut digits = 0;
    text.chars().any(|letter| {
        if letter.is_numeric() {
            digits += 1;
        } else if letter.is_alphabetic() || BETWEEN_NUMBERS.contains(&letter) {
            digits = 0;
        }
        digits >= PHONE_DIGITS_MIN
    })
}

impl Seer {
    fn see(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let accounts = batch.column(self.account);
        let name = ScalarValue::Utf8(Some(self.access.account.to_string())).cast_to(accounts.data_type())?;
        let is_mine = eq(accounts, &name.to_scalar()?)?;
        // In most files all rows are of one account: nothing is copied then.
        let mine = match is_mine.null_count() == 0 && is_mine.true_count() == batch.num_rows() {
            true => batch.clone(),
            false => filter_record_batch(batch, &is_mine)?,
        };
        let columns = self.hides.iter().zip(self.shown.fields()).zip(mine.columns());
        let columns: Result<Vec<ArrayRef>> = columns
            .map(|((hide, field), column)| match hide {
                None if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
                None => Ok(cast(column, field.data_type())?),
                Some(Hide::Empty) => Ok(new_null_array(field.data_type(), column.len())),
                Some(Hide::Pseudonym) => Ok(cast(&self.pseudonyms(column, |_| true)?, field.data_type())?),
                Some(Hide::Phone) => Ok(cast(&self.pseudonyms(column, holds_phone)?, field.data_type())?),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(mine.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.shown), columns?, &options)?)
    }

    fn pseudonyms(&self, column: &ArrayRef, is_hidden: impl Fn(&str) -> bool) -> Result<ArrayRef, DataFusionError> {
        let texts = cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        // A person calls more than once.
        let mut known: HashMap<&str, String> = HashMap::new();
        let mut names = StringBuilder::with_capacity(texts.len(), texts.len() * 23);
        for text in texts {
            match text {
                None => names.append_null(),
                Some(ANONYMOUS) => names.append_value(ANONYMOUS),
                Some(text) if !is_hidden(text) => names.append_value(text),
                Some(text) => names.append_value(known.entry(text).or_insert_with(|| match &self.access.mask {
                    Some(key) => key.pseudonym(&self.access.account, text),
                    None => HIDDEN.to_owned(),
                })),
            }
        }
        Ok(Arc::new(names.finish()))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::datasource::MemTable;
    use datafusion::physical_plan::ExecutionPlanProperties;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;
    use crate::lake::column::Erase;
    use crate::lake::table::TableName;

    /// What is erased of a person is hidden from those who must not see people, unless it is here.
    const SHOWN: [(&str, &str); 9] = [
        ("calls", "click_id"),
        ("calls", "city"),
        ("sessions", "click_id"),
        ("sessions", "city"),
        ("page_views", "city"),
        ("page_views", "click_id"),
        ("page_views", "user_agent"),
        ("page_views", "title"),
        ("page_views", "consent"),
    ];

    #[tokio::test]
    async fn files_behind_the_barrier_are_read_in_parts() -> Result<()> {
        let accounts = |of: &str| Arc::new(StringArray::from(vec![of; 8192])) as ArrayRef;
        let batches = ["acme", "beta", "acme", "acme"].map(|of| RecordBatch::try_from_iter([(ACCOUNT, accounts(of))]));
        let batches = batches.into_iter().collect::<Result<Vec<_>, _>>()?;
        let stored = Arc::new(MemTable::try_new(batches[0].schema(), vec![batches])?);
        let access = Arc::new(Access { account: "acme".into(), mask: None });
        let barrier = Barrier::new("calls", stored, access).map_err(|error| DataFusionError::External(error.into()))?;
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        let plan = barrier.scan(&context.state(), None, &[], None).await?;
        assert_eq!(plan.output_partitioning().partition_count(), 2);
        let rows = datafusion::physical_plan::collect(plan, context.task_ctx()).await?;
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3 * 8192);
        Ok(())
    }

    #[test]
    fn what_names_people_is_hidden() {
        for table in TableName::ALL {
            for column in table.definition().columns {
                let name = (table.name(), column.name);
                let hide = hidden(table.name(), column.name);
                match column.erase {
                    Erase::Phone => assert_eq!(hide, Some(Hide::Pseudonym), "{name:?}"),
                    Erase::Null if SHOWN.contains(&name) => assert_eq!(hide, None, "{name:?}"),
                    Erase::Null | Erase::Telling => assert_eq!(hide, Some(Hide::Empty), "{name:?}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn who_asked_to_be_called_is_hidden() {
        for column in ["asked_for_callback", "known_caller"] {
            assert_eq!(hidden("call_candidates", column), Some(Hide::Empty), "{column}");
        }
    }

    #[test]
    fn a_number_is_one_however_it_is_written() {
        for phone in [
            "+12125559177",
            "12125559177",
            "0012125559177",
            "2125559177",
            "5559177",
            "tel:+12125559177",
            "sip:+12125559177@trunk.example",
            "sip:12125559177@x;user=phone",
            "PJSIP/+12125559177@trunk",
            "SIP/trunk/2125559177",
            "+1 (212) 555-9177",
            "212.555.9177",
            "+1\u{a0}212\u{2011}555\u{2011}9177",
            "\u{202a}+12125559177\u{202c}",
            " +12125559177",
            "+12125559177;ext=5",
            "+12125559177,,5",
            "٠٢١٢٥٥٥٩١٧٧",
        ] {
            assert!(holds_phone(phone), "{phone}");
        }
        for other in [
            "",
            "anonymous",
            "101",
            "sip:101@pbx.example",
            "PJSIP/101",
            "SIP/101&SIP/102&SIP/103",
            "101,102,103",
            "101:5060",
            "Sales 2",
            "queue-450",
            "anna.smith@acme.example",
            "agent 4711",
        ] {
            assert!(!holds_phone(other), "{other}");
        }
    }

    #[test]
    fn pseudonyms_tell_people_apart_and_nothing_else() {
        let key = MaskKey::new(b"a key");
        let one = key.pseudonym("acme", "+14155550123");
        assert_eq!(one, key.pseudonym("acme", "+14155550123"));
        assert_ne!(one, key.pseudonym("acme", "+14155550124"));
        assert_ne!(one, key.pseudonym("beta", "+14155550123"));
        assert_ne!(one, MaskKey::new(b"another").pseudonym("acme", "+14155550123"));
        assert!(one.starts_with("person-") && one.len() == 23, "{one}");
    }
}
