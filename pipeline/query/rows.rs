//! The rows of an answer one by one, for other parts of the program.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::error::QueryError;
use super::format::Format;
use super::output::{Shape, pump};
use super::session::QuerySession;

/// Asks a lake, and gives each row of the answer to `each` as it comes.
///
/// # Errors
/// The lake cannot be asked, or `each` failed.
pub async fn rows(
    lake: &str,
    sql: &str,
    each: impl FnMut(Map<String, Value>) -> io::Result<()> + Send,
) -> Result<(), QueryError> {
    let session = QuerySession::open(lake)?;
    let shape = Shape::new(Format::Ndjson, None, None);
    let mut lines = Lines { line: Vec::new(), each };
    for statement in session.admit(sql)? {
        let answer = session.answer(statement, sql).await?;
        (_, lines) = pump(answer, shape, sql, lines).await?;
    }
    Ok(())
}

/// Cuts what is written into lines, and reads each.
struct Lines<F> {
    line: Vec<u8>,
    each: F,
}

impl<F: FnMut(Map<String, Value>) -> io::Result<()>> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.extend(bytes);
            return Ok(bytes.len());
        };
        self.line.extend(&bytes[..end]);
        let row = serde_json::from_slice(&self.line).map_err(io::Error::other)?;
        self.line.clear();
        (self.each)(row)?;
        Ok(end + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_rows_however_they_are_written() {
        let text = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
        for size in 1..text.len() {
            let mut seen = Vec::new();
            let mut lines = Lines {
                line: Vec::new(),
                each: |row: Map<String, Value>| {
                    seen.push(row["a"].clone());
                    Ok(())
                },
            };
            text.chunks(size).for_each(|chunk| lines.write_all(chunk).expect("rows"));
            assert_eq!(seen, [1, 2, 3], "in pieces of {size}");
        }
    }
}
