//! `tests/sql/*.slt` over the lake that `tests/sql/story.ndjson` makes: marts, reports and the measures of
//! `queries/metrics.toml`, with answers that were worked out by hand.
//!
//! The files are in sqllogictest's format (<https://sqlite.org/sqllogictest>), with DataFusion's letters for types: B
//! boolean, D date, I integer, P instant, R real or decimal, T text. Values stand a space apart, nothing is NULL. A query
//! that begins with `report` is one of `callweave report`, with its flags. `CALLWEAVE_BLESS=1` writes the answers anew: they
//! have to be looked over then.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use callweave_core::time::Time;
use datafusion::arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::Failure;
use crate::lake::Lake;
use crate::process;
use crate::query::QuerySession;
use crate::query::format::Format;
use crate::query::library::{REPORTS, Text};
use crate::query::output::{Shape, pump};
use crate::query::report::narrow::Scope;
use crate::query::report::{ReportOptions, frame};
use crate::telemetry::progress::Progress;

/// The lake of the story.
pub(super) async fn story() -> Result<TempDir, Failure> {
    let dir = TempDir::new()?;
    let lake = Lake::open(&dir.path().to_string_lossy()).await?;
    let events = folder().join("story.ndjson");
    let now = Time::parse("2026-11-30T00:00:00Z")?;
    let summary =
        process::run(&[events], &lake, &Default::default(), &Default::default(), now, Progress::silent()).await?;
    // Vera's first joined call is written again: the second tells whose telephone it is.
    assert_eq!((summary.calls, summary.sessions, summary.counts.rejected), (13, 6, 0));
    Ok(dir)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql")
}

/// The types and the rows of an answer.
pub(super) async fn answer(session: &QuerySession, question: &str) -> Result<(String, Vec<Vec<String>>), Failure> {
    let (answer, sql) = match question.strip_prefix("report ") {
        Some(words) => {
            let options = flags(words)?;
            let name = options.name.clone().unwrap_or_default();
            let text = Text::find(REPORTS, &name).ok_or(format!("no report {name}"))?;
            let (scene, frame) = frame(session, text, &Scope::read(text, &options)?).await?;
            (scene.run(frame, text.sql).await?, text.sql)
        }
        None => {
            let statement = session.admit(question)?.pop().ok_or("no query")?;
            (session.answer(statement, question).await?, question)
        }
    };
    let schema = answer.schema.clone();
    let (_, bytes) = pump(answer, Shape::new(Format::Ndjson, None, None), sql, Vec::new()).await?;
    let rows = String::from_utf8(bytes)?;
    let rows: Result<Vec<Vec<String>>, Failure> =
        rows.lines().map(|row| Ok(told(&schema, &serde_json::from_str(row)?))).collect();
    Ok((types(&schema), rows?))
}

fn types(schema: &Schema) -> String {
    let letter = |data_type: &DataType| match data_type {
        DataType::Boolean => 'B',
        DataType::Date32 => 'D',
        DataType::Timestamp(..) => 'P',
        DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(..) => 'T',
        whole if whole.is_integer() => 'I',
        part if part.is_numeric() => 'R',
        _ => '?',
    };
    schema.fields().iter().map(|field| letter(field.data_type())).collect()
}

fn told(schema: &Schema, row: &Map<String, Value>) -> Vec<String> {
    let value = |name: &str| match row.get(name) {
        None | Some(Value::Null) => "NULL".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    schema.fields().iter().map(|field| value(field.name())).collect()
}

/// `NAME --flag VALUE`, with quotes around a value that has blanks.
fn flags(words: &str) -> Result<ReportOptions, Failure> {
    let mut parts = words.split('"').enumerate().flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    let mut options = ReportOptions { name: parts.next(), ..Default::default() };
    while let Some(flag) = parts.next() {
        let value = Some(parts.next().unwrap_or_default());
        match flag.as_str() {
            "--by" => options.by = value,
            "--where" => options.where_ = value,
            "--from" => options.from = value,
            "--to" => options.to = value,
            "--timezone" => options.timezone = value,
            "--account" => options.account = value,
            other => return Err(format!("{other} is no flag of a report in a test").into()),
        }
    }
    Ok(options)
}

/// One file, answered: what it should say, and where it says something else.
async fn answered(session: &QuerySession, text: &str) -> Result<(String, Vec<String>), Failure> {
    let mut lines = text.lines().enumerate();
    let (mut right, mut wrong) = (String::new(), Vec::new());
    while let Some((at, line)) = lines.next() {
        writeln!(right, "{line}")?;
        let mut part =
            |end: &str| -> Vec<&str> { lines.by_ref().map(|(_, it)| it).take_while(|it| *it != end).collect() };
        if let Some(types) = line.strip_prefix("query ") {
            let (question, expected) = (part("----").join("\n"), part(""));
            let (seen_types, seen) =
                answer(session, &question).await.map_err(|error| format!("line {}: {error}", at + 1))?;
            let seen: Vec<String> = seen.iter().map(|row| row.join(" ")).collect();
            if types != seen_types || expected != seen {
                wrong.push(format!(
                    "line {}: {question}\n  expected {types} {expected:#?}\n  seen {seen_types} {seen:#?}",
                    at + 1
                ));
            }
            right.truncate(right.len() - line.len() - 1);
            writeln!(right, "query {seen_types}\n{question}\n----")?;
            seen.iter().try_for_each(|row| writeln!(right, "{row}"))?;
            writeln!(right)?;
        } else if let Some(words) = line.strip_prefix("statement error ") {
            let question = part("").join("\n");
            let error = answer(session, &question).await.err().map(|error| error.to_string()).unwrap_or_default();
            if !error.contains(words) {
                wrong.push(format!("line {}: {question}\n  expected the error {words}\n  seen {error:?}", at + 1));
            }
            writeln!(right, "{question}\n")?;
        }
    }
    Ok((format!("{}\n", right.trim_end()), wrong))
}

#[tokio::test]
async fn the_story_has_known_answers() -> Result<(), Failure> {
    let dir = story().await?;
    let session = QuerySession::open(&dir.path().to_string_lossy())?;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder())?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|it| it == "slt"));
    files.sort();
    assert!(files.len() > 1, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let (right, offenders) = answered(&session, &std::fs::read_to_string(&path)?)
            .await
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if std::env::var_os("CALLWEAVE_BLESS").is_some() {
            std::fs::write(&path, right)?;
        } else {
            wrong.extend(offenders.into_iter().map(|it| format!("{}: {it}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
