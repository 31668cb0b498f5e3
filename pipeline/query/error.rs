//! What can go wrong between a question and its answer, told in the asker's words.

mod data;

use std::fmt;
use std::io;
use std::path::PathBuf;

use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use deltalake_core::DeltaTableError;

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Location(#[from] crate::lake::location::UrlError),
    #[error("table {table} of the lake cannot be opened: {source}")]
    Table { table: String, source: Box<DeltaTableError> },
    #[error("{0}")]
    Sql(Box<SqlError>),
    #[error(
        "{what} is refused: the lake is read-only here. Ask with SELECT, WITH, VALUES, EXPLAIN, DESCRIBE or SHOW TABLES"
    )]
    Refused { what: String },
    #[error("{what} is refused: the engine would answer that wrongly, without a word")]
    Wrong { what: String },
    #[error("the query is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("the query has {what}: {mend}")]
    TooDeep { what: String, mend: &'static str },
    #[error("there is no query: give one as an argument, in a file, or on standard input")]
    NoQuery,
    #[error(
        "{count} statements in one go, but the format {format} holds the result of one only: use `table`, or ask one at a time"
    )]
    OneStatement { count: usize, format: &'static str },
    #[error(
        "two columns of the answer are called {name}, and {format} would lose one of them: give one another name, as in `SELECT … AS other_name`"
    )]
    SameName { name: String, format: &'static str },
    #[error(
        "the query needs more memory than its limit of {max_mib} MiB: narrow it by date or account, or select fewer columns ({message})"
    )]
    Memory { max_mib: usize, message: String },
    #[error(
        "the query took longer than the {seconds} seconds that it may, by its login's `seconds` or a shorter statement_timeout: narrow it by date, or let that be raised"
    )]
    TimeUp { seconds: f64 },
    #[error(
        "the answer has more than {max} rows, which is this login's limit: add a LIMIT or group the rows, or let the login's `rows` be raised"
    )]
    TooManyRows { max: u64 },
    #[error(
        "the engine failed on this query, which is a fault of ours: its log tells more; fewer rows or columns may do"
    )]
    Panicked,
    #[error("the query was cancelled by who asked")]
    Cancelled,
    #[error(
        "{concurrent} queries of this login are running, which is its limit, and none ended in time: ask again later"
    )]
    Busy { concurrent: u32 },
    #[error(
        "a machine that worked on this query went away when a part of the answer was sent already: ask again, and the others answer"
    )]
    WorkerLost,
    #[error("{0}")]
    Login(String),
    #[error("the query failed: {message}")]
    Data { code: &'static str, message: String },
    #[error("the query failed: {0}")]
    Engine(Box<DataFusionError>),
    #[error("there is no report named {name}{near}. `callweave report` lists them", near = did_you_mean(.near))]
    NoReport { name: String, near: Option<String> },
    #[error("{flag} {problem}")]
    Parameter { flag: &'static str, problem: String },
    #[error("no format is named {name}{near}; there are {all}", near = did_you_mean(.near))]
    Format { name: String, near: Option<String>, all: String },
    #[error("{path} cannot be read: {source}", path = path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error(transparent)]
    SameFile(#[from] crate::files::outputs::Clash),
    #[error("{path} cannot be written: {source}", path = path.display())]
    Output { path: PathBuf, source: io::Error },
    #[error("the result cannot be encoded: {0}")]
    Encode(#[from] datafusion::arrow::error::ArrowError),
    #[error("the result cannot be encoded: {0}")]
    EncodeParquet(#[from] ParquetError),
    #[error("the prompt failed: {0}")]
    Prompt(String),
}

impl QueryError {
    /// Whether the asker has to change the command or the query (exit status 2), as against something that broke (1).
    pub fn is_usage(&self) -> bool {
        use QueryError::*;
        matches!(
            self,
            NoQuery
                | OneStatement { .. }
                | SameName { .. }
                | SameFile(_)
                | NoReport { .. }
                | Parameter { .. }
                | Format { .. }
                | TooLong { .. }
                | TooDeep { .. }
                | Location(_)
        )
    }

    /// The bound that a running query has met, if that is what ended it.
    pub(crate) fn bound(&self) -> Option<&QueryError> {
        let error = match self {
            QueryError::Engine(error) => error,
            bound => return bound.is_bound().then_some(bound),
        };
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
        while let Some(error) = next {
            if let Some(bound) = error.downcast_ref::<QueryError>() {
                return Some(bound);
            }
            next = error.source();
        }
        None
    }

    fn is_bound(&self) -> bool {
        use QueryError::*;
        matches!(self, TimeUp { .. } | TooManyRows { .. } | Memory { .. } | Cancelled | WorkerLost | Panicked)
    }

    /// The same bound again, for who has another's alone.
    fn bound_again(&self) -> Option<QueryError> {
        match self {
            QueryError::TimeUp { seconds } => Some(QueryError::TimeUp { seconds: *seconds }),
            QueryError::TooManyRows { max } => Some(QueryError::TooManyRows { max: *max }),
            QueryError::Memory { max_mib, message } => {
                Some(QueryError::Memory { max_mib: *max_mib, message: message.clone() })
            }
            QueryError::Cancelled => Some(QueryError::Cancelled),
            QueryError::WorkerLost => Some(QueryError::WorkerLost),
            QueryError::Panicked => Some(QueryError::Panicked),
            _ => None,
        }
    }

    /// Whether the reader of standard output went away, as `head` does: nothing to complain about.
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            QueryError::Output { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            QueryError::Encode(error) => has_broken_pipe(error),
            QueryError::EncodeParquet(error) => has_broken_pipe(error),
            _ => false,
        }
    }

    pub(crate) fn engine(error: DataFusionError) -> QueryError {
        QueryError::Engine(Box::new(error))
    }

    /// That there was no room within the limit, if that is what the error says.
    pub(crate) fn of_memory(error: &DataFusionError, limit_bytes: usize) -> Option<QueryError> {
        let DataFusionError::ResourcesExhausted(message) = error.find_root() else { return None };
        let message = message.lines().next().unwrap_or_default().to_owned();
        Some(QueryError::Memory { max_mib: limit_bytes >> 20, message })
    }

    /// An error of planning or running, with its place in `sql` where the engine knows it.
    pub(crate) fn from_engine(error: DataFusionError, sql: &str) -> QueryError {
        if let DataFusionError::External(inner) = error.find_root()
            && let Some(bound) = inner.downcast_ref().and_then(QueryError::bound_again)
        {
            return bound;
        }
        if let Some((code, message)) = of_data(&error) {
            return QueryError::Data { code, message };
        }
        if let Some(memory) = QueryError::of_memory(&error, super::session::MEMORY_BYTES_MAX) {
            return memory;
        }
        match error.find_root() {
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Diagnostic(..) => QueryError::Sql(Box::new(SqlError::new(&error, sql))),
            _ => QueryError::Engine(Box::new(error)),
        }
    }
}

/// SQLSTATE and words where a value could not be computed, such as a text that is no number or a division by zero.
pub(crate) fn of_data(error: &DataFusionError) -> Option<(&'static str, String)> {
    let in_filter = data::in_filter(error);
    let error = in_filter.as_ref().unwrap_or(error);
    let is_of_data = matches!(error.find_root(), DataFusionError::ArrowError(..) | DataFusionError::Execution(_));
    is_of_data.then(|| (data::code(error), data::words(error)))
}

fn has_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    // Arrow's CSV writer keeps no source, only its words.
    error.to_string().contains("Broken pipe")
}

fn did_you_mean(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(": did you mean {near}?"))
}

/// The name nearest to `name` by edit distance, if it is near enough to be a slip of the finger.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::levenshtein(&name, &k.to_ascii_lowercase()), k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k.to_owned())
}

/// A query that could not be understood: what, where, and what to try.
#[derive(Debug, PartialEq)]
pub struct SqlError {
    pub message: String,
    /// Line and column in the query, both from 1.
    pub position: Option<(usize, usize)>,
    /// The line of the query that `position` names.
    pub line: Option<String>,
    pub helps: Vec<String>,
}

impl SqlError {
    fn new(error: &DataFusionError, sql: &str) -> SqlError {
        let text = error.strip_backtrace();
        let message = match error.find_root() {
            DataFusionError::SQL(parser, _) => {
                let text = parser.to_string();
                let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
                text.split(" at Line: ").next().unwrap_or(text).to_owned()
            }
            DataFusionError::NotImplemented(message) if is_tied(message) => TIED.to_owned(),
            DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => message.clone(),
            _ => text.strip_prefix("Schema error: ").unwrap_or(&text).to_owned(),
        };
        let diagnostic = error.diagnostic();
        let span = diagnostic.and_then(|d| d.span.or_else(|| d.notes.iter().find_map(|n| n.span)));
        let position = span.map(|s| (s.start.line as usize, s.start.column as usize)).or_else(|| position_in(&text));
        // Line 0 is how the parser says that it does not know.
        let position = position.filter(|(line, column)| *line > 0 && *column > 0);
        SqlError {
            message: message.trim_end_matches('.').to_owned(),
            line: position.and_then(|(line, _)| sql.lines().nth(line - 1)).map(str::to_owned),
            position,
            helps: diagnostic.map(|d| d.helps.iter().map(|h| h.message.clone()).collect()).unwrap_or_default(),
        }
    }
}

/// What the engine says (DataFusion 55.2) where a subquery could not be made a join.
fn is_tied(message: &str) -> bool {
    let of = message.strip_prefix("Physical plan does not support logical expression ");
    of.is_some_and(|of| {
        ["OuterReferenceColumn", "ScalarSubquery", "Exists", "InSubquery"].iter().any(|it| of.starts_with(it))
    })
}

const TIED: &str = "a subquery that looks at the query around it by more than equality, or within a LIMIT, is not supported: join with it and \
    group; for the first rows of each, number them with row_number() OVER (PARTITION BY … ORDER BY …) and keep the first";

/// `… at Line: 2, Column: 7`, as the parser writes it.
fn position_in(text: &str) -> Option<(usize, usize)> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, column.parse().ok()?))
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some((line, column)) = self.position {
            write!(f, " (line {line}, column {column})")?;
            if let Some(text) = &self.line {
                write!(f, "\n  {text}\n  {:>column$}", "^")?;
            }
        }
        for help in &self.helps {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["sources", "numbers", "hours"];
        assert_eq!(nearest("source", known).as_deref(), Some("sources"));
        assert_eq!(nearest("Nubmers", known).as_deref(), Some("numbers"));
        assert_eq!(nearest("deals", known), None);
    }

    #[test]
    fn a_position_is_read_from_the_parsers_words() {
        assert_eq!(position_in("Expected: x at Line: 2, Column: 17"), Some((2, 17)));
        assert_eq!(position_in("Expected: x"), None);
    }
}
