//! The first rows of an order, for logins: a barrier stands between the sort and the files.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use serde_json::json;
use tempfile::TempDir;

use super::{Failure, ask, call, open, with, write};
use crate::query::QuerySession;
use crate::query::access::{Access, BarrierExec, MaskKey};

/// Five calls of acme in three files, one of them moved back by a correction, and later ones of somebody else.
async fn lake() -> Result<TempDir, Failure> {
    let dir = TempDir::new()?;
    let of = |id: &str, revision: i32, at: &str, caller: &str| call(id, revision, &format!("2026-11-{at}:00Z"), caller);
    let of_globex = |id: &str| with(of(id, 1, "24T10:00", "+4930999"), json!({"account": "globex"}));
    let (a, b) = (of("a", 1, "20T10:00", "+4930555"), of("b", 1, "21T09:00", "+4930444"));
    write(dir.path(), "calls", &[a, b, of("e", 1, "23T23:00", "+4930111")]).await?;
    let (c, d) = (of("c", 1, "21T10:00", "+4930333"), of("d", 1, "22T10:00", "+4930222"));
    write(dir.path(), "calls", &[c, d, of_globex("x"), of_globex("y")]).await?;
    write(dir.path(), "calls", &[of("e", 2, "20T23:00", "+4930111")]).await?;
    Ok(dir)
}

fn login(dir: &TempDir, mask: Option<MaskKey>) -> Result<QuerySession, Failure> {
    Ok(open(dir)?.for_access(Access { account: "acme".into(), mask }, 64 << 20)?)
}

/// What reads the files behind the barrier.
async fn readers(session: &QuerySession, sql: &str) -> Result<String, Failure> {
    let statement = session.admit(sql)?.pop().ok_or("no statement")?;
    let plan = session.scene(&[&statement]).await?.plan(statement, sql).await?.create_physical_plan().await?;
    let mut readers = String::new();
    plan.apply(|node: &Arc<dyn ExecutionPlan>| {
        if let Some(barrier) = node.downcast_ref::<BarrierExec>() {
            readers += &displayable(barrier.stored().as_ref()).indent(true).to_string();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(readers)
}

/// Whether they are told what can no longer be wanted.
async fn is_told(session: &QuerySession, sql: &str) -> Result<bool, Failure> {
    Ok(readers(session, sql).await?.contains("DynamicFilter"))
}

#[tokio::test]
async fn the_newest_are_the_same_behind_the_barrier() -> Result<(), Failure> {
    let dir = lake().await?;
    let session = login(&dir, None)?;
    for (sql, told, expected) in [
        ("SELECT call_id FROM calls ORDER BY started_at DESC LIMIT 2", true, "d\nc\n"),
        ("SELECT call_id FROM calls ORDER BY started_at DESC LIMIT 2 OFFSET 2", true, "b\ne\n"),
        ("SELECT call_id FROM calls ORDER BY caller LIMIT 1", true, "e\n"),
        ("SELECT call_id FROM calls WHERE caller <> '+4930222' ORDER BY started_at DESC, call_id LIMIT 1", true, "c\n"),
        (
            "SELECT call_id FROM (SELECT call_id, started_at AS start FROM marts.calls) ORDER BY start LIMIT 1",
            true,
            "a\n",
        ),
        ("SELECT call_id FROM calls ORDER BY answered_at, started_at LIMIT 1", true, "a\n"),
        // A value might be none for a row of somebody else.
        ("SELECT call_id FROM calls ORDER BY CAST(substr(caller, 2) AS BIGINT) LIMIT 1", false, "e\n"),
        // All rows have a say in these.
        ("SELECT n FROM (SELECT caller, count(*) OVER () AS n FROM calls) ORDER BY caller LIMIT 1", false, "5\n"),
        ("SELECT caller, count(*) FROM calls GROUP BY caller ORDER BY caller LIMIT 1", false, "+4930111,1\n"),
        ("SELECT call_id FROM (SELECT * FROM calls LIMIT 5) ORDER BY started_at DESC LIMIT 1", false, "d\n"),
        ("SELECT call_id FROM calls ORDER BY started_at DESC", false, "d\nc\nb\ne\na\n"),
    ] {
        assert_eq!(ask(&session, sql).await?, expected, "{sql}");
        assert_eq!(is_told(&session, sql).await?, told, "{sql}");
    }
    // What was told of one statement does not stay: a call that comes is the newest.
    write(dir.path(), "calls", &[call("f", 1, "2026-11-25T10:00:00Z", "+4930666")]).await?;
    assert_eq!(ask(&session, "SELECT call_id FROM calls ORDER BY started_at DESC LIMIT 1").await?, "f\n");
    Ok(())
}

#[tokio::test]
async fn the_days_that_come_first_are_read_first() -> Result<(), Failure> {
    let dir = lake().await?;
    let session = login(&dir, None)?;
    for order in ["DESC", "ASC"] {
        let sql = format!("SELECT call_id FROM calls ORDER BY started_at {order} LIMIT 1");
        let readers = readers(&session, &sql).await?;
        let days: Vec<&str> = readers.split("date=").skip(1).filter_map(|rest| rest.get(..10)).collect();
        let first = if order == "DESC" { days.iter().max() } else { days.iter().min() };
        assert_eq!(days.first(), first, "{order}: {readers}");
        // All files of the account are still there.
        assert!(days.len() >= 6, "{readers}");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_of_pseudonyms_is_theirs() -> Result<(), Failure> {
    let dir = lake().await?;
    let session = login(&dir, Some(MaskKey::new(b"a key")))?;
    let all = ask(&session, "SELECT caller FROM calls ORDER BY caller").await?;
    for count in 1..5 {
        let sql = format!("SELECT caller FROM calls ORDER BY caller LIMIT {count}");
        let first: String = all.lines().take(count).map(|line| format!("{line}\n")).collect();
        assert_eq!(ask(&session, &sql).await?, first);
        assert!(!is_told(&session, &sql).await?);
    }
    assert!(is_told(&session, "SELECT caller FROM calls ORDER BY started_at LIMIT 1").await?);
    Ok(())
}
