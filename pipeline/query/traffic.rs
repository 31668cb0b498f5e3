//! The visits that a lake knows of, for `callweave pool plan`.

use callweave_core::id::Key;
use callweave_core::plan::Visit;
use callweave_core::time::Time;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::DataFusionError;
use futures::StreamExt;

use super::error::QueryError;
use super::session::QuerySession;

/// Which visits are meant.
#[derive(Debug, Clone, Default)]
pub struct TrafficOptions {
    /// A folder or a URL.
    pub lake: String,
    /// Nothing: that of the lake, which then must have one alone.
    pub account: Option<String>,
    /// A site's name (events of the source `web/NAME`) or its host. Nothing: all.
    pub site: Option<String>,
}

/// Sessions in the order of their beginnings, each from its start to its last sign of life.
pub async fn traffic(options: &TrafficOptions) -> Result<Vec<Visit>, QueryError> {
    let session = QuerySession::open(&options.lake)?;
    let sql = sql(options);
    let statement = session.admit(&sql)?.pop().ok_or(QueryError::NoQuery)?;
    let mut answer = session.answer(statement, &sql).await?;
    let told = |error: DataFusionError| QueryError::from_engine(error, &sql);
    let mut visits = Vec::new();
    let mut account: Option<String> = None;
    while let Some(batch) = answer.rows.next().await {
        let batch = batch.map_err(told)?;
        let column = |at: usize, kind: &DataType| cast(batch.column(at), kind);
        let (accounts, visitors) = (column(0, &DataType::Utf8)?, column(1, &DataType::Utf8)?);
        let (accounts, visitors) = (accounts.as_string::<i32>(), visitors.as_string::<i32>());
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let (from, to) = (column(2, &micros)?, column(3, &micros)?);
        let from = from.as_primitive::<TimestampMicrosecondType>();
        let to = to.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let of = accounts.value(row);
            if account.get_or_insert_with(|| of.to_owned()) != of {
                return Err(QueryError::Parameter {
                    flag: "--account",
                    problem: format!(
                        "is not given, and the lake has sessions of more than {of}: a pool is of one account"
                    ),
                });
            }
            let visitor = Key::of(&[visitors.value(row)]).0 as u64;
            visits.push(Visit { from: Time(from.value(row)), to: Time(to.value(row).max(from.value(row))), visitor });
        }
    }
    visits.sort_unstable();
    Ok(visits)
}

fn sql(options: &TrafficOptions) -> String {
    let mut sql = "SELECT s.account, s.visitor_id, s.started_at, s.ended_at FROM sessions AS s WHERE true".to_owned();
    if let Some(account) = &options.account {
        sql += &format!(" AND s.account = {}", quoted(account));
    }
    if let Some(site) = &options.site {
        // The host is what stands between the slashes and whatever ends it.
        sql += &format!(
            " AND EXISTS (SELECT 1 FROM page_views AS p WHERE p.account = s.account AND p.visitor_id = s.visitor_id \
             AND p.time >= s.started_at AND p.time <= s.ended_at AND (p.event_source = {} \
             OR lower(regexp_replace(p.url, '^[a-zA-Z]+://([^/?#:]+).*$', '\\1')) = {}))",
            quoted(&format!("web/{site}")),
            quoted(&site.to_ascii_lowercase())
        );
    }
    sql
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
