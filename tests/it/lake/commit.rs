//! Rows are in exactly once, whatever is repeated.

use callweave::lake::{CommitError, Committed};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_repeated_changes_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let adds = table.write(rows("acme", 0, 10)?).await?;
    let marks = [mark("p0", None, 100)];
    assert_eq!(table.mark("p0").await?, None);
    assert_eq!(table.commit(&adds, &marks).await?, Committed::Now { version: 1 });
    assert_eq!(table.commit(&adds, &marks).await?, Committed::Before { version: 1 });
    assert_eq!(table.mark("p0").await?, Some(100));

    // A program that was started again knows nothing but what the table tells.
    let again = open(&dir).await?;
    assert_eq!(rejected(&again).commit(&adds, &marks).await?, Committed::Before { version: 1 });
    assert_eq!(count(rejected(&again)).await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_never_committed_are_not_there() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    rejected(&lake).write(rows("acme", 0, 10)?).await?;
    let again = open(&dir).await?;
    let table = rejected(&again);
    assert_eq!(count(table).await?, 0);
    let adds = table.write(rows("acme", 0, 10)?).await?;
    table.commit(&adds, &[mark("p0", None, 10)]).await?;
    assert_eq!(count(table).await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_one_is_fenced() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (old, new) = (open(&dir).await?, open(&dir).await?);
    let (old, new) = (rejected(&old), rejected(&new));
    let first = old.write(rows("acme", 0, 5)?).await?;
    old.commit(&first, &[mark("p0", None, 5)]).await?;
    new.commit(&new.write(rows("acme", 5, 5)?).await?, &[mark("p0", Some(5), 10)]).await?;

    // The old one does not know yet, and has put the same events together otherwise.
    let stale = old.write(rows("acme", 5, 3)?).await?;
    assert_eq!(old.commit(&stale, &[mark("p0", Some(5), 8)]).await?, Committed::Before { version: 2 });
    let longer = old.write(rows("acme", 5, 9)?).await?;
    let error = old.commit(&longer, &[mark("p0", Some(5), 14)]).await;
    assert!(matches!(error, Err(CommitError::Fenced { held: Some(10), .. })), "{error:?}");
    assert_eq!(count(new).await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_different_partitions_do_not_disturb_each_other() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (one, two) = (open(&dir).await?, open(&dir).await?);
    let owner = async |table: &Table, app: &'static str| -> Result<(), Box<dyn Error>> {
        let mut held = None;
        for to in 1..=10 {
            let adds = table.write(rows(app, to as usize, 1)?).await?;
            table.commit(&adds, &[mark(app, held, to)]).await?;
            held = Some(to);
        }
        Ok(())
    };
    let (a, b) = tokio::join!(owner(rejected(&one), "p0"), owner(rejected(&two), "p1"));
    a?;
    b?;
    assert_eq!(count(rejected(&one)).await?, 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_marks_go_together_or_not_at_all() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let both = [mark("p0", None, 7), mark("p1", None, 3)];
    table.commit(&table.write(rows("acme", 0, 10)?).await?, &both).await?;
    let mixed = [mark("p0", None, 7), mark("p1", Some(3), 9)];
    let error = table.commit(&table.write(rows("acme", 0, 16)?).await?, &mixed).await;
    assert!(matches!(error, Err(CommitError::Mixed { .. })), "{error:?}");
    let gap = table.commit(&[], &[mark("p1", Some(4), 9)]).await;
    assert!(matches!(gap, Err(CommitError::Fenced { held: Some(3), .. })), "{gap:?}");
    let back = table.commit(&[], &[mark("p1", Some(9), 9)]).await;
    assert!(matches!(back, Err(CommitError::Backwards { .. })), "{back:?}");
    assert_eq!(count(table).await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_outlive_checkpoints() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    let adds = table.write(rows("acme", 0, 2)?).await?;
    table.commit(&adds, &[mark("quiet", None, 1)]).await?;
    for to in 1..=101 {
        table.commit(&[], &[mark("busy", (to > 1).then_some(to - 1), to)]).await?;
    }
    let log = dir.path().join("rejected/_delta_log");
    assert!(log.join("_last_checkpoint").exists(), "a checkpoint was made");
    let again = open(&dir).await?;
    assert_eq!(rejected(&again).mark("quiet").await?, Some(1));
    assert_eq!(rejected(&again).mark("busy").await?, Some(101));
    assert_eq!(count(rejected(&again)).await?, 2);
    Ok(())
}
