//! The prompt: queries end with `;` and may take several lines, commands begin with `\`, Ctrl-C stops the query that
//! runs and leaves the prompt.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use super::error::QueryError;
use super::output::{Output, Shape, pump};
use super::run::tell_cut;
use super::session::QuerySession;

/// Queries that are remembered from one prompt to the next.
const HISTORY_ENTRIES_MAX: usize = 1_000;

const HELP: &str = "\
Queries end with ; and may take several lines. Ctrl-C stops a query, Ctrl-D leaves.
  \\dt          the tables, and what they are made of (history.…, marts.…)
  \\d [NAME]    the columns of a table, such as calls or history.calls
  \\timing      tells how long queries take, or no longer
  \\?           this
  \\q           leaves";

/// What a line of the prompt asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Query(String),
    Quit,
    Timing,
    Help,
    Unknown(String),
}

impl Line {
    /// A command below an unfinished query takes its place; whoever wants to leave may say so in plain words.
    fn read(text: &str) -> Line {
        let text = text.trim();
        let text = text.lines().last().map(str::trim_start).filter(|last| last.starts_with('\\')).unwrap_or(text);
        match text.trim_end_matches([';', ' ']) {
            "quit" | "exit" => return Line::Quit,
            "help" => return Line::Help,
            _ => {}
        }
        let Some(command) = text.strip_prefix('\\') else {
            return if text.trim_matches([';', ' ', '\n', '\t']).is_empty() {
                Line::Nothing
            } else {
                Line::Query(text.to_owned())
            };
        };
        let command = command.trim_end_matches(';');
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, argument.trim()) {
            ("q", _) => Line::Quit,
            ("timing", _) => Line::Timing,
            ("?" | "h", _) => Line::Help,
            ("dt", _) | ("d", "") => Line::Query(tables_query()),
            ("d", table) => Line::Query(columns_query(table)),
            _ => Line::Unknown(format!("\\{name}")),
        }
    }
}

fn tables_query() -> String {
    "SELECT table_schema AS schema, table_name AS name FROM information_schema.tables \
     WHERE table_schema <> 'information_schema' \
     ORDER BY CASE table_schema WHEN 'public' THEN 0 WHEN 'marts' THEN 1 ELSE 2 END, name"
        .to_owned()
}

/// Of a table that is not there it fails, and says what there is.
fn columns_query(table: &str) -> String {
    let parts = table.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    format!("DESCRIBE {}", parts.collect::<Vec<_>>().join("."))
}

/// Tells the line editor when a query is whole.
struct Ends;

impl Validator for Ends {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Ends {
    type Candidate = String;
}
impl Hinter for Ends {
    type Hint = String;
}
impl Highlighter for Ends {}
impl Helper for Ends {}

/// A command, nothing at all, or SQL with a `;` at its end that stands in no string and no comment.
fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    let is_command = |line: &str| line.trim_start().starts_with('\\');
    if trimmed.is_empty()
        || trimmed.lines().last().is_some_and(is_command)
        || ["quit", "exit", "help"].contains(&trimmed)
    {
        return true;
    }
    // A string or a comment that is still open is an error to the tokenizer.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return false };
    tokens.iter().rev().find(|token| !matches!(token, Token::Whitespace(_))) == Some(&Token::SemiColon)
}

type Reader = Editor<Ends, FileHistory>;

/// Asks and answers until the asker has had enough.
pub async fn run(session: QuerySession, shape: Shape) -> Result<(), QueryError> {
    let history = history_file();
    let mut reader = Some(reader(history.as_ref()).map_err(|error| QueryError::Prompt(error.to_string()))?);
    tell("queries end with ; and may take several lines; \\? for help, \\q to leave");
    let mut is_timed = false;
    while let Some(mut editor) = reader.take() {
        // Reading a line blocks its thread, so it has one of its own.
        let asked = tokio::task::spawn_blocking(move || (editor.readline("callweave> "), editor)).await;
        let (line, mut editor) = asked.map_err(|error| QueryError::Prompt(error.to_string()))?;
        let text = match line {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => {
                reader = Some(editor);
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(QueryError::Prompt(error.to_string())),
        };
        if !text.trim().is_empty() {
            remember(&mut editor, &text, history.as_ref());
        }
        match Line::read(&text) {
            Line::Nothing => {}
            Line::Quit => break,
            Line::Help => tell(HELP),
            Line::Unknown(command) => tell(&format!("{command} is no command: \\? lists them")),
            Line::Timing => {
                is_timed = !is_timed;
                tell(if is_timed { "timing is on" } else { "timing is off" });
            }
            Line::Query(sql) => ask(&session, &sql, shape, is_timed).await,
        }
        reader = Some(editor);
    }
    Ok(())
}

/// Answers what was typed, or says why not.
async fn ask(session: &QuerySession, sql: &str, shape: Shape, is_timed: bool) {
    let start = Instant::now();
    tokio::select! {
        result = answer(session, sql, shape) => match result {
            Err(error) if !error.is_broken_pipe() => tell(&format!("error: {error}")),
            _ if is_timed => tell(&format!("{:.3} s", start.elapsed().as_secs_f64())),
            _ => {}
        },
        _ = tokio::signal::ctrl_c() => tell("stopped"),
    }
}

async fn answer(session: &QuerySession, sql: &str, shape: Shape) -> Result<(), QueryError> {
    for statement in session.admit(sql)? {
        let answer = session.answer(statement, sql).await?;
        let (written, to) = pump(answer, shape, sql, Output::open(None)?).await?;
        to.finish()?;
        if written.is_cut {
            tell_cut(written.rows, shape.format);
        }
    }
    Ok(())
}

fn tell(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn reader(history: Option<&PathBuf>) -> rustyline::Result<Reader> {
    let config = Config::builder().max_history_size(HISTORY_ENTRIES_MAX)?.history_ignore_space(true).build();
    let mut editor: Reader = Editor::with_config(config)?;
    editor.set_helper(Some(Ends));
    if let Some(path) = history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    Ok(editor)
}

/// Written after every query, so that a killed prompt has lost nothing. A prompt without a history is still a prompt.
fn remember(editor: &mut Reader, text: &str, history: Option<&PathBuf>) {
    let saved = editor.add_history_entry(text.trim()).and_then(|_| match history {
        Some(path) => editor.append_history(path),
        None => Ok(()),
    });
    if let Err(error) = saved {
        tracing::debug!(%error, "history could not be written");
    }
}

/// `$XDG_STATE_HOME/callweave/sql_history`, by default under `~/.local/state` (XDG Base Directory Specification 0.8).
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("callweave");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_ends_with_a_semicolon_of_its_own() {
        for (text, whole) in [
            ("", true),
            ("  ", true),
            ("\\q", true),
            ("\\d calls", true),
            ("SELECT 1\n\\q", true),
            ("quit", true),
            ("exit", true),
            ("help", true),
            ("quit\nx", false),
            ("SELECT 1", false),
            ("SELECT 1;", true),
            ("SELECT 1; ", true),
            ("SELECT 1;\n-- done;", true),
            ("SELECT ';", false),
            ("SELECT ';'", false),
            ("SELECT ';';", true),
            ("SELECT 1 -- ;", false),
            ("SELECT 1 /* ;", false),
            ("SELECT 1 /* ; */ ;", true),
            ("SELECT 1;\nSELECT", false),
        ] {
            assert_eq!(is_whole(text), whole, "{text:?}");
        }
    }

    #[test]
    fn commands_are_read() {
        for (text, line) in [
            ("", Line::Nothing),
            (" ; ", Line::Nothing),
            ("\\q", Line::Quit),
            ("\\q;", Line::Quit),
            ("SELECT 1\n  \\q", Line::Quit),
            ("exit;", Line::Quit),
            ("quit", Line::Quit),
            ("help", Line::Help),
            ("\\timing", Line::Timing),
            ("\\?", Line::Help),
            ("\\x", Line::Unknown("\\x".to_owned())),
            ("SELECT 1;", Line::Query("SELECT 1;".to_owned())),
            ("\\dt", Line::Query(tables_query())),
            ("\\d", Line::Query(tables_query())),
            ("\\d  history.calls", Line::Query(columns_query("history.calls"))),
        ] {
            assert_eq!(Line::read(text), line, "{text:?}");
        }
        assert_eq!(columns_query("history.calls"), r#"DESCRIBE "history"."calls""#);
        assert_eq!(columns_query(r#"x"; SELECT 1"#), r#"DESCRIBE "x""; SELECT 1""#);
    }
}
