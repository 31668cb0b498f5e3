use std::path::Path;
use std::sync::Arc;

use callweave_core::event::decode;
use callweave_core::join::Effects;

use super::*;
use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::log::{Append, MessageId, Subject};

type Done = Result<(), Box<dyn std::error::Error>>;

async fn log(folder: &Path, name: &str, partitions: u16) -> Result<SharedLog, Box<dyn std::error::Error>> {
    let options = EmbeddedOptions { partitions: Some(partitions), ..EmbeddedOptions::default() };
    Ok(Arc::new(EmbeddedLog::open(folder.join(name), options).await?))
}

async fn append(log: &SharedLog, count: u128) -> Done {
    for id in 1..=count {
        let payload = Bytes::from_static(b"{}");
        log.append(Append { subject: Subject::tick(0), message_id: MessageId(id), expect: None, payload }).await?;
    }
    Ok(())
}

/// A state that knows something.
fn state() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut join = Join::new(Mode::Live);
    let view = br#"{"specversion":"1.0","id":"1","source":"t","type":"page_view","time":"2026-11-20T12:00:00Z","account":"acme",
        "data":{"visitor_id":"v","url":"https://a.example/"}}"#;
    let view = decode(view, None).map_err(|rejected| rejected.reason)?;
    join.apply(&view, None, &mut Effects::default());
    Ok(join.snapshot()?)
}

#[tokio::test]
async fn logs_have_places_in_the_order_of_their_coming() -> Done {
    let folder = tempfile::tempdir()?;
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy()).await?;
    let (first, second) = (log(folder.path(), "first", 2).await?, log(folder.path(), "second", 2).await?);
    // A snapshot from before the lake kept which logs it was filled from.
    lake.state().put("log-1", 40, state()?.into()).await?;
    let one = Source::find(&lake, &*first, 1).await?;
    assert_eq!((one.number, one.name().as_str()), (0, "log-1"));
    assert_eq!(Source::find(&lake, &*first, 1).await?, one, "the same again");
    assert_eq!(one.restore(lake.state(), &Marks::new(), 1).await?.0, 40);

    let two = Source::find(&lake, &*second, 1).await?;
    assert_eq!((two.number, two.name().as_str()), (1, "log-1-1"));
    let (at, join) = two.restore(lake.state(), &Marks::new(), 1).await?;
    assert_eq!((at, join.sizes().visitors), (0, 1), "from its beginning, with what was known");
    two.keep(lake.state(), (7, Time(5)), &Marks::new(), join.snapshot()?).await?;
    assert_eq!(
        (two.restore(lake.state(), &Marks::new(), 1).await?.0, two.appended(lake.state(), 7).await?),
        (7, Some(Time(5)))
    );

    let back = Source::find(&lake, &*first, 1).await.expect_err("it was followed");
    assert!(back.is_final() && back.to_string().contains("was followed by another one"), "{back}");
    let late =
        one.keep(lake.state(), (50, Time(5)), &Marks::new(), state()?).await.expect_err("another fills the lake");
    assert!(late.is_final() && late.to_string().contains("another process"), "{late}");

    // Accounts lie elsewhere in a log of other partitions.
    let wider = log(folder.path(), "wider", 3).await?;
    let three = Source::find(&lake, &*wider, 1).await?;
    let (at, join) = three.restore(lake.state(), &Marks::new(), 1).await?;
    assert_eq!((three.name().as_str(), at, join.sizes().visitors), ("log-2-1", 0, 0));
    Ok(())
}

#[tokio::test]
async fn a_copy_is_found_out() -> Done {
    let folder = tempfile::tempdir()?;
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy()).await?;
    let log = log(folder.path(), "log", 1).await?;
    append(&log, 5).await?;
    let source = Source::find(&lake, &*log, 0).await?;
    source.check(&lake, &*log, 5).await?;
    let short = source.check(&lake, &*log, 6).await.expect_err("a table holds more");
    assert!(short.is_final() && short.to_string().contains("older copy"), "{short}");
    let entry = log.read(0, 2).next().await.ok_or("no entries")??[0].clone();
    source.keep(lake.state(), (3, entry.appended), &Marks::new(), state()?).await?;
    source.check(&lake, &*log, 5).await?;
    source.keep(lake.state(), (4, Time(1)), &Marks::new(), state()?).await?;
    let copy = source.check(&lake, &*log, 5).await.expect_err("entry 4 is another one");
    assert!(copy.is_final() && copy.to_string().contains("entry 4"), "{copy}");
    Ok(())
}

#[tokio::test]
async fn a_damaged_time_is_none() -> Done {
    let folder = tempfile::tempdir()?;
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy()).await?;
    let log = log(folder.path(), "log", 1).await?;
    append(&log, 5).await?;
    let source = Source::find(&lake, &*log, 0).await?;
    let appended = log.read(0, 3).next().await.ok_or("no entries")??[0].appended;
    source.keep(lake.state(), (4, appended), &Marks::new(), state()?).await?;
    let kept = lake.state().get("log-0-at", 4).await?;
    assert_eq!((kept.len(), source.appended(lake.state(), 4).await?), (16, Some(appended)));
    for place in 0..kept.len() {
        let mut damaged = kept.to_vec();
        damaged[place] ^= 1;
        lake.state().put("log-0-at", 4, damaged.into()).await?;
        assert_eq!(source.appended(lake.state(), 4).await?, None, "byte {place}");
        source.check(&lake, &*log, 5).await?;
    }
    for length in (0..kept.len()).filter(|length| *length != 8) {
        lake.state().put("log-0-at", 4, kept.slice(..length)).await?;
        assert_eq!(source.appended(lake.state(), 4).await?, None, "{length} bytes");
    }
    lake.state().put("log-0-at", 3, kept.clone()).await?;
    assert_eq!(source.appended(lake.state(), 3).await?, None, "of another entry");

    // From before there were checksums.
    lake.state().put("log-0-at", 4, Bytes::copy_from_slice(&appended.0.to_le_bytes())).await?;
    assert_eq!(source.appended(lake.state(), 4).await?, Some(appended));
    source.check(&lake, &*log, 5).await?;
    lake.state().put("log-0-at", 4, Bytes::copy_from_slice(&1_i64.to_le_bytes())).await?;
    let copy = source.check(&lake, &*log, 5).await.expect_err("entry 4 is another one");
    assert!(copy.is_final() && copy.to_string().contains("entry 4"), "{copy}");
    Ok(())
}

#[tokio::test]
async fn snapshots_of_another_version_want_the_whole_log() -> Done {
    let folder = tempfile::tempdir()?;
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy()).await?;
    let log = log(folder.path(), "log", 1).await?;
    append(&log, 6).await?;
    let source = Source::find(&lake, &*log, 0).await?;
    let mut old = state()?;
    // Behind the magic.
    old[7] = 3;
    lake.state().put("log-0", 4, old.clone().into()).await?;
    lake.state().put("log-0", 3, Bytes::new()).await?;
    source.check(&lake, &*log, 6).await?;
    log.trim(0, 3).await?;
    let gone = source.check(&lake, &*log, 6).await.expect_err("entries 1 and 2 cannot be told again");
    assert!(gone.is_final(), "{gone}");
    for part in ["partition 0", "_state/log-0/00000000000000000004", "of version 3", "begins with entry 3"] {
        assert!(gone.to_string().contains(part), "{gone}");
    }
    let looked = look_over(&lake, &log, &Troubles::default(), &CancellationToken::new()).await;
    assert!(looked.is_err_and(|error| error.is_final()), "nothing is taken in");

    // One that can be read stands before it, and the log goes on from there.
    lake.state().put("log-0", 2, state()?.into()).await?;
    source.check(&lake, &*log, 6).await?;
    log.trim(0, 4).await?;
    source.check(&lake, &*log, 6).await.expect_err("entry 3 cannot be told again");
    lake.state().put("log-0", 5, state()?.into()).await?;
    source.check(&lake, &*log, 6).await?;

    // A new log begins anew.
    let new = self::log(folder.path(), "new", 1).await?;
    let source = Source::find(&lake, &*new, 0).await?;
    source.check(&lake, &*new, 0).await?;
    Ok(())
}

/// A table that was put back is filled again from a snapshot that it has reached, or from the log's beginning.
#[tokio::test]
async fn a_snapshot_is_passed_over_that_a_table_is_behind_of() -> Done {
    let folder = tempfile::tempdir()?;
    let lake = Lake::open(&folder.path().join("lake").to_string_lossy()).await?;
    let log = log(folder.path(), "log", 1).await?;
    let source = Source::find(&lake, &*log, 0).await?;
    let marks = |calls: u64| Marks::from([("calls".to_owned(), calls), ("leases".to_owned(), 2)]);
    for (at, calls) in [(10, 8), (20, 15)] {
        source.keep(lake.state(), (at, Time(5)), &marks(calls), state()?).await?;
    }
    for (calls, first, expected) in
        [(15, 1, 20), (40, 30, 20), (14, 1, 10), (8, 11, 10), (7, 1, 0), (7, 5, 20), (8, 12, 20)]
    {
        let (at, join) = source.restore(lake.state(), &marks(calls), first).await?;
        assert_eq!((at, join.sizes().visitors), (expected, usize::from(expected > 0)), "{calls} of {first}");
    }
    // One that has no mark at all was taken away.
    let (at, _) = source.restore(lake.state(), &Marks::from([("calls".to_owned(), 15)]), 1).await?;
    assert_eq!(at, 0);
    Ok(())
}
