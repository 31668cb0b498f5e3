//! Maintenance neither loses nor doubles a row.

use callweave::lake::table::{NoteRow, PageViewRow, RejectedRow, WebEventRow};
use callweave::lake::{MaintainError, Person, Retention};
use callweave_core::event::{CallNote, Direction, PageView, WebEvent};
use callweave_core::join::ERASED;
use callweave_core::phone::{Party, Phone};
use callweave_core::row::{CallRow, Kinds, Method};
use callweave_core::time::{MICROS_PER_DAY, MICROS_PER_HOUR};

use super::rows::{event, visit};
use super::*;

async fn fill(table: &Table, files: i64) -> Outcome {
    let mut held = table.mark("p0").await?;
    for _ in 0..files {
        let to = held.unwrap_or_default() + 1;
        let adds = table.write(rows(if to % 2 == 0 { "acme" } else { "beta" }, to as usize, 5)?).await?;
        table.commit(&adds, &[mark("p0", held, to)]).await?;
        held = Some(to);
    }
    Ok(())
}

async fn files(table: &Table) -> Result<usize, Box<dyn Error>> {
    Ok(table.latest().await?.snapshot()?.log_data().num_files())
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_every_row_and_mark() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    fill(table, 20).await?;
    let before = sql(table, "select * from rejected order by received_at, account").await?;
    let done = table.compact().await?;
    assert_eq!((done.files_before, done.files_after), (20, 1));
    assert_eq!(sql(table, "select * from rejected order by received_at, account").await?, before);
    assert_eq!(table.mark("p0").await?, Some(20));
    assert_eq!(table.compact().await?.files_before, 0, "nothing is left to do");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_compactions_at_once_one_gives_way() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (one, two) = (open(&dir).await?, open(&dir).await?);
    fill(rejected(&one), 12).await?;
    let (a, b) = tokio::join!(rejected(&one).compact(), rejected(&two).compact());
    for outcome in [a, b] {
        assert!(matches!(outcome, Ok(_) | Err(MaintainError::Busy { .. })), "{outcome:?}");
    }
    assert_eq!(count(rejected(&one)).await?, 60);
    assert_eq!(files(rejected(&one)).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_while_files_are_compacted_and_rows_deleted() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (writer, keeper) = (open(&dir).await?, open(&dir).await?);
    fill(rejected(&writer), 10).await?;
    let keep = [Retention { account: "gamma".into(), keep_from: DAY.plus(MICROS_PER_DAY).date() }];
    let maintain = async {
        for _ in 0..3 {
            match rejected(&keeper).compact().await {
                Ok(_) | Err(MaintainError::Busy { .. }) => {}
                Err(error) => return Err(error),
            }
            rejected(&keeper).retain(&keep).await?;
        }
        Ok(())
    };
    let (filled, maintained) = tokio::join!(fill(rejected(&writer), 25), maintain);
    filled?;
    maintained?;
    assert_eq!(count(rejected(&writer)).await?, 35 * 5);
    assert_eq!(rejected(&writer).mark("p0").await?, Some(35));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_past_an_accounts_retention_go() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    fill(table, 4).await?;
    let day = (MICROS_PER_DAY / MICROS_PER_SECOND) as usize;
    table.commit(&table.write(rows("acme", day, 3)?).await?, &[]).await?;
    let keep = [Retention { account: "acme".into(), keep_from: DAY.plus(MICROS_PER_DAY).date() }];
    assert_eq!(table.retain(&keep).await?, 2);
    assert_eq!(table.retain(&keep).await?, 0, "nothing is left to do");
    let text = sql(table, "select account, count(*) as n from rejected group by 1 order by 1").await?;
    assert!(text.contains("| acme    | 3  |") && text.contains("| beta    | 10 |"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn old_logs_and_files_go_and_the_table_stays() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    fill(table, 10).await?;
    table.compact().await?;
    assert_eq!(table.clean_log().await?, 0, "too young");
    assert_eq!(table.vacuum().await?, 0, "too young");
    assert_eq!(lake.sweep().await?, 0);
    fill(table, 1).await?;
    assert_eq!(count(table).await?, 55);
    Ok(())
}

fn call(call_id: &str, caller: u64, visitor: &str) -> CallRow {
    CallRow {
        account: "acme".into(),
        call_id: call_id.into(),
        revision: 1,
        direction: Direction::Inbound,
        started_at: DAY,
        answered_at: None,
        ended_at: None,
        caller: Party::Number(Phone(caller)),
        caller_country: None,
        tracking_number: Party::Number(Phone(14_155_550_100)),
        extension: None,
        destination: None,
        agent: None,
        outcome: None,
        cause: None,
        hangup_by: None,
        ring_seconds: None,
        talk_seconds: 31.5,
        total_seconds: None,
        in_business_hours: true,
        recording_url: Some("https://example.com/r.wav".into()),
        spam_score: None,
        attribution_method: Method::Lease,
        attribution_confidence: Some(0.9),
        source_confidence: None,
        candidates: 1,
        lease_id: None,
        session_id: None,
        visitor_id: Some(visitor.into()),
        pool: None,
        site: None,
        source: None,
        click_id_type: None,
        click_id: None,
        referrer: None,
        landing_page: Some("https://example.com/a?email=x".into()),
        call_page: None,
        experiment_id: None,
        experiment_variant: None,
        device: None,
        language: None,
        place: None,
        visit_number: None,
        session_started_at: None,
        session_pages: None,
        seconds_to_call: None,
        first_source: None,
        kinds: Kinds::default(),
    }
}

/// What a visitor such as `v1` is called once they are forgotten.
fn name_of(id: &str) -> String {
    format!("{ERASED}00000000-0000-4000-8000-{:0>12}", id.trim_start_matches('v'))
}

/// A visitor of `acme`, whose rows are theirs until then.
fn visitor(id: &str, until: Time) -> Person {
    Person {
        account: "acme".into(),
        visitor_id: Some(id.into()),
        phone: None,
        name: name_of(id),
        calls: Vec::new(),
        until,
        rejected_until: until,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_does_not_name_who_is_forgotten() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let bytes = [r#"{"visitor_id":"v1"}"#, r#"{"visitor_id":"v11"}"#, "from=%2B14155550123", "from=14155550199"];
    let row = |account, raw: &'static str, hour| RejectedRow {
        account: Some(account),
        reason: raw,
        path: "data",
        source: "file:1".into(),
        received_at: DAY.plus(hour * MICROS_PER_HOUR),
        raw: raw.as_bytes(),
    };
    let mut rows: Vec<RejectedRow> = bytes.iter().map(|raw| row("acme", raw, 0)).collect();
    rows.extend([row("acme", bytes[0], 2), row("beta", bytes[0], 0)]);
    table.commit(&table.write(rows_to_batches(&rows)?).await?, &[]).await?;
    let until = DAY.plus(MICROS_PER_HOUR);
    let person = visitor("v1", until);
    let caller = Person { visitor_id: None, phone: Some(Phone(14_155_550_123)), ..person.clone() };
    assert_eq!(lake.erase(&[person, caller]).await?, 1);
    let text = sql(
        table,
        "select count(*) as rows, count(raw) as raw, count(reason) as reasons, count(path) as paths from rejected",
    )
    .await?;
    assert!(text.contains("| 6    | 4   | 4       | 6     |"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_person_leaves_counts_only() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let (views, calls, notes) =
        (lake.table(TableName::PageViews), lake.table(TableName::Calls), lake.table(TableName::Notes));
    let visit = visit();
    let made = ["v1", "v2"].map(|visitor| PageView {
        visitor_id: visitor.into(),
        url: "https://example.com/a?email=x".into(),
        user_agent: Some("Mozilla".into()),
        ..PageView::default()
    });
    let event = event("acme", "1".into(), DAY);
    let rows = made.each_ref().map(|view| PageViewRow { event: &event, view, visit: &visit, ip: Some("192.0.2.1") });
    views.commit(&views.write(rows_to_batches(&rows)?).await?, &[]).await?;
    // Of the same name, but after the erasure.
    let later = CallRow { started_at: DAY.plus(MICROS_PER_HOUR), ..call("c3", 14_155_550_123, "v1") };
    // The names of made sessions begin with the visitor's.
    let of = |session: &str, row: CallRow| CallRow { session_id: Some(session.into()), ..row };
    // A call out went to the person's own number.
    let out = CallRow {
        direction: Direction::Outbound,
        destination: Some("+14155550123".into()),
        agent: Some("Ada".into()),
        ..call("c4", 14_155_550_123, "v1")
    };
    // Joined to them at first, and to somebody else as it counts.
    let moved = ["v1", "v2"].into_iter().zip(1..);
    let moved = moved.map(|(visitor, revision)| CallRow { revision, ..call("c5", 14_155_550_177, visitor) });
    let mut rows = vec![
        of("v1.1795132800000000", call("c1", 14_155_550_123, "v1")),
        of("v2.1795132800000000", call("c2", 14_155_550_199, "v2")),
        of("v1.own", later),
        of("v4.1795132800000000", call("c6", 14_155_550_166, "v4")),
        out,
    ];
    rows.extend(moved);
    calls.commit(&calls.write(rows_to_batches(&rows)?).await?, &[]).await?;
    let made = ["c1", "c2"].map(|call_id| CallNote {
        call_id: call_id.into(),
        status: Some("open".into()),
        comment: Some("call back Jane".into()),
        by: None,
    });
    let rows = made.each_ref().map(|data| NoteRow { event: &event, data, currency: None });
    notes.commit(&notes.write(rows_to_batches(&rows)?).await?, &[]).await?;

    let events = lake.table(TableName::WebEvents);
    let wish = |phone: &str| WebEvent {
        visitor_id: "v3".into(),
        name: "callback_request".into(),
        properties: serde_json::json!({ "phone": phone }).as_object().cloned(),
        ..WebEvent::default()
    };
    let made = ["+14155550777", "+141555507777"].map(wish);
    let rows = made.each_ref().map(|data| WebEventRow { event: &event, data, currency: None });
    events.commit(&events.write(rows_to_batches(&rows)?).await?, &[]).await?;

    let until = DAY.plus(MICROS_PER_HOUR - 1);
    let person = visitor("v1", until);
    let wisher = Person { visitor_id: None, phone: Some(Phone(14_155_550_777)), ..person.clone() };
    let later_person = Person { until: DAY.plus(2 * MICROS_PER_HOUR), ..person.clone() };
    let person = [person];
    assert_eq!(lake.erase(&person).await?, 3);
    assert_eq!(lake.erase(&person).await?, 0, "nothing is left to do");
    let text =
        sql(views, "select left(visitor_id, 7) as visitor, url, user_agent, ip from page_views order by 1").await?;
    assert!(text.contains("| erased- | https://example.com/a         |            |           |"), "{text}");
    assert!(text.contains("| v2      | https://example.com/a?email=x | Mozilla    | 192.0.2.1 |"), "{text}");
    let text = sql(calls, "select call_id, caller, talk_seconds, recording_url is null as gone from calls").await?;
    assert!(text.contains("| c1      | anonymous    | 31.5         | true  |"), "{text}");
    assert!(text.contains("| c2      | +14155550199 | 31.5         | false |"), "{text}");
    assert!(text.contains("| c3      | +14155550123 | 31.5         | false |"), "{text}");
    let text = sql(calls, "select call_id, destination, agent from calls where call_id = 'c4'").await?;
    assert!(text.contains("| c4      |             | Ada   |"), "{text}");
    let text = sql(
        calls,
        "select call_id, caller, visitor_id, recording_url is null as gone from calls where call_id = 'c5' and revision = 2",
    )
    .await?;
    assert!(text.contains("| c5      | +14155550177 | v2         | false |"), "{text}");
    let text = sql(
        calls,
        "select call_id, case when session_id = visitor_id || '.1795132800000000' then left(session_id, 7) else session_id end as told \
         from calls where call_id in ('c1', 'c2')",
    )
    .await?;
    assert!(text.contains("| c1      | erased- ") && text.contains("| c2      | v2.1795 "), "{text}");
    let text = sql(calls, "select count(*) as n from calls where session_id like 'v1.%'").await?;
    assert!(text.contains("| 1 "), "only that of whoever came later: {text}");
    let text = sql(notes, "select call_id, status, comment from notes order by 1").await?;
    assert!(
        text.contains("| c1      | open   |                |")
            && text.contains("| c2      | open   | call back Jane |"),
        "{text}"
    );

    assert_eq!(lake.erase(&[wisher]).await?, 1);
    let text = sql(events, "select left(visitor_id, 7) as visitor, properties from web_events order by 1").await?;
    assert!(
        text.contains("| erased- |                           |")
            && text.contains("| v3      | {\"phone\":\"+141555507777\"} |"),
        "{text}"
    );

    // Of a telephone alone, the call says no visitor by another name either.
    let caller = Person { visitor_id: None, phone: Some(Phone(14_155_550_166)), ..later_person.clone() };
    assert_eq!(lake.erase(&[caller]).await?, 1);
    let text = sql(
        calls,
        "select call_id, visitor_id || '.1795132800000000' = session_id as same, left(session_id, 7) as told from calls where call_id = 'c6'",
    )
    .await?;
    assert!(text.contains("| c6      | true | erased- |"), "{text}");

    // Whoever is forgotten together is still not one.
    let other_name = |id: &str| name_of(&format!("{id}0"));
    let both =
        ["v1", "v2"].map(|id| Person { visitor_id: Some(id.into()), name: other_name(id), ..later_person.clone() });
    assert_eq!(lake.erase(&both).await?, 3);
    let text =
        sql(calls, "select count(distinct visitor_id) as people, count(distinct caller) as callers from calls").await?;
    assert!(text.contains("| 4      | 1       |"), "{text}");
    Ok(())
}
