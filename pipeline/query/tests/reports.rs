//! Reports and checks, over an empty lake and a small one with known answers.

use datafusion::physical_plan::displayable;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::slt::story;
use super::{Failure, ask, call, measures, open, session, small, with, write};
use crate::query::QueryError;
use crate::query::format::Format;
use crate::query::library::{CHECKS, REPORTS, Text};
use crate::query::output::{Shape, pump};
use crate::query::report::narrow::Scope;
use crate::query::report::{ReportOptions, checks, frame, report, stranger};

/// A report's answer as CSV without its header.
async fn tell(dir: &TempDir, name: &str, options: ReportOptions) -> Result<String, QueryError> {
    let text = Text::find(REPORTS, name).ok_or(QueryError::NoQuery)?;
    let session = open(dir)?;
    let (scene, frame) = frame(&session, text, &Scope::read(text, &options)?).await?;
    let answer = scene.run(frame, text.sql).await?;
    let (_, bytes) = pump(answer, Shape::new(Format::Csv, None, None), text.sql, Vec::new()).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.split_once('\n').map(|(_, body)| body.to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn reports_give_known_answers() -> Result<(), Failure> {
    let dir = small().await?;
    let by = |by: &str| ReportOptions { by: Some(by.to_owned()), ..Default::default() };
    let plain = ReportOptions::default;
    let acme = || ReportOptions { account: Some("acme".to_owned()), ..Default::default() };
    for (name, options, expected) in [
        (
            "sources",
            acme(),
            "Paid Search,google,cpc,,2,2,1,1,2,1.0\n,,,,0,2,0,1,0,\nPaid Search,bing,cpc,,1,0,0,0,0,0.0\n",
        ),
        ("sources", by("source"), ",0,3,0,2,0,\ngoogle,2,2,1,1,2,1.0\nbing,1,0,0,0,0,0.0\n"),
        ("sources", by(""), "3,5,1,3,2,1.6667\n"),
        (
            "sources",
            ReportOptions { where_: Some("source = 'google' AND (is_target)".to_owned()), ..by("source") },
            "google,2,1,1,1,1,0.5\n",
        ),
        ("calls_by_day", acme(), "2026-11-21,3,1,2,1,2,1,1.0\n2026-11-22,1,0,0,1,0,1,0.8\n"),
        (
            "calls_by_day",
            ReportOptions {
                timezone: Some("America/New_York".to_owned()),
                to: Some("2026-11-20".to_owned()),
                ..acme()
            },
            "2026-11-20,1,1,1,1,0,1,1.0\n",
        ),
        (
            "calls_by_day",
            ReportOptions { from: Some("2026-11-22".to_owned()), ..by("source") },
            "2026-11-22,google,1,0,0,1,0,1,0.8\n",
        ),
        ("methods", acme(), "none,2,0.5,,,0.0\nlease,1,0.25,0.9,0.9,1.0\nwindow,1,0.25,0.5,0.5,1.0\n"),
        ("devices", plain(), "google,mobile,2,2,0.6667,1.0,0.0\nbing,tablet,1,1,0.3333,1.0,0.0\n"),
        ("numbers", by("tracking_number"), "+14155550100,5,2,1,3,2,3,8.0,52.5,2026-11-22T09:00:00.000000\n"),
        ("landing_pages", plain(), "https://a.example/google,2,2,1,1.0\nhttps://a.example/bing,1,0,0,0.0\n"),
        ("hours", acme(), "0,9,1,1,0,8.0\n6,0,1,1,0,8.0\n6,12,1,0,1,8.0\n6,13,1,0,1,8.0\n"),
        (
            "missed",
            acme(),
            "acme,x1,2026-11-21T13:00:00.000000,anonymous,+14155550100,missed,true,8.0,,,,false\n\
             acme,b1,2026-11-21T12:00:00.000000,+4930222,+14155550100,missed,true,8.0,,,,false\n",
        ),
    ] {
        assert_eq!(tell(&dir, name, options.clone()).await?, expected, "{name} {options:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_nothing_is_of_is_told() -> Result<(), Failure> {
    let dir = small().await?;
    let session = open(&dir)?;
    assert_eq!(stranger(&session, "acme").await?, None);
    let told = |near| Some(format!("nothing in this lake is of account {near}"));
    assert_eq!(stranger(&session, "acne").await?, told("acne; did you mean acme?"));
    assert_eq!(stranger(&session, "nobody's").await?, told("nobody's"));
    Ok(())
}

#[tokio::test]
async fn everything_runs_on_an_empty_lake() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let session = open(&dir)?;
    for text in REPORTS {
        let answer = tell(&dir, text.name, ReportOptions::default()).await?;
        assert_eq!(answer, "", "{}", text.name);
        // To plan the others is enough: what is folded is gone by then.
        for column in text.list("by") {
            let scope = Scope::read(text, &ReportOptions { by: Some(column.to_owned()), ..Default::default() })?;
            frame(&session, text, &scope).await.map_err(|error| format!("{} by {column}: {error}", text.name))?;
        }
    }
    let found = checks(&dir.path().to_string_lossy()).await?;
    assert_eq!(found.len(), CHECKS.len());
    assert!(found.iter().all(|check| check.offenders == 0), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn checks_find_offenders_and_nothing_else() -> Result<(), Failure> {
    let dir = small().await?;
    let lake = dir.path().to_string_lossy().into_owned();
    let found = checks(&lake).await?;
    assert!(found.iter().all(|check| check.offenders == 0), "{found:?}");

    let answered = json!({"outcome": "answered", "talk_seconds": 20.0, "caller_calls": 3});
    let bad = [
        (
            "attribution_confidence",
            with(call("z1", 1, "2026-11-23T10:00:00Z", "anonymous"), json!({"source_confidence": 0.5})),
        ),
        ("unique_target", with(call("z2", 1, "2026-11-23T10:00:00Z", "anonymous"), json!({"is_unique_target": true}))),
        (
            "call_times",
            with(call("z3", 1, "2026-11-23T10:00:00Z", "anonymous"), json!({"ended_at": "2026-11-23T09:00:00Z"})),
        ),
        ("dates", with(call("z4", 1, "2026-11-23T10:00:00Z", "anonymous"), json!({"date": "2026-11-24"}))),
        ("lease_after_call", with(call("z5", 1, "2026-11-20T10:00:00Z", "anonymous"), json!({"lease_id": "l1"}))),
        (
            "kinds_in_order",
            with(with(call("z6", 1, "2026-11-24T10:00:00Z", "+4930111"), answered.clone()), json!({"is_unique": true})),
        ),
        // Shorter than an answered call that did not qualify (z6).
        (
            "kinds_by_settings",
            with(
                call("z7", 1, "2026-11-25T10:00:00Z", "+4930999"),
                with(
                    answered,
                    json!({"talk_seconds": 10.0,
                "caller_calls": 1, "is_unique": true, "is_target": true, "is_first_target": true, "is_unique_target": true}),
                ),
            ),
        ),
    ];
    let checked: Vec<&str> = bad.iter().map(|(check, _)| *check).collect();
    let mut rows: Vec<Value> = bad.into_iter().map(|(_, row)| row).collect();
    let twice = call("twice", 1, "2026-11-23T10:00:00Z", "anonymous");
    rows.extend([twice.clone(), twice]);
    write(dir.path(), "calls", &rows).await?;
    let view = json!({"account": "acme", "time": "2026-11-20T23:50:00Z", "event_id": "e1", "event_source": "web",
        "visitor_id": "v-s1", "date": "2026-11-20"});
    write(dir.path(), "page_views", &[view]).await?;
    let found = checks(&lake).await?;
    for check in checked.into_iter().chain(["one_row_a_key", "revisions", "events_once"]) {
        let offenders = found.iter().find(|found| found.name == check).map(|found| found.offenders);
        assert_eq!(offenders, Some(1), "{check}: {found:?}");
    }
    Ok(())
}

/// Joins and kinds, where one wrong row may stand out in several ways.
#[tokio::test]
async fn wrong_joins_and_kinds_are_found() -> Result<(), Failure> {
    let joined = |id: &str, at: &str, more: Value| {
        let ours = json!({"visitor_id": "v-s1", "session_id": "s1", "attribution_confidence": 0.5});
        with(with(call(id, 1, at, "anonymous"), ours), more)
    };
    let late = "2026-11-21T09:00:00Z";
    let newest = json!({"account": "acme", "time": "2026-11-23T09:00:00Z", "event_id": "e2", "event_source": "web",
        "visitor_id": "v-s1", "date": "2026-11-23"});
    for (check, row) in [
        ("lease_of_call", joined("z1", late, json!({"lease_id": "none"}))),
        ("lease_of_call", joined("z2", late, json!({"lease_id": "l1", "attribution_method": "lease"}))),
        ("lease_of_call", joined("z3", late, json!({"lease_id": "l1", "visitor_id": "v-s4", "session_id": "s4"}))),
        ("lease_of_call", joined("z4", late, json!({"lease_id": "l1", "tracking_number": "+14155550199"}))),
        ("orphans", joined("z5", late, json!({"session_id": "none"}))),
        ("orphans", joined("z6", late, json!({"visitor_id": "v-s4"}))),
        // Its visit begins after it.
        ("weights_sum_to_one", joined("z7", "2026-11-20T09:00:00Z", json!({}))),
        // As long as one that qualified, and without a kind.
        (
            "kinds_recomputed",
            with(
                call("z8", 1, late, "+4930999"),
                json!({"outcome": "answered", "talk_seconds": 50.0, "is_unique": true}),
            ),
        ),
        ("kinds_recomputed", with(call("z9", 1, "2026-11-23T09:00:00Z", "+4930111"), json!({"is_first_target": true}))),
    ] {
        let dir = small().await?;
        // What is not settled yet is not held against the lake.
        write(dir.path(), "page_views", std::slice::from_ref(&newest)).await?;
        write(dir.path(), "calls", std::slice::from_ref(&row)).await?;
        let text = Text::find(CHECKS, check).ok_or("no such check")?;
        let session = open(&dir)?;
        let (_, frame) = frame(&session, text, &Scope::default()).await?;
        assert!(frame.count().await? > 0, "{check}: {row}");
    }
    Ok(())
}

/// A call whose caller was erased, one of a caller whose first was erased, and what only looks like them.
#[tokio::test]
async fn what_an_erasure_leaves_is_told_from_faults() -> Result<(), Failure> {
    let kinds = json!({"outcome": "answered", "talk_seconds": 50.0, "caller_calls": 1, "is_unique": true, "is_target": true,
        "is_first_target": true, "is_unique_target": true, "caller_country": "DE"});
    let own = json!({"session_id": "s1", "visitor_id": "erased-1", "lease_id": "l1", "attribution_confidence": 0.5});
    let erased = |more: Value| {
        with(with(with(call("e1", 1, "2026-11-21T00:10:00Z", "anonymous"), kinds.clone()), own.clone()), more)
    };
    let second = |more: Value| {
        let again = json!({"caller_calls": 2, "is_unique": false, "is_target": false, "is_first_target": false,
            "is_unique_target": false, "is_repeated": true});
        with(with(with(call("e2", 1, "2026-11-22T10:00:00Z", "+4930333"), kinds.clone()), again), more)
    };
    let lake = |rows: Vec<Value>| async move {
        let dir = small().await?;
        write(dir.path(), "calls", &rows).await?;
        Ok::<TempDir, Failure>(dir)
    };
    let nothing = lake(vec![erased(json!({})), second(json!({}))]).await?;
    let found = checks(&nothing.path().to_string_lossy()).await?;
    assert!(found.iter().all(|check| check.offenders == 0), "{found:?}");
    for (check, rows) in [
        // Nobody was erased before it.
        ("kinds_in_order", vec![second(json!({}))]),
        ("kinds_in_order", vec![erased(json!({})), second(json!({"caller_calls": 3}))]),
        ("kinds_in_order", vec![erased(json!({})), second(json!({"caller_country": "FR"}))]),
        ("kinds_in_order", vec![erased(json!({})), second(json!({"is_unique": true}))]),
        ("kinds_in_order", vec![erased(json!({"recording_url": "https://r.example/"}))]),
        ("kinds_in_order", vec![erased(json!({"caller_country": null, "visitor_id": "v-s1"}))]),
        ("kinds_in_order", vec![erased(json!({"caller_calls": 2}))]),
        ("kinds_recomputed", vec![erased(json!({"caller_calls": 2}))]),
        ("kinds_recomputed", vec![erased(json!({"is_unique_target": false}))]),
        ("kinds_recomputed", vec![erased(json!({})), second(json!({"is_repeated": false}))]),
        ("orphans", vec![erased(json!({"session_id": "none"}))]),
        ("orphans", vec![erased(json!({"caller": "+4930444"}))]),
        ("lease_of_call", vec![erased(json!({"lease_id": "none"}))]),
        ("lease_of_call", vec![erased(json!({"visitor_id": "v-s4", "session_id": "s4"}))]),
        ("weights_sum_to_one", vec![erased(json!({"caller": "+4930444"}))]),
    ] {
        // All checks on each lake would take a minute.
        let text = Text::find(CHECKS, check).ok_or(QueryError::NoQuery)?;
        let dir = lake(rows.clone()).await?;
        let (_, frame) = frame(&open(&dir)?, text, &Scope::default()).await?;
        assert!(frame.count().await? > 0, "{check} of {rows:?}");
    }
    Ok(())
}

/// Of somebody erased nothing is left that would find their call: those of others who withheld their number are not theirs.
#[tokio::test]
async fn a_deal_of_somebody_erased_is_of_no_call() -> Result<(), Failure> {
    let dir = small().await?;
    let deal = |id: &str, phone: &str| {
        let at = "2026-11-23T10:00:00Z";
        json!({"account": "acme", "date": &at[..10], "time": at, "event_id": id, "event_source": "crm", "deal_id": id, "phone": phone,
            "stage": "won", "recorded_time": at})
    };
    write(dir.path(), "deals", &[deal("d1", "anonymous"), deal("d2", "+4930222")]).await?;
    let told = ask(&open(&dir)?, "SELECT deal_id, call_id FROM marts.deals ORDER BY deal_id").await?;
    assert_eq!(told, "d1,\nd2,b1\n");
    Ok(())
}

/// Pages of two browsers name one user: a call of either has the visits of both. Two of them began at one instant.
#[tokio::test]
async fn touchpoints_are_of_all_devices_of_a_user() -> Result<(), Failure> {
    let dir = small().await?;
    let seen = |account: &str, id: &str, visitor: &str, user: &str| {
        json!({"account": account, "time": "2026-11-22T10:00:00Z", "event_id": id, "event_source": "web",
            "visitor_id": visitor, "user_id": user, "date": "2026-11-22"})
    };
    let sessions = [
        session("s0", 1, "2026-11-20T23:50:00Z", "bing", "desktop"),
        session("s9", 1, "2026-11-20T20:00:00Z", "bing", "desktop"),
    ];
    write(dir.path(), "sessions", &sessions).await?;
    let asked = "SELECT call_id, session_id, visitor_id, position, round(weight_linear, 2), weight_first, weight_last
        FROM marts.touchpoints ORDER BY call_id, position";
    let alone = "a1,s1,v-s1,1,1.0,1.0,1.0\na2,s4,v-s4,1,1.0,1.0,1.0\n";
    assert_eq!(ask(&open(&dir)?, asked).await?, alone);
    // v-s9's user is another, and of another account where it is the same.
    let views = [
        seen("acme", "e2", "v-s1", "ann"),
        seen("acme", "e3", "v-s0", "ann"),
        seen("acme", "e4", "v-s9", "bob"),
        seen("globex", "e5", "v-s9", "ann"),
    ];
    write(dir.path(), "page_views", &views).await?;
    let both = "a1,s1,v-s1,1,0.5,1.0,0.0\na1,s0,v-s1,2,0.5,0.0,1.0\na2,s4,v-s4,1,1.0,1.0,1.0\n";
    assert_eq!(ask(&open(&dir)?, asked).await?, both);
    // Whoever is not logged in is one to some sites: that is no person.
    let guests: Vec<Value> = ["v-s4", "v-s1"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..31).map(|n| format!("guest-{n}")))
        .map(|visitor| seen("acme", &format!("of-{visitor}"), &visitor, "guest"))
        .collect();
    write(dir.path(), "page_views", &guests).await?;
    assert_eq!(ask(&open(&dir)?, asked).await?, both);
    Ok(())
}

/// A day of an account: each mart that has days reads one file of its own table, whatever else it looks up.
#[tokio::test]
async fn filters_reach_the_scans_through_marts() -> Result<(), Failure> {
    let dir = story().await?;
    let session = open(&dir)?;
    for (mart, table, day) in [
        ("calls", "calls", "2026-11-05"),
        ("sessions", "sessions", "2026-11-04"),
        ("leases", "leases", "2026-11-04"),
        ("touchpoints", "calls", "2026-11-04"),
        ("deals", "deals", "2026-11-06"),
        ("costs", "ad_costs", "2026-11-04"),
    ] {
        let sql = format!("EXPLAIN SELECT * FROM marts.{mart} WHERE account = 'acme' AND date = '{day}'");
        let plan = ask(&session, &sql).await?;
        let own = format!("/{table}/date=");
        let scans: Vec<&str> =
            plan.lines().filter(|line| line.contains("file_groups=") && line.contains(&own)).collect();
        let only = format!("{own}{day}");
        let is_pruned = |scan: &&&str| scan.matches(".parquet").count() == 1 && scan.contains(&only);
        assert!(scans.iter().any(|scan| is_pruned(&scan)), "{mart}: {plan}");
        assert!(scans.iter().all(|scan| scan.contains("account@")), "{mart}: {plan}");
    }
    Ok(())
}

#[tokio::test]
async fn reports_are_drawn_and_shown_as_sql() -> Result<(), Failure> {
    let dir = story().await?;
    let out = TempDir::new()?;
    let path = out.path().join("out.txt");
    let told = |options: ReportOptions| {
        let path = path.clone();
        let lake = dir.path().to_string_lossy().into_owned();
        async move {
            crate::query::report(ReportOptions { lake, output: Some(path.clone()), ..options }).await?;
            Ok::<_, Failure>(std::fs::read_to_string(path)?)
        }
    };
    let named = |name: &str| ReportOptions { name: Some(name.to_owned()), ..Default::default() };
    let drawn = told(ReportOptions { plot: true, ..named("missed_steps") }).await?;
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!((lines.len(), lines[0]), (9, "lost by step"), "{drawn}");
    assert!(lines[1].starts_with("outbound     1 █") && lines[1].ends_with('█'), "{drawn}");
    let drawn = told(ReportOptions { plot: true, max_rows: Some(2), ..named("sources") }).await?;
    assert!(drawn.contains("Unassigned · print · offline") && drawn.lines().count() == 3, "{drawn}");
    let whole = told(ReportOptions { sql: true, by: Some("channel,source,tracking_number".into()), ..named("hours") });
    let sql = whole.await?;
    assert!(
        sql.starts_with("SELECT channel, source, tracking_number, count(*) AS calls") && !sql.contains("weekday"),
        "{sql}"
    );
    for (options, words) in [
        (ReportOptions { plot: true, format: Format::Csv, ..named("sources") }, "not csv"),
        (ReportOptions { plot: true, ..named("missed") }, "missed has no measure"),
        (ReportOptions { sql: true, account: Some("acme".to_owned()), ..named("sources") }, "--sql"),
        (ReportOptions { from: Some("2026-11-01".to_owned()), ..named("checks/marts_whole") }, "no days"),
    ] {
        let error = told(options.clone()).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(words), "{options:?}: {error}");
    }
    Ok(())
}

/// A session is written when it is over: its page views are there before it.
#[tokio::test]
async fn a_session_that_may_be_open_is_no_orphan() -> Result<(), Failure> {
    let dir = small().await?;
    let view = |id: &str, at: &str, more: Value| {
        let row = json!({"account": "acme", "time": at, "event_id": id, "event_source": "web", "visitor_id": "v",
            "session_id": "s-open", "date": &at[..10]});
        with(row, more)
    };
    let orphans = || async {
        let found = checks(&dir.path().to_string_lossy()).await?;
        let orphans = found.iter().find(|found| found.name == "orphans").map(|found| found.offenders);
        Ok::<_, Failure>(orphans.unwrap_or(usize::MAX))
    };
    write(dir.path(), "page_views", &[view("e3", "2026-11-24T09:00:00Z", json!({}))]).await?;
    assert_eq!(orphans().await?, 0);
    // A clock that is ahead settles nothing.
    let ahead = json!({"recorded_time": "2026-11-24T10:00:00Z"});
    write(dir.path(), "page_views", &[view("e4", "2026-11-26T09:00:00Z", ahead)]).await?;
    assert_eq!(orphans().await?, 0);
    write(dir.path(), "page_views", &[view("e5", "2026-11-25T10:00:00Z", json!({}))]).await?;
    assert_eq!(orphans().await?, 1);
    Ok(())
}

#[tokio::test]
async fn checks_take_nothing_that_only_reports_have() {
    let asked = |change: fn(&mut ReportOptions)| {
        let mut options =
            ReportOptions { lake: "nowhere".to_owned(), name: Some("checks".to_owned()), ..ReportOptions::default() };
        change(&mut options);
        report(options)
    };
    for (flag, change) in [
        ("--by", (|it| it.by = Some("day".to_owned())) as fn(&mut ReportOptions)),
        ("--sql", |it| it.sql = true),
        ("--plot", |it| it.plot = true),
    ] {
        let error = asked(change).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().starts_with(flag), "{error}");
    }
}

/// Days and hours of a condition are those that the report shows.
#[tokio::test]
async fn conditions_are_over_the_hours_of_the_zone() -> Result<(), Failure> {
    let dir = small().await?;
    let options = |zone: &str, condition: &str| ReportOptions {
        account: Some("acme".to_owned()),
        timezone: Some(zone.to_owned()),
        where_: Some(condition.to_owned()),
        ..Default::default()
    };
    for (name, zone, condition, expected) in [
        ("hours", "Europe/Berlin", "hour = 9", ""),
        ("hours", "Europe/Berlin", "hour = 10", "0,10,1,1,0,8.0\n"),
        ("hours", "Europe/Berlin", "calls.hour = 10 AND weekday = 0 AND source = 'google'", "0,10,1,1,0,8.0\n"),
        ("hours", "Europe/Berlin", "local_started_at >= '2026-11-22T10:00:00'", "0,10,1,1,0,8.0\n"),
        ("hours", "UTC", "hour = 9", "0,9,1,1,0,8.0\n"),
        ("calls_by_day", "America/New_York", "day = '2026-11-20'", "2026-11-20,1,1,1,1,0,1,1.0\n"),
    ] {
        assert_eq!(tell(&dir, name, options(zone, condition)).await?, expected, "{name} in {zone} where {condition}");
    }
    Ok(())
}

#[tokio::test]
async fn conditions_reach_the_scan_in_any_zone() -> Result<(), Failure> {
    let dir = story().await?;
    let text = Text::find(REPORTS, "hours").ok_or("no such report")?;
    let options = ReportOptions {
        timezone: Some("Europe/Berlin".to_owned()),
        where_: Some("date = '2026-11-05' AND account = 'acme' AND hour >= 0".to_owned()),
        ..Default::default()
    };
    let (_scene, frame) = frame(&open(&dir)?, text, &Scope::read(text, &options)?).await?;
    let plan = displayable(frame.create_physical_plan().await?.as_ref()).indent(false).to_string();
    let is_pruned = |scan: &str| {
        scan.matches(".parquet").count() == 1 && scan.contains("/calls/date=2026-11-05") && scan.contains("account@")
    };
    assert!(plan.lines().filter(|line| line.contains("file_groups=")).any(is_pruned), "{plan}");
    Ok(())
}

#[tokio::test]
async fn conditions_are_on_single_rows() -> Result<(), Failure> {
    let dir = small().await?;
    for condition in [
        "count(*) > 1",
        "source = 'google' AND (is_target OR max(talk_seconds) > 10)",
        "row_number() OVER (ORDER BY started_at) = 1",
        "call_id IN (SELECT call_id FROM calls)",
        "EXISTS (SELECT 1)",
        "hour = (SELECT 9)",
    ] {
        let options = ReportOptions { where_: Some(condition.to_owned()), ..Default::default() };
        let Err(error) = tell(&dir, "hours", options).await else { return Err(format!("{condition} holds").into()) };
        let told = error.to_string();
        let is_told = told.starts_with("--where is a condition on single rows");
        assert!(error.is_usage() && is_told, "{condition}: {told}");
    }
    Ok(())
}

/// An amount without a currency is in one of its own, and a deal without an amount in none.
#[tokio::test]
async fn money_without_a_currency_is_added_to_no_other() -> Result<(), Failure> {
    let dir = small().await?;
    let row = |day: u32, source: &str, more: Value| {
        let at = format!("2026-11-{day}T10:00:00Z");
        let row =
            json!({"account": "acme", "date": &at[..10], "time": &at, "event_source": source, "recorded_time": &at});
        with(row, more)
    };
    let cost = |day: u32| {
        let told = json!({"event_id": format!("a{day}"), "cost": "10", "currency": "EUR", "clicks": 3});
        row(day, "ads", told)
    };
    let deal = |day: u32, id: &str, more: Value| {
        row(day, "crm", with(json!({"event_id": id, "deal_id": id, "stage": "won"}), more))
    };
    let deals = [
        deal(25, "d1", json!({"revenue": "5"})),
        deal(26, "d2", json!({"revenue": "5"})),
        deal(26, "d3", json!({"revenue": "7"})),
        deal(27, "d4", json!({"revenue": "40", "currency": "EUR"})),
        deal(27, "d5", json!({"currency": "USD"})),
        deal(28, "d6", json!({"currency": "USD"})),
    ];
    write(dir.path(), "ad_costs", &[cost(25), cost(27)]).await?;
    write(dir.path(), "deals", &deals).await?;
    let options =
        ReportOptions { by: Some("day".to_owned()), from: Some("2026-11-25".to_owned()), ..Default::default() };
    let expected = "2026-11-25,,,3,0,0,0,,,1,,,\n2026-11-26,,,,0,0,0,,,2,12.00,,\n\
        2026-11-27,EUR,10.00,3,0,0,0,,,2,40.00,,4.0\n2026-11-28,,,,0,0,0,,,1,,,\n";
    assert_eq!(tell(&dir, "return_on_spend", options).await?, expected);
    let metrics = measures::read()?;
    let revenue = metrics.measure.iter().find(|it| it.name == "revenue").ok_or("no revenue")?;
    let sql = format!("SELECT day, {} FROM marts.deals GROUP BY day ORDER BY day", revenue.sql);
    let expected = "2026-11-25,5.00\n2026-11-26,12.00\n2026-11-27,40.00\n2026-11-28,\n";
    assert_eq!(ask(&open(&dir)?, &sql).await?, expected);
    Ok(())
}

#[tokio::test]
async fn an_agent_who_only_calls_out_has_talked_no_minutes_else() -> Result<(), Failure> {
    let dir = small().await?;
    let out = json!({"direction": "outbound", "agent": "Ada", "outcome": "answered", "talk_seconds": 120.0});
    write(dir.path(), "calls", &[with(call("o1", 1, "2026-11-23T10:00:00Z", "+4930999"), out)]).await?;
    assert_eq!(tell(&dir, "agents", ReportOptions::default()).await?, "Ada,0,0,,,,,0.0,,0,1,2.0\n");
    Ok(())
}

/// Leases that were given back at their grant or, by another clock, before it, and one that follows on another.
#[tokio::test]
async fn leases_of_no_time_were_held_but_overlap_none() -> Result<(), Failure> {
    let dir = small().await?;
    let lease = |id: &str, pool: &str, granted: &str, expires: &str, released: Option<&str>| {
        let at = |time: &str| format!("2026-11-23T{time}:00Z");
        json!({"account": "acme", "lease_id": id, "revision": 1, "pool": pool, "number": "+14155550101",
            "visitor_id": format!("v-{id}"), "granted_at": at(granted), "renewals": 0, "expires_at": at(expires),
            "released_at": released.map(at), "date": "2026-11-23"})
    };
    let leases = [
        lease("q1", "q", "10:00", "10:30", Some("10:00")),
        lease("r1", "r", "10:00", "10:30", Some("09:58")),
        lease("t1", "t", "10:00", "10:30", None),
        lease("t2", "t", "10:30", "11:00", Some("10:30")),
        lease("t3", "t", "10:30", "11:00", None),
    ];
    write(dir.path(), "leases", &leases).await?;
    let expected = "p,1,1,1.0,1,1,30.0\nq,1,1,1.0,1,0,0.0\nr,1,1,1.0,1,0,0.0\nt,1,1,1.0,3,0,20.0\n";
    assert_eq!(tell(&dir, "pool_use", ReportOptions::default()).await?, expected);
    let backwards = "SELECT lease_id FROM marts.leases WHERE ended_at < granted_at OR held_seconds < 0";
    assert_eq!(ask(&open(&dir)?, backwards).await?, "");
    Ok(())
}

/// A client who was called back is still the source's that they first came from; later stages need not say whose deal it is.
#[tokio::test]
async fn a_deal_keeps_what_its_stages_named() -> Result<(), Failure> {
    let dir = small().await?;
    let back = json!({"direction": "outbound", "outcome": "answered", "talk_seconds": 20.0});
    write(dir.path(), "calls", &[with(call("o1", 1, "2026-11-23T10:00:00Z", "+4930111"), back)]).await?;
    let stage = |day: u32, id: &str, named: Value| {
        let at = format!("2026-11-{day}T10:00:00Z");
        let row = json!({"account": "acme", "date": &at[..10], "time": &at, "event_source": "crm", "recorded_time": &at,
            "event_id": format!("{id}-{day}"), "deal_id": id, "stage": "won"});
        with(row, named)
    };
    let stages = [
        stage(25, "called-back", json!({"phone": "+4930111"})),
        stage(25, "named", json!({"call_id": "a1"})),
        stage(26, "named", json!({"phone": "+4930999"})),
        stage(25, "unknown", json!({"call_id": "nope", "visitor_id": "v-s1"})),
        stage(25, "phoned", json!({"phone": "+4930111", "visitor_id": "v-s1"})),
        stage(26, "phoned", json!({"visitor_id": "nobody"})),
        stage(25, "nobody", json!({"visitor_id": "nobody"})),
    ];
    write(dir.path(), "deals", &stages).await?;
    let sql = "SELECT deal_id, phone, call_id, visitor_id, session_id, source FROM marts.deals ORDER BY deal_id";
    let expected = "called-back,+4930111,a2,v-s4,s4,google\nnamed,+4930999,a1,v-s1,s1,google\nnobody,,,nobody,,\n\
        phoned,+4930111,a2,v-s4,s4,google\nunknown,,,v-s1,s1,google\n";
    assert_eq!(ask(&open(&dir)?, sql).await?, expected);
    Ok(())
}

/// What picks missed calls hides nothing of how their callers were reached: here by a call back, two days later.
#[tokio::test]
async fn a_condition_on_missed_calls_hides_no_call_back() -> Result<(), Failure> {
    let dir = small().await?;
    let back = json!({"direction": "outbound", "outcome": "answered", "talk_seconds": 20.0});
    write(dir.path(), "calls", &[with(call("o1", 1, "2026-11-23T10:00:00Z", "+4930222"), back)]).await?;
    for (condition, to, expected) in [
        ("direction = 'inbound'", "2026-11-23", "x1 false, b1 true"),
        ("outcome = 'missed' AND calls.day = '2026-11-21'", "2026-11-23", "x1 false, b1 true"),
        ("call_id <> 'x1'", "2026-11-23", "b1 true"),
        ("direction = 'inbound'", "2026-11-22", "x1 false, b1 false"),
    ] {
        let (account, where_) = (Some("acme".to_owned()), Some(condition.to_owned()));
        let options = ReportOptions { account, where_, to: Some(to.to_owned()), ..Default::default() };
        let told = tell(&dir, "missed", options).await?;
        let row = |row: &str| [row.split(',').nth(1), row.rsplit(',').next()].map(Option::unwrap_or_default).join(" ");
        assert_eq!(told.lines().map(row).collect::<Vec<_>>().join(", "), expected, "{condition} to {to}: {told}");
    }
    Ok(())
}
