//! What is written is what SQL reads.

use callweave::lake::table::{PageViewRow, TranscriptRow};
use callweave_core::event::{Body, Event, PageView, Segment, Speaker, Transcript};
use callweave_core::phone::Phone;
use callweave_core::source::{Agent, Channel, Place, Utm, Visit};
use callweave_core::time::MICROS_PER_DAY;

use super::*;

pub fn event(account: &str, id: String, time: Time) -> Event<'_> {
    let body = Body::PageView(PageView::default());
    Event { account: account.into(), source: "web".into(), id: id.into(), time, recorded: time, body }
}

pub fn visit() -> Visit<'static> {
    Visit {
        utm: Utm { campaign: Some("spring".into()), ..Utm::default() },
        click_id: None,
        channel: Channel::PaidSearch,
        source: "google".into(),
        medium: "cpc".into(),
        referrer: None,
        agent: Arc::new(Agent { device: Some("mobile".into()), browser: Some("Firefox".into()), os: None }),
        place: Arc::new(Place { country: Some("DE".into()), ..Place::default() }),
        language: Some("de".into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_views_come_back_as_they_were() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = lake.table(TableName::PageViews);
    let view = PageView {
        visitor_id: "v1".into(),
        url: "https://example.com/?utm_campaign=spring".into(),
        numbers: Some(vec![Phone(14155550123), Phone(493012345678)]),
        consent: Some(serde_json::json!({ "ads": false })),
        ..PageView::default()
    };
    let visit = visit();
    // Two days, and not in order.
    let events = [
        event("beta", "3".into(), DAY.plus(MICROS_PER_DAY)),
        event("beta", "2".into(), DAY.plus(1)),
        event("acme", "1".into(), DAY),
    ];
    let rows: Vec<PageViewRow<'_>> =
        events.iter().map(|event| PageViewRow { event, view: &view, visit: &visit, ip: Some("192.0.2.0") }).collect();
    let adds = table.write(rows_to_batches(&rows)?).await?;
    assert_eq!(adds.len(), 2);
    table.commit(&adds, &[mark("p0", None, 3)]).await?;
    let text = sql(
        table,
        "select account, date, time, event_id, url, numbers, channel, source, campaign, device, os, ip, consent \
         from page_views order by event_id",
    )
    .await?;
    let expected = "\
+---------+------------+-----------------------------+----------+------------------------------------------+-----------------------------+-------------+--------+----------+--------+----+-----------+---------------+
| account | date       | time                        | event_id | url                                      | numbers                     | channel     | source | campaign | device | os | ip        | consent       |
+---------+------------+-----------------------------+----------+------------------------------------------+-----------------------------+-------------+--------+----------+--------+----+-----------+---------------+
| acme    | 2026-11-20 | 2026-11-20T00:00:00Z        | 1        | https://example.com/?utm_campaign=spring | [+14155550123, +493012345678] | Paid Search | google | spring   | mobile |    | 192.0.2.0 | {\"ads\":false} |
| beta    | 2026-11-20 | 2026-11-20T00:00:00.000001Z | 2        | https://example.com/?utm_campaign=spring | [+14155550123, +493012345678] | Paid Search | google | spring   | mobile |    | 192.0.2.0 | {\"ads\":false} |
| beta    | 2026-11-21 | 2026-11-21T00:00:00Z        | 3        | https://example.com/?utm_campaign=spring | [+14155550123, +493012345678] | Paid Search | google | spring   | mobile |    | 192.0.2.0 | {\"ads\":false} |
+---------+------------+-----------------------------+----------+------------------------------------------+-----------------------------+-------------+--------+----------+--------+----+-----------+---------------+";
    let words = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|l| !l.starts_with('+'))
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&text), words(expected), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn transcripts_keep_their_segments() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = lake.table(TableName::Transcripts);
    let event = event("acme", "1".into(), DAY);
    let segment = |speaker, start_seconds, text: &'static str| Segment { speaker, start_seconds, text: text.into() };
    let transcript = |segments| Transcript { call_id: "c1".into(), segments, language: None };
    let full = transcript(vec![segment(Speaker::Agent, 0.5, "hello"), segment(Speaker::Caller, 2.0, "hi")]);
    let empty = transcript(Vec::new());
    let rows = [
        TranscriptRow { event: &event, data: &full, currency: None },
        TranscriptRow { event: &event, data: &empty, currency: None },
    ];
    let adds = table.write(rows_to_batches(&rows)?).await?;
    table.commit(&adds, &[]).await?;
    let text = sql(table, "select segments[2]['text'] as said, cardinality(segments) as n from transcripts").await?;
    assert!(text.contains("| hi   | 2 |"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_by_account_and_day_skip_files() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let day = (MICROS_PER_DAY / MICROS_PER_SECOND) as usize;
    for (n, (account, first)) in [("acme", 0), ("beta", 0), ("acme", day), ("beta", day)].into_iter().enumerate() {
        let to = n as i64;
        let from = (n > 0).then_some(to - 1);
        table.commit(&table.write(rows(account, first, 3)?).await?, &[mark("p0", from, to)]).await?;
    }
    for (filter, files) in [
        ("date = '2026-11-20'", 2),
        ("account = 'acme'", 2),
        ("account = 'acme' and date = '2026-11-21'", 1),
        ("received_at > timestamp '2026-11-21T00:00:01Z'", 2),
        ("account = 'gamma'", 0),
        ("true", 4),
    ] {
        let plan = sql(table, &format!("explain select * from rejected where {filter}")).await?;
        let read = plan.matches(".parquet").count();
        assert_eq!(read, files, "{filter}\n{plan}");
    }
    Ok(())
}
