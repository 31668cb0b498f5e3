//! The whole way of a question, over small lakes in temporary folders.

mod checks;
mod corrections;
mod measures;
mod newest;
mod reports;
mod slt;
mod spill;

use std::path::Path;

use callweave_core::phone::Phone;
use callweave_core::row::LeaseRow;
use callweave_core::time::{MICROS_PER_DAY, Time};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::ReaderBuilder;
use deltalake_core::DeltaTable;
use deltalake_core::table::builder::ensure_table_uri;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::format::Format;
use super::library::STAGING;
use super::output::{Shape, pump};
use super::report::ReportOptions;
use super::session::QuerySession;
use super::tables::schema;
use super::{QueryError, SqlOptions};
use crate::lake::{Lake, TableName, rows_to_batches};

type Failure = Box<dyn std::error::Error>;

/// Appends rows to a table of the lake, as one commit. A column that is not said is null.
async fn write(lake: &Path, table: &str, rows: &[Value]) -> Result<(), Failure> {
    let schema = schema(table).ok_or("no such table")?;
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let batches: Vec<RecordBatch> = ReaderBuilder::new(schema).build(lines.as_bytes())?.collect::<Result<_, _>>()?;
    let url = ensure_table_uri(lake.join(table).to_string_lossy())?;
    DeltaTable::try_from_url(url).await?.write(batches).with_partition_columns(["date"]).await?;
    Ok(())
}

fn session(id: &str, revision: i32, at: &str, source: &str, device: &str) -> Value {
    json!({
        "account": "acme", "session_id": id, "revision": revision, "retracted": false, "visitor_id": format!("v-{id}"),
        "visit_number": 1, "started_at": at, "ended_at": at, "date": &at[..10], "pages": 1, "channel": "Paid Search",
        "source": source, "medium": "cpc", "device": device, "landing_page": format!("https://a.example/{source}?x=1"),
    })
}

fn call(id: &str, revision: i32, at: &str, caller: &str) -> Value {
    json!({
        "account": "acme", "call_id": id, "revision": revision, "direction": "inbound", "started_at": at,
        "date": &at[..10], "caller": caller, "tracking_number": "+14155550100", "outcome": "missed",
        "talk_seconds": 0.0, "ring_seconds": 8.0, "in_business_hours": true, "attribution_method": "none",
        "candidates": 0, "is_unique": false, "is_target": false, "is_repeated": false, "is_first_target": false,
        "is_unique_target": false,
    })
}

fn with(mut row: Value, more: Value) -> Value {
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
    row
}

fn joined(row: Value, session: &str, source: &str, method: &str, confidence: f64) -> Value {
    with(
        row,
        json!({
            "session_id": session, "visitor_id": format!("v-{session}"), "attribution_method": method, "attribution_confidence": confidence,
            "source_confidence": confidence, "candidates": 1, "channel": "Paid Search", "source": source,
            "medium": "cpc", "landing_page": format!("https://a.example/{source}?x=2"), "lease_id": "l1",
        }),
    )
}

/// Two callers, four calls that count, three sessions that exist.
async fn small() -> Result<TempDir, Failure> {
    let dir = TempDir::new()?;
    let lake = dir.path();
    let first = json!({"outcome": "answered", "talk_seconds": 60.0, "is_unique": true, "is_target": true,
        "is_first_target": true, "is_unique_target": true, "caller_calls": 1});
    let again = json!({"outcome": "answered", "talk_seconds": 45.0, "is_repeated": true, "caller_calls": 2});
    let a1 =
        joined(with(call("a1", 1, "2026-11-20T23:59:50Z", "+4930111"), first.clone()), "s1", "google", "lease", 0.9);
    // A correction moved this call's start over midnight, into another partition.
    let a1_moved = joined(with(call("a1", 2, "2026-11-21T00:00:05Z", "+4930111"), first), "s1", "google", "lease", 0.9);
    let a2 = joined(with(call("a2", 1, "2026-11-22T09:00:00Z", "+4930111"), again), "s4", "google", "window", 0.5);
    let a2 = with(a2, json!({"lease_id": null}));
    let b1 = with(call("b1", 1, "2026-11-21T12:00:00Z", "+4930222"), json!({"is_unique": true, "caller_calls": 1}));
    let x1 = call("x1", 1, "2026-11-21T13:00:00Z", "anonymous");
    let other = with(b1.clone(), json!({"account": "globex", "call_id": "a1"}));
    write(lake, "calls", &[a1, b1]).await?;
    write(lake, "calls", &[a1_moved, a2]).await?;
    write(lake, "calls", &[x1, other]).await?;
    let s3 = session("s3", 1, "2026-11-21T08:00:00Z", "bing", "desktop");
    let s3_gone = with(s3.clone(), json!({"revision": 2, "retracted": true}));
    let s5_gone = with(session("s5", 1, "2026-11-22T08:00:00Z", "bing", "desktop"), json!({"retracted": true}));
    let s5_back = session("s5", 2, "2026-11-22T08:00:00Z", "bing", "tablet");
    write(lake, "sessions", &[session("s1", 1, "2026-11-20T23:50:00Z", "google", "mobile"), s3, s5_gone]).await?;
    write(lake, "sessions", &[s3_gone, s5_back, session("s4", 1, "2026-11-22T08:30:00Z", "google", "mobile")]).await?;
    let lease = json!({"account": "acme", "lease_id": "l1", "revision": 1, "pool": "p", "number": "+14155550100",
        "visitor_id": "v-s1", "session_id": "s1", "granted_at": "2026-11-20T23:50:00Z", "renewals": 0,
        "expires_at": "2026-11-21T00:20:00Z", "date": "2026-11-20"});
    write(lake, "leases", std::slice::from_ref(&lease)).await?;
    write(lake, "leases", &[with(lease, json!({"revision": 2, "renewals": 1}))]).await?;
    let view = json!({"account": "acme", "time": "2026-11-20T23:50:00Z", "event_id": "e1", "event_source": "web",
        "visitor_id": "v-s1", "numbers": ["+14155550100"], "date": "2026-11-20"});
    write(lake, "page_views", &[view]).await?;
    let rejected = json!({"date": "2026-11-21", "raw": "ff00fe", "reason": "not JSON", "source": "file:1",
        "received_at": "2026-11-21T10:00:00Z"});
    write(lake, "rejected", &[rejected]).await?;
    Ok(dir)
}

fn open(dir: &TempDir) -> Result<QuerySession, QueryError> {
    QuerySession::open(&dir.path().to_string_lossy())
}

/// The answer as CSV without its header.
async fn ask(session: &QuerySession, sql: &str) -> Result<String, QueryError> {
    let mut statements = session.admit(sql)?;
    let answer = session.answer(statements.pop().ok_or(QueryError::NoQuery)?, sql).await?;
    let (_, bytes) = pump(answer, Shape::new(Format::Csv, None, None), sql, Vec::new()).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.split_once('\n').map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn subqueries_that_cannot_be_worked_on_are_refused_in_words() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    for sql in [
        "SELECT l.x FROM calls c, LATERAL (SELECT s.source AS x FROM sessions s WHERE s.session_id = c.session_id ORDER BY s.started_at LIMIT 1) l",
        "SELECT count(*) FROM calls c WHERE talk_seconds > (SELECT avg(talk_seconds) FROM calls d WHERE d.started_at < c.started_at)",
    ] {
        let Err(error) = ask(&session, sql).await else { return Err(format!("{sql} is answered").into()) };
        let told = error.to_string();
        assert!(told.contains("number them with row_number() OVER"), "{sql}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn only_what_counts_is_seen() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    let calls = "acme,a1,2,2026-11-21\nacme,a2,1,2026-11-22\nacme,b1,1,2026-11-21\nacme,x1,1,2026-11-21\nglobex,a1,1,2026-11-21\n";
    for (sql, expected) in [
        ("SELECT account, call_id, revision, date FROM calls ORDER BY account, call_id", calls),
        // The first revision is on that day, but it does not count: the call has moved to the next.
        ("SELECT call_id FROM calls WHERE date = '2026-11-20'", ""),
        ("SELECT call_id FROM calls WHERE started_at < '2026-11-21T00:00:00Z'", ""),
        ("SELECT call_id FROM calls WHERE date = '2026-11-21' AND call_id = 'a1' AND account = 'acme'", "a1\n"),
        ("SELECT call_id FROM calls WHERE revision = 1 AND call_id = 'a1'", "a1\n"),
        ("SELECT count(*) FROM history.calls", "6\n"),
        ("SELECT session_id, device FROM sessions ORDER BY 1", "s1,mobile\ns4,mobile\ns5,tablet\n"),
        ("SELECT session_id FROM sessions WHERE NOT retracted AND session_id = 's3'", ""),
        ("SELECT session_id FROM sessions WHERE revision = 1 AND session_id = 's5'", ""),
        ("SELECT count(*) FROM history.sessions", "6\n"),
        ("SELECT lease_id, renewals FROM leases", "l1,1\n"),
        ("SELECT count(*) FROM calls c JOIN sessions s USING (account, session_id)", "2\n"),
        ("SELECT event_id, numbers FROM page_views", "e1,\"[\"\"+14155550100\"\"]\"\n"),
        ("SELECT started_at FROM calls WHERE call_id = 'a1' AND account = 'acme'", "2026-11-21T00:00:05.000000Z\n"),
        ("SELECT count(*) FROM deals", "0\n"),
        // Marts that no table is called as.
        ("SELECT count(*) FROM touchpoints JOIN Callers ON calls > 0", "6\n"),
        ("WITH pools AS (SELECT 1 AS one) SELECT count(one) FROM pools JOIN numbers ON true", "2\n"),
        // The bytes, of what is no text.
        (
            "SELECT length(raw), octet_length(raw), octet_length('ä') FROM rejected WHERE length(raw) > 2 AND octet_length(reason) = 8",
            "3,3,2\n",
        ),
        ("SELECT octet_length(NULL) IS NULL, octet_length(1234), octet_length(CAST('ä' AS VARCHAR))", "true,4,2\n"),
        ("SELECT started_at > now() - INTERVAL '1 day' FROM sessions WHERE false", ""),
    ] {
        assert_eq!(ask(&session, sql).await?, expected, "{sql}");
    }
    Ok(())
}

/// Each gave all rows: the Delta reader keeps files whose partition makes a condition NULL.
#[tokio::test]
async fn what_is_null_is_not_met() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    for nothing in [
        "account = 'acme' AND NULL",
        "is_unique IS NOT NULL AND 1 = NULL",
        "date >= DATE '2020-01-01' AND date = NULL",
        "account = 'acme' AND outcome = nullif('a', 'a')",
        "date = '2020-01-01' OR NULL",
        "CASE WHEN date > '2030-01-01' THEN true END AND account IS NOT NULL",
        "nullif(date, date) = date",
        "date IN ('2020-01-01', NULL)",
        "date NOT IN ('2020-01-01', NULL)",
        "date BETWEEN '2020-01-01' AND NULL",
    ] {
        assert_eq!(ask(&session, &format!("SELECT count(*) FROM calls WHERE {nothing}")).await?, "0\n", "{nothing}");
    }
    for (some, count) in [
        ("NOT (date > '2030-01-01' AND NULL)", 5),
        ("date IN ('2026-11-22', NULL)", 1),
        ("date < '2026-11-22' OR NULL", 4),
    ] {
        let told = ask(&session, &format!("SELECT count(*) FROM calls WHERE {some}")).await?;
        assert_eq!(told, format!("{count}\n"), "{some}");
    }
    Ok(())
}

#[tokio::test]
async fn a_column_that_using_names_is_one() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    let (a, b) = ("(VALUES ('x', 1), ('y', 2)) AS a(k, n)", "(VALUES ('y', 3), ('z', 4)) AS b(k, m)");
    let joined = |kind: &str| format!("{a} {kind} JOIN {b} USING (k)");
    let (right, full) = (joined("RIGHT"), joined("FULL"));
    for (sql, expected) in [
        (format!("SELECT k, n, m FROM {right} ORDER BY k"), "y,2,3\nz,,4\n"),
        (format!("SELECT * FROM {full} ORDER BY k"), "x,1,\ny,2,3\nz,,4\n"),
        (
            format!("SELECT k, count(*) FROM {full} WHERE k <> 'x' GROUP BY k HAVING k IS NOT NULL ORDER BY k"),
            "y,1\nz,1\n",
        ),
        (format!("SELECT n FROM {} WHERE k = 'y'", joined("LEFT")), "2\n"),
        (format!("EXPLAIN SELECT n FROM {} WHERE k = 'q' AND false", joined("INNER")), ""),
        (format!("SELECT upper(k) AS k FROM {full} ORDER BY k DESC LIMIT 1"), "Z\n"),
    ] {
        let told = ask(&session, &sql).await?;
        assert!(told == expected || sql.starts_with("EXPLAIN") && !told.is_empty(), "{sql}: {told}");
    }
    let joined = "calls c JOIN sessions s USING (account, session_id)";
    let sql =
        format!("SELECT account, count(*) FROM {joined} WHERE account = 'acme' AND session_id > '' GROUP BY account");
    assert_eq!(ask(&session, &sql).await?, "acme,2\n");
    Ok(())
}

/// Each is another answer in the engine as it is (the first is of sides that were swapped).
#[tokio::test]
async fn answers_are_those_of_postgresql() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    let deals = "(VALUES (CAST('526.42' AS DECIMAL(18,6))), (CAST('17.1' AS DECIMAL(18,6)))) AS d(revenue)";
    let times = "(VALUES (TIMESTAMP '2026-11-02 10:40:00')) AS t(at)";
    let rows = "(SELECT value, row_number() OVER (ORDER BY value) AS n FROM generate_series(1, 12))";
    for (sql, expected) in [
        ("SELECT count(*) FROM calls a RIGHT JOIN sessions b ON a.session_id = b.session_id AND a.account = b.account \
          WHERE a.session_id IS NULL".to_owned(), "1"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue = 526.42"), "1"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue >= 17.1 AND revenue < 17.2"), "1"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue BETWEEN 17.1 AND 17.1"), "1"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue IN (1.5, 17.1, 526.42)"), "2"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue <> 526.4200001"), "2"),
        (format!("SELECT count(*) FROM {deals} WHERE revenue * 2 = 1052.84"), "1"),
        (format!("SELECT count(*) FROM (SELECT sum(revenue) AS total FROM {deals}) WHERE total IN (1, 543.52)"), "1"),
        (format!("SELECT count(*) FROM {deals} WHERE NULLIF(revenue, 526.42) IS NULL OR CASE revenue WHEN 17.1 THEN true END"), "2"),
        (format!("SELECT at - TIMESTAMP '2026-10-30 10:00:00' > INTERVAL '1 day' FROM {times}"), "true"),
        (format!("SELECT at - TIMESTAMP '2026-10-30 10:00:00' < INTERVAL '20 days' FROM {times}"), "true"),
        (format!("SELECT at - TIMESTAMP '2026-11-02 10:39:00' BETWEEN '30 seconds' AND '1 minute' FROM {times}"), "true"),
        ("SELECT INTERVAL '1 day' = INTERVAL '24 hours', INTERVAL '25 hours' > INTERVAL '1 day'".to_owned(), "true,true"),
        (format!("SELECT at < DATE '2026-11-02' + INTERVAL '11 hours' FROM {times}"), "true"),
        ("SELECT DATE '2026-11-01' + INTERVAL '1 month'".to_owned(), "2026-12-01"),
        ("SELECT CAST(2.7 AS INT), CAST(CAST('524.58' AS DECIMAL(9,2)) AS BIGINT), CAST(-0.6 AS INT)".to_owned(), "3,525,-1"),
        (format!("SELECT extract(hour FROM at) + extract(minute FROM at) / 40 FROM {times}"), "11.0"),
        (format!("SELECT count(DISTINCT (n - 1) / 5) FROM {rows}"), "3"),
        (format!("SELECT at + (-INTERVAL '1 day 5 hours') FROM {times}"), "2026-11-01T05:40:00.000000"),
        ("SELECT count(*) FROM calls WHERE source IN ('google', 'bing') AND source NOT IN ('direct', NULL)".to_owned(), "0"),
        ("SELECT count(*) FROM calls WHERE 9223372036854775800 + revision > 0".to_owned(), "5"),
        ("SELECT extract(second FROM TIMESTAMP '2026-11-02 10:00:41.5')".to_owned(), "41.5"),
        ("SELECT extract(second FROM TIMESTAMP '2026-11-02 10:01:41.5' - TIMESTAMP '2026-11-02 10:00:00.25')".to_owned(), "41.25"),
        ("SELECT substring('https://a.example/x' FROM '//([^/]+)'), substring('ab12' FROM '[0-9]+'), substring('ab' FROM 2)".to_owned(), "a.example,12,b"),
        ("SELECT min(n) FROM (SELECT row_number() OVER (ORDER BY -length(call_id)) AS n FROM calls)".to_owned(), "1"),
        ("SELECT count(*) FROM (SELECT call_id FROM calls ORDER BY -length(call_id), -extract(epoch FROM started_at))".to_owned(), "5"),
    ] {
        assert_eq!(ask(&session, &sql).await?, format!("{expected}\n"), "{sql}");
    }
    // All but the first fail while a file is read.
    for (sql, code, words) in [
        ("SELECT revision * 9223372036854775807 * 2 FROM calls", "22003", "Overflow happened on"),
        ("SELECT count(*) FROM calls WHERE revision * 9223372036854775807 * 2 > 2", "22003", "Overflow happened on"),
        ("SELECT abs(-9223372036854775807 - revision) FROM calls", "22003", "verflow"),
        ("SELECT count(*) FROM calls WHERE 10 / (revision - revision) > 0", "22012", "division by zero"),
        ("SELECT count(*) FROM calls WHERE CAST(call_id || '\"' AS INT) > 0", "22P02", "Cannot cast string 'x1\"'"),
    ] {
        let refused = ask(&session, sql).await.expect_err("no such value");
        match refused {
            QueryError::Data { code: told, message } => {
                assert_eq!(told, code, "{sql}");
                assert!(message.contains(words), "{sql}: {message}");
            }
            _ => panic!("{sql}: {refused}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn subqueries_that_look_around_are_answered_rightly_or_not_at_all() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    let rows = "(VALUES (1), (5), (NULL)) q(x)";
    let sets = "(VALUES (1), (1), (NULL)) t(i)";
    for (condition, expected) in [
        (format!("EXISTS (SELECT count(*) FROM {sets} WHERE i = q.x)"), "1 5 NULL"),
        (format!("NOT EXISTS (SELECT max(i) FROM {sets} WHERE i = q.x)"), ""),
        (format!("EXISTS (SELECT 1 FROM {sets} WHERE i = q.x HAVING count(*) = 0)"), "5 NULL"),
        (format!("NOT EXISTS (SELECT 1 FROM {sets} WHERE i = q.x HAVING count(*) > 1)"), "5 NULL"),
        (format!("0 IN (SELECT count(*) FROM {sets} WHERE i = q.x)"), "5 NULL"),
        (format!("0 NOT IN (SELECT count(*) FROM {sets} WHERE i = q.x)"), "1"),
        (format!("x NOT IN (SELECT max(i) FROM {sets} WHERE i = q.x)"), ""),
        (format!("x IN (SELECT i FROM {sets} WHERE i = q.x GROUP BY i HAVING count(*) > 1)"), "1"),
        (format!("NOT EXISTS (SELECT i FROM {sets} WHERE i = q.x)"), "5 NULL"),
        (format!("x NOT IN (SELECT i FROM {sets} WHERE i > 1)"), "1 5 NULL"),
    ] {
        let sql = format!(
            "SELECT coalesce(string_agg(coalesce(x::text, 'NULL'), ' ' ORDER BY x), '') FROM {rows} WHERE {condition}"
        );
        assert_eq!(ask(&session, &sql).await?.trim_matches(['"', '\n']), expected, "{condition}");
    }
    let two = "EXISTS (SELECT 1 FROM deals d, tags t WHERE d.call_id = c.call_id AND t.call_id = c.call_id)";
    for (condition, expected) in [
        (two.to_owned(), "two tables by columns of one name"),
        (
            "c.session_id NOT IN (SELECT s.session_id FROM sessions s WHERE s.account = c.account)".to_owned(),
            "NOT EXISTS",
        ),
        (
            "NOT (c.session_id IN (SELECT s.session_id FROM sessions s WHERE s.account = c.account))".to_owned(),
            "NOT EXISTS",
        ),
        ("EXISTS (SELECT 1 FROM sessions s WHERE s.session_id = c.session_id OFFSET 1)".to_owned(), "OFFSET"),
        (
            "EXISTS (SELECT DISTINCT count(*) FROM sessions s WHERE s.session_id = c.session_id)".to_owned(),
            "makes one of all its rows",
        ),
    ] {
        let refused = ask(&session, &format!("SELECT count(*) FROM calls c WHERE {condition}")).await;
        let refused = refused.expect_err("a wrong answer").to_string();
        assert!(refused.contains(expected), "{condition}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn views_have_the_columns_of_their_tables_in_order() -> Result<(), Failure> {
    let (dir, empty) = (TempDir::new()?, TempDir::new()?);
    Lake::open(&dir.path().to_string_lossy()).await?;
    let (session, empty) = (open(&dir)?, open(&empty)?);
    for text in STAGING {
        let mut seen = Vec::new();
        for (session, schema) in [(&session, "history"), (&session, "public"), (&empty, "history"), (&empty, "public")]
        {
            let statement = session.admit(&format!("SELECT * FROM {schema}.{}", text.name))?.remove(0);
            let answer = session.answer(statement, "").await?;
            seen.push(answer.schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>());
        }
        assert!(seen.iter().all(|names| names == &seen[0]), "queries/staging/{}.sql: {seen:#?}", text.name);
    }
    Ok(())
}

#[tokio::test]
async fn filters_reach_the_scan_of_what_is_asked_for() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    for (filter, part) in [
        ("date = '2026-11-22'", "date=2026-11-22"),
        ("started_at >= '2026-11-22T00:00:00Z'", "date=2026-11-22"),
        ("date = '2026-11-20' AND account = 'acme'", "date=2026-11-20"),
    ] {
        let plan = ask(&session, &format!("EXPLAIN SELECT call_id FROM calls WHERE {filter}")).await?;
        let scans: Vec<&str> =
            plan.lines().filter_map(|line| line.split_once("file_groups=")).map(|(_, files)| files).collect();
        assert_eq!(scans.len(), 1, "{filter}: {plan}");
        for scan in scans {
            assert!(scan.matches(".parquet").count() == 1 && scan.contains(part), "{filter}: {scan}");
        }
        assert!(!filter.contains("account") || plan.contains("required_guarantees=[account in (acme)]"), "{plan}");
    }
    Ok(())
}

/// The same with files that the lake module itself wrote: the statistics it keeps are enough to skip them.
#[tokio::test]
async fn files_without_later_revisions_are_skipped() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let lake = Lake::open(&dir.path().to_string_lossy()).await?;
    let table = lake.table(TableName::Leases);
    let row = |lease: &str, revision: u32, day: i64| LeaseRow {
        account: "acme".into(),
        lease_id: lease.into(),
        revision,
        pool: "p".into(),
        number: Phone(14155550100),
        extension: None,
        visitor_id: "v".into(),
        session_id: None,
        granted_at: Time(day * MICROS_PER_DAY),
        expires_at: Time(day * MICROS_PER_DAY + 1),
        released_at: None,
        renewals: revision - 1,
    };
    for rows in [vec![row("a", 1, 20_000), row("b", 1, 20_001)], vec![row("a", 2, 20_000)], vec![row("c", 1, 20_002)]] {
        let adds = table.write(rows_to_batches(&rows)?).await?;
        table.commit(&adds, &[]).await?;
    }
    let session = open(&dir)?;
    assert_eq!(ask(&session, "SELECT lease_id, renewals FROM leases ORDER BY 1").await?, "a,1\nb,0\nc,0\n");
    let plan = ask(&session, "EXPLAIN SELECT lease_id FROM leases WHERE granted_at >= '2024-10-06T00:00:00Z'").await?;
    let scans: Vec<&str> = plan.lines().filter(|line| line.contains("file_groups=")).collect();
    assert_eq!(scans.len(), 1, "{plan}");
    assert!(scans.iter().all(|scan| scan.matches(".parquet").count() == 1), "{plan}");
    assert_eq!(ask(&session, "SELECT count(*) FROM calls").await?, "0\n");
    Ok(())
}

#[tokio::test]
async fn every_query_sees_what_was_written_before_it() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let session = open(&dir)?;
    let count = "SELECT count(*) FROM calls";
    assert_eq!(ask(&session, count).await?, "0\n");
    for n in 1..=3 {
        write(dir.path(), "calls", &[call(&format!("c{n}"), 1, "2026-11-20T10:00:00Z", "+491")]).await?;
        assert_eq!(ask(&session, count).await?, format!("{n}\n"));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_outside_the_lake_is_reached() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    let secret = dir.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n")?;
    let path = secret.to_string_lossy();
    for sql in [
        format!("SELECT * FROM '{path}'"),
        format!("SELECT * FROM \"{path}\""),
        format!("SELECT * FROM \"file://{path}\""),
        format!("SELECT * FROM read_csv('{path}')"),
        format!("SELECT * FROM read_parquet('{path}')"),
        "SELECT * FROM parquet_metadata('x')".to_owned(),
        "SELECT * FROM 'https://example.invalid/x.parquet'".to_owned(),
        "SELECT input_file_name() FROM calls".to_owned(),
        "SELECT getenv('HOME')".to_owned(),
        "SELECT @@version".to_owned(),
        "SELECT pg_read_file('/etc/passwd')".to_owned(),
    ] {
        assert!(ask(&session, &sql).await.is_err(), "{sql}");
    }
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path())?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    left.sort();
    assert_eq!(left, ["calls", "leases", "page_views", "rejected", "secret.csv", "sessions"]);
    Ok(())
}

#[tokio::test]
async fn mistakes_are_told_with_their_place() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    for (sql, place, words) in [
        ("SELECT\n  calle FROM calls", Some((2, 3)), "caller"),
        ("SELECT * FROM cals", Some((1, 15)), "did you mean calls?"),
        ("SELECT * FROM calls WHERE", None, "EOF"),
        ("SELECT 1 +* 2", Some((1, 11)), "xpected"),
        ("SELECT nosuch(1)", None, "nosuch"),
    ] {
        match ask(&session, sql).await {
            Err(QueryError::Sql(error)) => {
                assert!(place.is_none() || error.position == place, "{sql}: {error:?}");
                assert!(error.to_string().contains(words), "{sql}: {error}");
            }
            other => return Err(format!("{sql}: {other:?}").into()),
        }
    }
    let report = |options: ReportOptions| {
        super::report(ReportOptions { lake: dir.path().to_string_lossy().into_owned(), ..options })
    };
    let sources = || ReportOptions { name: Some("sources".to_owned()), ..Default::default() };
    for (options, words) in [
        (ReportOptions { name: Some("source".to_owned()), ..Default::default() }, "did you mean sources?"),
        (ReportOptions { from: Some("2026-13-01".to_owned()), ..sources() }, "--from"),
        (
            ReportOptions { from: Some("2026-11-02".to_owned()), to: Some("2026-11-01".to_owned()), ..sources() },
            "before",
        ),
        (ReportOptions { by: Some("chanel".to_owned()), ..sources() }, "did you mean channel?"),
        (ReportOptions { timezone: Some("Mars/Olympus".to_owned()), ..sources() }, "--timezone"),
        (ReportOptions { where_: Some("sourc = 'x'".to_owned()), ..sources() }, "source"),
        (ReportOptions { where_: Some("1 = 1; DROP TABLE calls".to_owned()), ..sources() }, ";"),
        (ReportOptions { where_: Some("1 = 1 UNION SELECT 2".to_owned()), ..sources() }, "UNION"),
        (ReportOptions { where_: Some("source".to_owned()), ..sources() }, "oolean"),
    ] {
        let error = report(options.clone()).await.err().ok_or("an answer")?;
        assert!(error.is_usage() && error.to_string().contains(words), "{options:?}: {error}");
    }
    let missing = QuerySession::open(&dir.path().join("none").to_string_lossy()).err();
    assert!(matches!(missing, Some(QueryError::Location(_))));
    Ok(())
}

#[tokio::test]
async fn a_file_appears_only_when_it_is_whole() -> Result<(), Failure> {
    let dir = small().await?;
    let out = TempDir::new()?;
    let options = |query: &str, name: &str, format| SqlOptions {
        lake: dir.path().to_string_lossy().into_owned(),
        query: Some(query.to_owned()),
        format,
        output: Some(out.path().join(name)),
        max_rows: Some(2),
        ..Default::default()
    };
    super::sql(options("SELECT call_id FROM calls WHERE account = 'acme' ORDER BY started_at", "a.csv", Format::Csv))
        .await?;
    assert_eq!(std::fs::read_to_string(out.path().join("a.csv"))?, "call_id\na1\nb1\n");
    super::sql(options("SELECT 1 AS a; SELECT 2 AS b", "b.ndjson", Format::Ndjson)).await?;
    assert_eq!(std::fs::read_to_string(out.path().join("b.ndjson"))?, "{\"a\":1}\n{\"b\":2}\n");
    // Fails while it runs, after the file was opened.
    let failed = super::sql(options("SELECT 1 / (candidates - candidates) FROM calls", "c.csv", Format::Csv)).await;
    assert!(failed.is_err());
    let two = super::sql(options("SELECT 1; SELECT 2", "d.csv", Format::Csv)).await;
    assert!(matches!(two, Err(QueryError::OneStatement { count: 2, .. })));
    assert_eq!(std::fs::read_dir(out.path())?.count(), 2);
    Ok(())
}
