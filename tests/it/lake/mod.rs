//! The lake, from rows to what SQL reads, and what it does when its storage fails.

mod commit;
mod faults;
mod maintain;
mod rows;
mod schema;
mod speed;

use std::error::Error;
use std::sync::Arc;

use callweave::lake::delta::Access;
use callweave::lake::store::DurableStore;
use callweave::lake::table::RejectedRow;
use callweave::lake::{DayBatch, Lake, Mark, Table, TableName, location, rows_to_batches};
use callweave_core::time::{MICROS_PER_SECOND, Time};
use datafusion::prelude::SessionContext;
use object_store::ObjectStore;

pub type Outcome = Result<(), Box<dyn Error>>;

/// 2026-11-20T00:00:00Z.
pub const DAY: Time = Time(1_795_132_800 * MICROS_PER_SECOND);

pub async fn open(dir: &tempfile::TempDir) -> Result<Lake, Box<dyn Error>> {
    Ok(Lake::open(&dir.path().to_string_lossy()).await?)
}

pub async fn open_in(dir: &tempfile::TempDir, store: Arc<dyn ObjectStore>) -> Result<Lake, Box<dyn Error>> {
    let url = location::resolve(&dir.path().to_string_lossy(), true)?;
    Ok(Lake::with_store(url, store, Access::Write).await?)
}

pub fn local() -> Arc<dyn ObjectStore> {
    Arc::new(DurableStore::default())
}

/// `count` rows of `rejected`, the simplest table, a second apart.
pub fn rows(account: &'static str, first: usize, count: usize) -> Result<Vec<DayBatch>, Box<dyn Error>> {
    let rows: Vec<RejectedRow<'static>> = (first..first + count)
        .map(|n| RejectedRow {
            account: Some(account),
            reason: "is not JSON",
            path: "",
            source: "test".into(),
            received_at: DAY.plus(n as i64 * MICROS_PER_SECOND),
            raw: b"{",
        })
        .collect();
    Ok(rows_to_batches(&rows)?)
}

pub fn mark(app_id: &str, from: Option<i64>, to: i64) -> Mark {
    Mark { app_id: app_id.into(), from, to }
}

pub async fn sql(table: &Table, query: &str) -> Result<String, Box<dyn Error>> {
    let context = SessionContext::new();
    let latest = table.latest().await?;
    latest.update_datafusion_session(&context.state())?;
    context.register_table(table.name().name(), latest.table_provider().await?)?;
    let batches = context.sql(query).await?.collect().await?;
    Ok(arrow::util::pretty::pretty_format_batches(&batches)?.to_string())
}

/// How many rows the table has, as SQL counts them.
pub async fn count(table: &Table) -> Result<usize, Box<dyn Error>> {
    let text = sql(table, &format!("select count(*) as n from {}", table.name())).await?;
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}

pub fn rejected(lake: &Lake) -> &Table {
    lake.table(TableName::Rejected)
}
