//! Rows that stand at the edge of what checks and marts allow.

use serde_json::json;

use super::{Failure, ask, call, open, session, small, with, write};
use crate::query::library::{CHECKS, MARTS, REPORTS, Text};

/// A call of a lease that was granted before any visit has a visitor and no session.
#[tokio::test]
async fn a_confidence_is_of_a_session_a_visitor_or_a_static_number() -> Result<(), Failure> {
    let none = || json!({});
    let sure = || json!({"attribution_confidence": 0.9});
    let fixed = || json!({"attribution_method": "static"});
    let of_source = || json!({"source": "flyer", "source_confidence": 1.0});
    let of_visitor = || json!({"attribution_method": "lease", "visitor_id": "v-s1"});
    let of_session = || with(of_visitor(), json!({"session_id": "s1"}));
    let calls = [
        ("right 1", none()),
        ("right 2", with(sure(), of_session())),
        ("right 3", with(sure(), of_visitor())),
        ("right 4", with(sure(), with(fixed(), of_source()))),
        ("wrong 1", sure()),
        ("wrong 2", with(sure(), fixed())),
        ("wrong 3", with(fixed(), of_source())),
        ("wrong 4", of_session()),
        ("wrong 5", of_visitor()),
        ("wrong 6", with(of_visitor(), json!({"attribution_confidence": 1.5}))),
    ];
    let dir = small().await?;
    let rows = calls.map(|(id, more)| with(call(id, 1, "2026-11-23T10:00:00Z", "anonymous"), more));
    write(dir.path(), "calls", &rows).await?;
    let text = Text::find(CHECKS, "attribution_confidence").ok_or("no such check")?;
    let told = ask(&open(&dir)?, text.sql).await?;
    let mut offenders: Vec<&str> = told.lines().filter_map(|row| row.split(',').nth(1)).collect();
    offenders.sort_unstable();
    assert_eq!(offenders, ["wrong 1", "wrong 2", "wrong 3", "wrong 4", "wrong 5", "wrong 6"], "{told}");
    Ok(())
}

/// Lakes may hold times that are rejected by now: one of them takes nothing from the other rows.
#[tokio::test]
async fn times_beyond_nanoseconds_are_read() -> Result<(), Failure> {
    let dir = small().await?;
    let at = "2926-03-10T10:00:00Z";
    let lease = json!({"account": "other", "lease_id": "far", "revision": 1, "pool": "p", "number": "+14155550100",
        "visitor_id": "v-far", "session_id": "far", "granted_at": at, "renewals": 0, "expires_at": "9999-12-31T00:00:00Z",
        "date": &at[..10]});
    let deal = json!({"account": "other", "date": &at[..10], "time": at, "event_source": "crm", "event_id": "far",
        "recorded_time": at, "deal_id": "far", "stage": "open", "closed_at": "9999-12-31T00:00:00Z"});
    let other = || json!({"account": "other", "session_id": "far", "visitor_id": "v-far"});
    write(dir.path(), "sessions", &[with(session("far", 1, at, "google", "mobile"), other())]).await?;
    write(dir.path(), "calls", &[with(call("far", 1, at, "+4930999"), other())]).await?;
    write(dir.path(), "leases", &[lease]).await?;
    write(dir.path(), "deals", &[deal]).await?;
    let session = open(&dir)?;
    for text in REPORTS.iter().chain(CHECKS) {
        ask(&session, text.sql).await.map_err(|error| format!("{}: {error}", text.name))?;
    }
    for mart in MARTS {
        let sql = format!("SELECT * FROM marts.{}", mart.name);
        ask(&session, &sql).await.map_err(|error| format!("{}: {error}", mart.name))?;
    }
    for (mart, at) in [
        ("calls", "local_started_at"),
        ("sessions", "local_started_at"),
        ("touchpoints", "local_started_at"),
        ("leases", "local_granted_at"),
        ("deals", "local_reached_at"),
    ] {
        let sql = format!("SELECT {at}, day FROM marts.{mart} WHERE account = 'other'");
        assert_eq!(ask(&session, &sql).await?, "2926-03-10T10:00:00.000000,2926-03-10\n", "{mart}");
    }
    Ok(())
}
