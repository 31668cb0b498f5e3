//! Corrections that are known beforehand, against the search for later rows.

use deltalake_core::DeltaTable;
use deltalake_core::table::builder::ensure_table_uri;
use tempfile::TempDir;

use super::{Failure, ask, call, open, session, with, write};
use crate::query::QuerySession;
use serde_json::json;

const LATEST: &str = "SELECT call_id, revision FROM calls ORDER BY 1, 2";

/// What `calls` says, and whether it was known beforehand. It has to be what the search finds.
async fn latest(session: &QuerySession) -> Result<(String, bool), Failure> {
    let searched = "SELECT call_id, revision FROM history.calls h WHERE NOT EXISTS (SELECT 1 FROM history.calls l \
                    WHERE l.revision > h.revision AND l.account = h.account AND l.call_id = h.call_id) ORDER BY 1, 2";
    let told = ask(session, LATEST).await?;
    assert_eq!(told, ask(session, searched).await?);
    let plan = ask(session, &format!("EXPLAIN {LATEST}")).await?;
    Ok((told, !plan.contains("Anti")))
}

#[tokio::test]
async fn corrections_are_known_as_they_land_and_as_they_go() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let of = |id: &str, revision: i32, day: &str| call(id, revision, &format!("2026-11-{day}T10:00:00Z"), "+491");
    write(dir.path(), "calls", &[of("a", 1, "20"), of("b", 1, "20"), of("c", 1, "21")]).await?;
    let session = open(&dir)?;
    assert_eq!(latest(&session).await?, ("a,1\nb,1\nc,1\n".to_owned(), true));
    // One in the same commit twice, one over midnight, one of another account's call of the same name.
    write(dir.path(), "calls", &[of("a", 3, "20"), of("a", 2, "20"), of("b", 2, "21")]).await?;
    write(dir.path(), "calls", &[with(of("c", 2, "21"), json!({"account": "globex"}))]).await?;
    assert_eq!(latest(&session).await?, ("a,3\nb,2\nc,1\nc,2\n".to_owned(), true));
    write(dir.path(), "calls", &[of("c", 4, "22"), of("d", 1, "22")]).await?;
    assert_eq!(latest(&session).await?, ("a,3\nb,2\nc,2\nc,4\nd,1\n".to_owned(), true));
    // Where rows are gone, those before them count again.
    let url = ensure_table_uri(dir.path().join("calls").to_string_lossy())?;
    DeltaTable::try_from_url(url).await?.delete().with_predicate("date = '2026-11-22'").await?;
    assert_eq!(latest(&session).await?, ("a,3\nb,2\nc,1\nc,2\n".to_owned(), true));
    // A new process knows the same.
    assert_eq!(latest(&open(&dir)?).await?, latest(&session).await?);
    Ok(())
}

#[tokio::test]
async fn history_beside_it_is_of_the_same_version() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let at = "2026-11-20T10:00:00Z";
    write(dir.path(), "calls", &[call("a", 1, at, "+491"), call("a", 2, at, "+491")]).await?;
    write(dir.path(), "sessions", &[session("s", 1, at, "google", "mobile")]).await?;
    let own = open(&dir)?;
    for sql in [
        "SELECT count(*), max(c.revision) FROM history.calls h JOIN calls c USING (account, call_id)",
        "SELECT count(*), max(c.revision) FROM calls c JOIN history.calls h USING (account, call_id)",
    ] {
        assert_eq!(ask(&own, sql).await?, "2,2\n", "{sql}");
    }
    // Nothing was ever corrected: nothing is looked at for it.
    let plan = ask(&own, "EXPLAIN SELECT device FROM sessions").await?;
    assert!(!plan.contains("is_latest") && !plan.contains("session_id") && !plan.contains("Anti"), "{plan}");
    Ok(())
}

#[tokio::test]
async fn what_lands_after_looking_ahead_counts() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let of = |id: &str, revision: i32| call(id, revision, "2026-11-20T10:00:00Z", "+491");
    // Before there is any table, too.
    open(&dir)?.look_ahead().await;
    write(dir.path(), "calls", &[of("a", 1), of("a", 2), of("b", 1)]).await?;
    let session = open(&dir)?;
    session.look_ahead().await;
    write(dir.path(), "calls", &[of("a", 3), of("b", 2), of("c", 1)]).await?;
    assert_eq!(latest(&session).await?, ("a,3\nb,2\nc,1\n".to_owned(), true));
    Ok(())
}
