//! `?` in prepared statements, which the engine knows as `$1`, `$2`, … ADBC for Python writes nothing else (`paramstyle` qmark).

use std::borrow::Cow;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use tonic::Status;

/// The text with its `?` numbered; those in texts, comments and quoted names are left alone. What has no tokens is left to the parser.
///
/// # Errors
/// Some are numbered already.
pub(super) fn numbered(sql: &str) -> Result<Cow<'_, str>, Status> {
    if !sql.contains('?') {
        return Ok(Cow::Borrowed(sql));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() else {
        return Ok(Cow::Borrowed(sql));
    };
    let lines: Vec<&str> = sql.split_inclusive('\n').collect();
    let begins: Vec<usize> = lines
        .iter()
        .scan(0, |at, line| {
            let begin = *at;
            *at += line.len();
            Some(begin)
        })
        .collect();
    let (mut told, mut done, mut count, mut is_numbered) = (String::new(), 0, 0, false);
    for token in &tokens {
        let Token::Placeholder(name) = &token.token else { continue };
        if name != "?" {
            is_numbered = true;
            continue;
        }
        let at = token.span.start;
        let line = usize::try_from(at.line).unwrap_or(0).wrapping_sub(1);
        let column = usize::try_from(at.column).unwrap_or(0).wrapping_sub(1);
        let within = lines.get(line).and_then(|line| line.char_indices().nth(column)).map(|(within, _)| within);
        let (Some(begin), Some(within)) = (begins.get(line), within) else { continue };
        count += 1;
        told += sql.get(done..begin + within).unwrap_or_default();
        told += &format!("${count}");
        done = begin + within + 1;
    }
    if count > 0 && is_numbered {
        return Err(Status::invalid_argument(
            "parameters are written as ? and with numbers: write them in one way, ? or $1",
        ));
    }
    told += sql.get(done..).unwrap_or_default();
    Ok(Cow::Owned(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_numbered_where_they_are_parameters() {
        for (sql, expected) in [
            ("SELECT 1", Some("SELECT 1")),
            ("SELECT ?, ? + 1", Some("SELECT $1, $2 + 1")),
            ("SELECT 'ü?', \"a?\", ? -- ?\n, /* ? */ ?", Some("SELECT 'ü?', \"a?\", $1 -- ?\n, /* ? */ $2")),
            (
                "SELECT 'it''s?' || ?\r\nWHERE a = ? AND b = 'é' LIMIT ?",
                Some("SELECT 'it''s?' || $1\r\nWHERE a = $2 AND b = 'é' LIMIT $3"),
            ),
            ("SELECT $1, '?'", Some("SELECT $1, '?'")),
            ("SELECT ?, $2", None),
            ("SELECT 'open ?", Some("SELECT 'open ?")),
        ] {
            assert_eq!(numbered(sql).ok().as_deref(), expected, "{sql}");
        }
    }
}
