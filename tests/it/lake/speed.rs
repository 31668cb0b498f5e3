//! Not a benchmark of record (those are in `benches/`): a look at the parts, in the profile of the tests.
//! `cargo test --test it lake::speed -- --ignored --nocapture`

use std::time::Instant;

use callweave::lake::table::PageViewRow;
use callweave_core::event::PageView;
use callweave_core::phone::Phone;

use super::rows::{event, visit};
use super::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn page_views_to_parquet() -> Outcome {
    const ROWS: usize = 500_000;
    const BATCH: usize = 8192;
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = lake.table(TableName::PageViews);
    let visit = visit();
    let views: Vec<PageView<'static>> = (0..ROWS)
        .map(|n| PageView {
            visitor_id: format!("{:016x}", n / 5 * 7919 % 1_000_003).into(),
            session_id: Some(format!("{:016x}", n / 3 * 104_729 % 10_000_019).into()),
            page_view_id: Some(format!("{n:016x}").into()),
            url: format!("https://www.example.com/products/{}?utm_source=google&utm_medium=cpc", n % 500).into(),
            referrer: Some("https://www.google.com/".into()),
            title: Some("Products".into()),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
            language: Some("de-DE".into()),
            numbers: Some(vec![Phone(14_155_550_000 + n as u64 % 100)]),
            ..PageView::default()
        })
        .collect();
    let accounts = ["acme", "beta", "gamma"];
    let events: Vec<_> =
        (0..ROWS).map(|n| event(accounts[n % 3], format!("01J{n:023}"), DAY.plus(n as i64 * 1000))).collect();
    let rows: Vec<PageViewRow<'_>> = events
        .iter()
        .zip(&views)
        .map(|(event, view)| PageViewRow { event, view, visit: &visit, ip: Some("192.0.2.17") })
        .collect();

    let start = Instant::now();
    let mut batches = Vec::new();
    for chunk in rows.chunks(BATCH) {
        batches.extend(rows_to_batches(chunk)?);
    }
    let built = start.elapsed();
    let writer = table.writer();
    for batch in batches {
        writer.push(batch).await?;
    }
    let adds = writer.finish().await?;
    let written = start.elapsed() - built;
    let bytes: i64 = adds.iter().map(|add| add.size).sum();
    table.commit(&adds, &[mark("p0", None, 1)]).await?;
    let rate = |seconds: f64| ROWS as f64 / seconds / 1e6;
    println!(
        "rows -> Arrow {:.2} M rows/s; Arrow -> Parquet {:.2} M rows/s (one thread); {:.0} bytes a row, {} files",
        rate(built.as_secs_f64()),
        rate(written.as_secs_f64()),
        bytes as f64 / ROWS as f64,
        adds.len()
    );
    assert_eq!(count(table).await?, ROWS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn commit_latency() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let mut took = Vec::new();
    for to in 0..300i64 {
        let start = Instant::now();
        let adds = table.write(rows("acme", to as usize, 20)?).await?;
        let wrote = start.elapsed();
        table.commit(&adds, &[mark("p0", (to > 0).then_some(to - 1), to)]).await?;
        took.push((wrote, start.elapsed()));
    }
    for at in [0, 10, 50, 98, 99, 100, 101, 200, 299] {
        println!("commit {at}: file {:?}, in all {:?}", took[at].0, took[at].1);
    }
    Ok(())
}
