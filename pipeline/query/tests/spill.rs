//! Statements whose joins have no room in memory.

use super::slt::{answer, story};
use super::{Failure, ask};
use crate::query::library::{MARTS, REPORTS};
use crate::query::{QueryError, QuerySession};
use tempfile::TempDir;

/// Rows of 100 letters and a number.
fn wide(rows: usize) -> String {
    format!("(SELECT value AS n, concat(repeat('x', 100), value) AS t FROM generate_series(1, {rows}))")
}

#[tokio::test]
async fn joins_beyond_the_memory_go_to_disk() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let lake = dir.path().to_string_lossy();
    let (bounded, unbounded) = (QuerySession::open_within(&lake, 8 << 20)?, QuerySession::open(&lake)?);
    let (a, b, few) = (wide(100_000), wide(80_000), wide(10));
    for (sql, expected) in [
        (format!("SELECT count(*), sum(a.n) FROM {a} a JOIN {b} b ON a.t = b.t"), "80000,3200040000\n"),
        (
            format!("SELECT count(*), count(b.t) FROM {a} a FULL JOIN {b} b ON a.t = b.t AND a.n + b.n > 18"),
            "100009,80000\n",
        ),
        (format!("SELECT count(*), count(b.t) FROM {a} a LEFT JOIN {b} b ON a.t = b.t"), "100000,80000\n"),
        (format!("SELECT count(*), count(b.t) FROM {a} a FULL JOIN {b} b ON a.t = b.t"), "100000,80000\n"),
        (
            format!("SELECT count(*), count(b.t) FROM {a} a LEFT JOIN {b} b ON a.t = b.t AND a.n + b.n > 18"),
            "100000,79991\n",
        ),
        (
            format!("SELECT count(*), count(b.t) FROM {b} b RIGHT JOIN {a} a ON a.t = b.t AND a.n + b.n > 18"),
            "100000,79991\n",
        ),
        (format!("SELECT count(*) FROM {a} a JOIN {b} b ON a.t = b.t AND a.n + b.n > 159000"), "500\n"),
        (format!("SELECT count(*) FROM {a} a WHERE EXISTS (SELECT 1 FROM {b} b WHERE a.t = b.t)"), "80000\n"),
        (format!("SELECT count(*) FROM {a} a WHERE NOT EXISTS (SELECT 1 FROM {b} b WHERE a.t = b.t)"), "20000\n"),
        (
            format!(
                "SELECT a.n, c.n FROM {a} a JOIN {b} b ON a.t = b.t LEFT JOIN {few} c ON c.n = b.n ORDER BY a.n LIMIT 2 OFFSET 9"
            ),
            "10,10\n11,\n",
        ),
    ] {
        assert_eq!(ask(&bounded, &sql).await.map_err(|error| format!("{sql}: {error}"))?, expected, "{sql}");
        assert_eq!(ask(&unbounded, &sql).await?, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_go_to_disk_says_so() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let bounded = QuerySession::open_within(&dir.path().to_string_lossy(), 8 << 20)?;
    let (a, b) = (wide(100_000), wide(80_000));
    for sql in [
        format!("SELECT count(a.t || b.t) FROM {a} a CROSS JOIN {b} b"),
        format!("SELECT count(*) FROM {a} a WHERE a.t NOT IN (SELECT nullif(b.t, 'x') FROM {b} b)"),
        // The join does, and what is made of it does not.
        format!("SELECT length(string_agg(a.t, ',')) FROM {a} a JOIN {b} b ON a.t = b.t"),
    ] {
        let answer = ask(&bounded, &sql).await;
        assert!(matches!(answer, Err(QueryError::Memory { .. })), "{sql}: {answer:?}");
    }
    // What failed holds nothing.
    assert_eq!(ask(&bounded, &format!("SELECT count(*) FROM {a} a JOIN {b} b ON a.t = b.t")).await?, "80000\n");
    Ok(())
}

/// The rows of one key are more than there is room for, and the engine takes them all the same.
#[tokio::test]
async fn one_key_takes_no_more_than_there_is() -> Result<(), Failure> {
    let dir = TempDir::new()?;
    let bounded = QuerySession::open_within(&dir.path().to_string_lossy(), 8 << 20)?;
    let (a, b) = (wide(150_000), wide(150_000));
    let sql = format!("SELECT count(*) FROM {a} a JOIN {b} b ON a.n / 1000000 = b.n / 1000000 AND a.t > b.t");
    let answer = ask(&bounded, &sql).await;
    assert!(matches!(answer, Err(QueryError::Memory { .. })), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn joins_of_sorted_sides_give_the_same_answers() -> Result<(), Failure> {
    let dir = story().await?;
    let lake = dir.path().to_string_lossy();
    let (by_hash, sorted) = (QuerySession::open(&lake)?, QuerySession::open(&lake)?.with_sorted_sides());
    let marts = MARTS.iter().map(|mart| format!("SELECT * FROM marts.{}", mart.name));
    let reports = REPORTS.iter().map(|report| format!("report {}", report.name));
    for question in marts.chain(reports) {
        let (mut expected, mut found) = (answer(&by_hash, &question).await?, answer(&sorted, &question).await?);
        if question.starts_with("SELECT") {
            expected.1.sort();
            found.1.sort();
        }
        assert_eq!(found, expected, "{question}");
    }
    Ok(())
}
