//! `COPY … TO STDOUT`: the answer of a question as text or CSV (PostgreSQL's manual, COPY), for psql's `\copy` and psycopg's `copy`.

use bytes::{Buf, Bytes};
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Query, Statement,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use futures::{Sink, SinkExt, StreamExt};

use super::errors;

/// What a `COPY … TO STDOUT` asks for; of another statement nothing.
pub(super) fn question(statement: &Statement) -> Option<Box<Query>> {
    let Statement::Copy { source, to: true, target: CopyTarget::Stdout, .. } = statement else { return None };
    match source {
        CopySource::Query(query) => Some(query.clone()),
        CopySource::Table { table_name, columns } => {
            let columns = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let columns = if columns.is_empty() { "*" } else { &columns };
            let text = format!("SELECT {columns} FROM {table_name}");
            Parser::new(&PostgreSqlDialect {}).try_with_sql(&text).ok()?.parse_query().ok()
        }
    }
}

/// How rows are written.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    is_csv: bool,
    delimiter: char,
    null: String,
    header: bool,
    quote: char,
    escape: char,
}

impl Shape {
    /// # Errors
    /// An option that is not known here.
    pub(super) fn of(statement: &Statement) -> PgWireResult<Shape> {
        let Statement::Copy { options, legacy_options, .. } = statement else {
            return Shape::finish(false, Said::default());
        };
        let (mut is_csv, mut said) = (false, Said::default());
        for option in options {
            match option {
                CopyOption::Format(format) if format.value.eq_ignore_ascii_case("csv") => is_csv = true,
                CopyOption::Format(format) if format.value.eq_ignore_ascii_case("text") => {}
                CopyOption::Delimiter(delimiter) => said.delimiter = Some(*delimiter),
                CopyOption::Null(null) => said.null = Some(null.clone()),
                CopyOption::Header(header) => said.header = *header,
                CopyOption::Quote(quote) => said.quote = Some(*quote),
                CopyOption::Escape(escape) => said.escape = Some(*escape),
                CopyOption::Encoding(name) if name.replace('-', "").eq_ignore_ascii_case("utf8") => {}
                other => return Err(unknown(&other.to_string())),
            }
        }
        for option in legacy_options {
            match option {
                CopyLegacyOption::Csv(options) => {
                    is_csv = true;
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => said.header = true,
                            CopyLegacyCsvOption::Quote(quote) => said.quote = Some(*quote),
                            CopyLegacyCsvOption::Escape(escape) => said.escape = Some(*escape),
                            other => return Err(unknown(&other.to_string())),
                        }
                    }
                }
                CopyLegacyOption::Header => said.header = true,
                CopyLegacyOption::Delimiter(delimiter) => said.delimiter = Some(*delimiter),
                CopyLegacyOption::Null(null) => said.null = Some(null.clone()),
                other => return Err(unknown(&other.to_string())),
            }
        }
        Shape::finish(is_csv, said)
    }

    fn finish(is_csv: bool, said: Said) -> PgWireResult<Shape> {
        let quote = said.quote.unwrap_or('"');
        let shape = Shape {
            is_csv,
            delimiter: said.delimiter.unwrap_or(if is_csv { ',' } else { '\t' }),
            null: said.null.unwrap_or_else(|| if is_csv { String::new() } else { "\\N".to_owned() }),
            header: said.header,
            quote,
            escape: said.escape.unwrap_or(quote),
        };
        if matches!(shape.delimiter, '\n' | '\r')
            || !shape.delimiter.is_ascii()
            || shape.delimiter == shape.quote && is_csv
        {
            return Err(errors::invalid(format!("COPY: {:?} cannot part columns", shape.delimiter)));
        }
        Ok(shape)
    }

    /// One row, with its end.
    fn line<'a>(&self, values: impl Iterator<Item = Option<&'a str>>) -> Bytes {
        let mut line = String::new();
        for (at, value) in values.enumerate() {
            if at > 0 {
                line.push(self.delimiter);
            }
            match value {
                None => line.push_str(&self.null),
                Some(value) if self.is_csv => self.csv(&mut line, value),
                Some(value) => self.text(&mut line, value),
            }
        }
        line.push('\n');
        line.into()
    }

    fn text(&self, line: &mut String, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => line.push_str("\\\\"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                '\t' => line.push_str("\\t"),
                '\u{8}' => line.push_str("\\b"),
                '\u{b}' => line.push_str("\\v"),
                '\u{c}' => line.push_str("\\f"),
                c if c == self.delimiter => line.extend(['\\', c]),
                c => line.push(c),
            }
        }
    }

    fn csv(&self, line: &mut String, value: &str) {
        let is_special = |c: char| c == self.delimiter || c == self.quote || c == '\n' || c == '\r';
        // What is written like nothing, or like the end of the data, is no value without quotes.
        if !value.contains(is_special) && value != self.null && value != "\\." {
            line.push_str(value);
            return;
        }
        line.push(self.quote);
        for c in value.chars() {
            if c == self.quote || c == self.escape {
                line.push(self.escape);
            }
            line.push(c);
        }
        line.push(self.quote);
    }
}

#[derive(Default)]
struct Said {
    delimiter: Option<char>,
    null: Option<String>,
    header: bool,
    quote: Option<char>,
    escape: Option<char>,
}

fn unknown(option: &str) -> PgWireError {
    let known = "write FORMAT csv or text, HEADER, DELIMITER, NULL, QUOTE, ESCAPE";
    errors::info(errors::NOT_SUPPORTED, format!("COPY … TO STDOUT knows no {option}: {known}"))
}

/// Sends the rows, each in a message of its own: psycopg takes them apart by that. An error on the way is told as any other.
pub(super) async fn send<C>(client: &mut C, mut answer: QueryResponse, shape: &Shape) -> PgWireResult<Response>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let columns = answer.row_schema();
    let count = i16::try_from(columns.len()).unwrap_or(i16::MAX);
    let begin = CopyOutResponse::new(0, count, vec![0; columns.len()]);
    client.feed(PgWireBackendMessage::CopyOutResponse(begin)).await?;
    if shape.header {
        let names = shape.line(columns.iter().map(|column| Some(column.name())));
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(names))).await?;
    }
    let mut rows = 0;
    while let Some(row) = answer.data_rows().next().await {
        let values = values(row?.data.freeze())?;
        let texts = values.iter().map(|value| value.as_deref().map(std::str::from_utf8).transpose());
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|error| PgWireError::ApiError(Box::new(error)))?;
        client.feed(PgWireBackendMessage::CopyData(CopyData::new(shape.line(texts.into_iter())))).await?;
        rows += 1;
    }
    client.feed(PgWireBackendMessage::CopyDone(CopyDone::new())).await?;
    Ok(Response::Execution(Tag::new("COPY").with_rows(rows)))
}

/// The values of a row as it is sent: each its length, -1 for nothing, and that many bytes.
fn values(mut row: Bytes) -> PgWireResult<Vec<Option<Bytes>>> {
    let mut values = Vec::new();
    while row.remaining() >= 4 {
        let length = usize::try_from(row.get_i32()).ok();
        if length.is_some_and(|length| length > row.remaining()) {
            return Err(errors::info(errors::INTERNAL, "a row ends before its values".to_owned()));
        }
        values.push(length.map(|length| row.split_to(length)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Statement {
        Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap()
    }

    #[test]
    fn rows_are_written_as_postgresql_writes_them() {
        let row = [Some("a"), None, Some(""), Some("x,y"), Some("say \"no\""), Some("two\nlines\tand\\"), Some("\\.")];
        for (options, expected) in [
            ("", "a\t\\N\t\tx,y\tsay \"no\"\ttwo\\nlines\\tand\\\\\t\\\\.\n"),
            ("WITH (FORMAT text, DELIMITER ',', NULL '-')", "a,-,,x\\,y,say \"no\",two\\nlines\\tand\\\\,\\\\.\n"),
            ("(FORMAT csv)", "a,,\"\",\"x,y\",\"say \"\"no\"\"\",\"two\nlines\tand\\\",\"\\.\"\n"),
            ("csv header", "a,,\"\",\"x,y\",\"say \"\"no\"\"\",\"two\nlines\tand\\\",\"\\.\"\n"),
            (
                "WITH (FORMAT csv, DELIMITER ';', NULL 'a', QUOTE '''')",
                "'a';a;;x,y;say \"no\";'two\nlines\tand\\';'\\.'\n",
            ),
        ] {
            let shape = Shape::of(&parsed(&format!("COPY calls TO STDOUT {options}"))).unwrap();
            assert_eq!(shape.line(row.into_iter()), expected, "{options}");
            assert_eq!(shape.header, options.contains("header"), "{options}");
        }
        for options in ["(FORMAT binary)", "binary", "(FORMAT csv, FORCE_QUOTE (a))", "(FORMAT csv, DELIMITER '\"')"] {
            assert!(Shape::of(&parsed(&format!("COPY calls TO STDOUT {options}"))).is_err(), "{options}");
        }
    }

    #[test]
    fn what_is_copied_is_a_question() {
        for (sql, expected) in [
            ("COPY calls TO STDOUT", Some("SELECT * FROM calls")),
            ("COPY marts.calls (call_id, \"date\") TO STDOUT", Some("SELECT call_id, \"date\" FROM marts.calls")),
            ("COPY (SELECT 1) TO STDOUT", Some("SELECT 1")),
            ("COPY calls FROM STDIN", None),
            ("COPY calls TO '/tmp/x'", None),
            ("COPY calls TO PROGRAM 'id'", None),
        ] {
            assert_eq!(question(&parsed(sql)).map(|query| query.to_string()).as_deref(), expected, "{sql}");
        }
    }
}
