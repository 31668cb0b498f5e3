//! `callweave sql`: one text of SQL and its answers, or the prompt.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use super::error::QueryError;
use super::format::Format;
use super::guard::QUERY_BYTES_MAX;
use super::output::{Output, Shape, pump};
use super::prompt;
use super::session::QuerySession;
use crate::files::outputs;
use crate::lake::{TableName, location};
use crate::telemetry::say;

#[derive(Debug, Clone, Default)]
pub struct SqlOptions {
    /// A folder or a URL.
    pub lake: String,
    pub query: Option<String>,
    /// `-` is standard input.
    pub file: Option<PathBuf>,
    pub format: Format,
    pub output: Option<PathBuf>,
    /// Rows of each result. Nothing: all, of a table the first [`super::format::TABLE_ROWS_MAX`].
    pub max_rows: Option<usize>,
}

/// Answers the query, or that of the file, or that of standard input where it is no terminal; else opens the prompt.
///
/// A reader of standard output that goes away ends it without an error.
pub async fn sql(options: SqlOptions) -> Result<(), QueryError> {
    let shape = Shape::new(options.format, options.output.as_deref(), options.max_rows);
    refuse_bytes_on_terminal(options.format, options.output.as_deref())?;
    refuse_inside(&options.lake, options.output.as_deref())?;
    let input = options.query.is_none().then(|| options.file.as_deref().unwrap_or(Path::new("-")));
    outputs::apart(input, &[("--output", options.output.as_deref())])?;
    let text = match (options.query, options.file) {
        (Some(_), Some(_)) => {
            return Err(QueryError::Parameter {
                flag: "--file",
                problem: "stands beside a query: give one of them".to_owned(),
            });
        }
        (Some(query), None) => query,
        (None, Some(path)) => read_file(&path)?,
        (None, None) if !std::io::stdin().is_terminal() => read_file(Path::new("-"))?,
        (None, None) if options.output.is_some() => return Err(QueryError::NoQuery),
        (None, None) => return prompt::run(open(&options.lake)?, shape).await,
    };
    let session = open(&options.lake)?;
    tokio::select! {
        result = answer_all(&session, &text, shape, options.output.as_deref()) => match result {
            Err(error) if error.is_broken_pipe() => Ok(()),
            result => result,
        },
        _ = tokio::signal::ctrl_c() => {
            session.cleared().await;
            Err(QueryError::Cancelled)
        }
    }
}

/// Opens a lake, and says so where there is nothing in it: one folder too high, everything is empty, too.
pub(super) fn open(lake: &str) -> Result<QuerySession, QueryError> {
    let session = QuerySession::open(lake)?;
    if let Some(told) = no_tables(lake) {
        say!("callweave: {told}");
    }
    Ok(session)
}

fn no_tables(lake: &str) -> Option<String> {
    let has_tables =
        |folder: &Path| TableName::ALL.iter().any(|table| folder.join(table.name()).join("_delta_log").is_dir());
    let folder = location::folder(lake).ok().filter(|folder| !has_tables(folder))?;
    let inner = ["lake", "callweave-data/lake"].map(|below| folder.join(below));
    let found = inner.iter().find(|inner| has_tables(inner));
    let mend = found.map_or(String::new(), |inner| format!("; there are some in {}", inner.display()));
    Some(format!("there are no tables in {}{mend}", folder.display()))
}

pub(super) fn refuse_bytes_on_terminal(format: Format, output: Option<&Path>) -> Result<(), QueryError> {
    if format.is_binary() && output.is_none() && std::io::stdout().is_terminal() {
        return Err(QueryError::Parameter {
            flag: "--format",
            problem: format!("{format} is no text: give --output FILE, or send standard output elsewhere"),
        });
    }
    Ok(())
}

/// What is written into the lake's folder could be one of its files.
pub(super) fn refuse_inside(lake: &str, output: Option<&Path>) -> Result<(), QueryError> {
    let Some((output, lake)) = output.zip(location::folder(lake).ok()) else { return Ok(()) };
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = folder.canonicalize().ok().zip(lake.canonicalize().ok()).filter(|(of, lake)| of.starts_with(lake));
    let Some((_, lake)) = inside else { return Ok(()) };
    let problem = format!("{} lies in the lake at {}: write it elsewhere", output.display(), lake.display());
    Err(QueryError::Parameter { flag: "--output", problem })
}

async fn answer_all(session: &QuerySession, text: &str, shape: Shape, output: Option<&Path>) -> Result<(), QueryError> {
    let statements = session.admit(text)?;
    match statements.len() {
        0 => return Err(QueryError::NoQuery),
        1 => {}
        _ if shape.format.is_sequence() => {}
        count => return Err(QueryError::OneStatement { count, format: shape.format.name() }),
    }
    let mut to: Option<Output> = None;
    for statement in statements {
        let answer = session.answer(statement, text).await?;
        // The file is made only when the first query is known to make sense.
        let open = match to.take() {
            Some(open) => open,
            None => Output::open(output)?,
        };
        let (written, open) = pump(answer, shape, text, open).await?;
        if written.is_cut {
            tell_cut(written.rows, shape.format);
        }
        to = Some(open);
    }
    to.map_or(Ok(()), Output::finish)
}

/// On standard error, so that results stay clean.
pub(super) fn tell_cut(rows: usize, format: Format) {
    let hint = if format == Format::Table { "; --max-rows or another --format shows more" } else { "" };
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "only the first {rows} rows are shown{hint}");
}

fn read_file(path: &Path) -> Result<String, QueryError> {
    let failed = |source| QueryError::Input {
        path: if path == Path::new("-") { "standard input".into() } else { path.to_owned() },
        source,
    };
    let mut text = String::new();
    let bound = QUERY_BYTES_MAX as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().take(bound).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text)).map_err(failed)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_too_high_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        assert_eq!(no_tables(data), Some(format!("there are no tables in {data}")));
        std::fs::create_dir_all(folder.path().join("lake/calls/_delta_log")).unwrap();
        assert_eq!(no_tables(data), Some(format!("there are no tables in {data}; there are some in {data}/lake")));
        assert_eq!(no_tables(&format!("{data}/lake")), None);
    }
}
