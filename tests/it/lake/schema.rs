//! What tables look like, and what happens to one that looks otherwise.

use std::path::Path;

use callweave::lake::OpenError;
use deltalake_core::kernel::{DataType, StructField};
use deltalake_core::operations::create::CreateBuilder;

use super::*;

/// The committed description of every table is what the code makes. `CALLWEAVE_BLESS=1` writes it anew.
#[test]
fn committed_schemas_are_the_codes() -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tables");
    let bless = std::env::var_os("CALLWEAVE_BLESS").is_some();
    for name in TableName::ALL {
        let path = folder.join(format!("{name}.json"));
        let text = name.definition().describe();
        if bless {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, &text)?;
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "{} differs; CALLWEAVE_BLESS=1 writes it anew", path.display());
    }
    Ok(())
}

#[test]
fn every_table_begins_with_account_and_time() {
    for name in TableName::ALL {
        let columns = name.definition().columns;
        assert_eq!(columns[0].name, "account", "{name}");
        assert!(matches!(columns[1].data_type, arrow::datatypes::DataType::Timestamp(..)), "{name}");
        assert!(columns[0].stats && columns[1].stats, "{name}");
        let mut names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), columns.len(), "{name} has a column twice");
    }
}

#[test]
fn calls_and_sessions_have_the_contracts_columns() {
    const CALLS: &str = "account call_id revision direction started_at answered_at ended_at caller caller_country \
        tracking_number extension destination agent outcome cause hangup_by ring_seconds talk_seconds total_seconds \
        in_business_hours recording_url attribution_method attribution_confidence source_confidence candidates \
        lease_id session_id visitor_id pool site channel source medium campaign term content click_id_type click_id \
        referrer landing_page call_page experiment_id experiment_variant device browser os language country region \
        city visit_number session_started_at session_pages seconds_to_call first_channel first_source first_medium \
        first_campaign caller_calls is_unique is_target is_repeated is_first_target is_unique_target";
    const SESSIONS: &str = "account session_id visitor_id visit_number started_at ended_at pages channel source medium \
        campaign term content click_id_type click_id referrer landing_page exit_page experiment_id \
        experiment_variant device browser os language country region city";
    for (name, expected) in [(TableName::Calls, CALLS), (TableName::Sessions, SESSIONS)] {
        let columns = name.definition().columns;
        for column in expected.split_whitespace() {
            assert!(columns.iter().any(|c| c.name == column), "{name} lacks {column}");
        }
    }
}

async fn foreign(dir: &tempfile::TempDir, columns: Vec<StructField>, partition: &str) -> Outcome {
    let path = dir.path().join("rejected");
    std::fs::create_dir_all(&path)?;
    CreateBuilder::new()
        .with_location(path.to_string_lossy())
        .with_columns(columns)
        .with_partition_columns([partition])
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_table_is_refused() -> Outcome {
    let dir = tempfile::tempdir()?;
    let columns = vec![StructField::nullable("account", DataType::LONG), StructField::nullable("date", DataType::DATE)];
    foreign(&dir, columns, "date").await?;
    let error = Lake::open(&dir.path().to_string_lossy()).await;
    assert!(matches!(&error, Err(OpenError::Schema { column, .. }) if column == "account"), "{error:?}");

    let dir = tempfile::tempdir()?;
    let columns = vec![StructField::nullable("a", DataType::LONG), StructField::nullable("b", DataType::STRING)];
    foreign(&dir, columns, "b").await?;
    let error = Lake::open(&dir.path().to_string_lossy()).await;
    assert!(matches!(error, Err(OpenError::Partition { .. })), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_older_version_grows_and_one_of_a_newer_is_kept() -> Outcome {
    let dir = tempfile::tempdir()?;
    let text = |name: &str| StructField::nullable(name, DataType::STRING);
    let columns = vec![
        text("of_a_newer_version"),
        text("account"),
        StructField::nullable("date", DataType::DATE),
        StructField::nullable("received_at", DataType::TIMESTAMP),
    ];
    foreign(&dir, columns, "date").await?;
    let lake = open(&dir).await?;
    let table = rejected(&lake);
    table.commit(&table.write(rows("acme", 0, 3)?).await?, &[]).await?;
    let text = sql(table, "select distinct account, reason, of_a_newer_version, date from rejected").await?;
    assert!(text.contains("| acme    | is not JSON |                    | 2026-11-20 |"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_many_open_at_once_is_made_once() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lakes = futures::future::try_join_all((0..4).map(|_| open(&dir))).await?;
    for lake in lakes {
        for table in lake.tables() {
            assert_eq!(table.version().await?, 0, "{}", table.name());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_makes_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("none");
    let error = Lake::open_to_read(&path.to_string_lossy()).await;
    assert!(matches!(error, Err(OpenError::Url(_))), "{error:?}");
    let error = Lake::open_to_read(&dir.path().to_string_lossy()).await;
    assert!(matches!(error, Err(OpenError::MissingTable { .. })), "{error:?}");
    assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
    open(&dir).await?;
    let lake = Lake::open_to_read(&dir.path().to_string_lossy()).await?;
    assert_eq!(count(rejected(&lake)).await?, 0);
    Ok(())
}
