//! Lines of text files: cells of a CSV line.

use crate::limits::{COLUMNS_MAX, RECORD_LINE_BYTES_MAX};

/// The cells of a line, with quotes doubled inside of quotes (RFC 4180, section 2; Asterisk's `cdr_csv`). A quote that is
/// never closed ends with the line, cells beyond the limit are passed over.
///
/// # Errors
/// With the reason, in words that follow "the line".
pub(super) fn cells(line: &[u8]) -> Result<Vec<String>, String> {
    if line.len() > RECORD_LINE_BYTES_MAX {
        return Err(format!("has {} bytes, and may have {RECORD_LINE_BYTES_MAX} at most", line.len()));
    }
    // Names of callers come in whatever encoding their telephone has.
    let text = String::from_utf8_lossy(line);
    let mut cells = Vec::new();
    let (mut cell, mut in_quotes) = (String::new(), false);
    let mut letters = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if in_quotes && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if !in_quotes && cell.is_empty() => in_quotes = true,
            // Names with quotes of their own come unescaped from some versions: a quote closes only where a cell ends.
            '"' if in_quotes && matches!(letters.peek(), None | Some(',')) => in_quotes = false,
            ',' if !in_quotes => {
                cells.push(std::mem::take(&mut cell));
                if cells.len() == COLUMNS_MAX {
                    return Ok(cells);
                }
            }
            other => cell.push(other),
        }
    }
    cells.push(cell);
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_lines_as_asterisk_writes_them() {
        for (line, expected) in [
            ("a,b,,", &["a", "b", "", ""][..]),
            ("\"\",\"a,b\",\"\"\"Ada\"\" <12>\",5\r\n", &["", "a,b", "\"Ada\" <12>", "5"]),
            ("\"open, end", &["open, end"]),
            ("\"\"\"\"\"\"\"\" <7001>\",\"a\"b\",c\"d", &["\"\"\"\" <7001>", "a\"b", "c\"d"]),
            ("", &[""]),
        ] {
            assert_eq!(cells(line.as_bytes()).unwrap(), expected, "{line}");
        }
        assert_eq!(cells(&vec![b','; 1000]).unwrap().len(), COLUMNS_MAX);
        assert!(cells(&vec![b'a'; RECORD_LINE_BYTES_MAX + 1]).is_err());
    }
}
