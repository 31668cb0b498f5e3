//! `SIMILAR TO`: the engine takes its pattern for a regular expression that may stand anywhere, without wildcards. So it is written as
//! the regular expression that PostgreSQL makes of it (`similar_to_escape`), in words of Rust's `regex`.

use std::iter::Peekable;
use std::str::Chars;

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Value, ValueWithSpan};

use crate::query::words::joined;

/// What is more than itself somewhere in a regular expression.
const SPECIAL: &str = "\\.+*?()|[]{}^$#&-~";
/// Letters that mean the same behind a backslash here and there.
const ESCAPES: &str = "dDsSwWnrtfv";

/// The match in other words; nothing if the pattern is no literal, or none that is surely understood alike.
pub(super) fn matched(negated: bool, expr: &Expr, pattern: &Expr, escape: Option<&ValueWithSpan>) -> Option<Expr> {
    let regex = regex(text(pattern)?, escape_of(escape)?)?;
    let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    let right = Expr::Value(Value::SingleQuotedString(regex).with_empty_span());
    Some(joined(expr.clone(), op, right))
}

/// What escapes; the inner nothing: nothing does.
fn escape_of(written: Option<&ValueWithSpan>) -> Option<Option<char>> {
    let Some(written) = written else { return Some(Some('\\')) };
    let mut chars = literal(&written.value)?.chars();
    let escape = chars.next();
    chars.next().is_none().then_some(escape)
}

fn text(pattern: &Expr) -> Option<&str> {
    match pattern {
        Expr::Value(value) => literal(&value.value),
        Expr::Nested(inner) | Expr::Cast { expr: inner, data_type: DataType::Text | DataType::Varchar(None), .. } => {
            text(inner)
        }
        _ => None,
    }
}

fn literal(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        _ => None,
    }
}

fn regex(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut told = "^(?s:".to_owned();
    let mut chars = pattern.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            _ if Some(next) == escape => tell_escaped(&mut told, chars.next()?)?,
            '[' => tell_class(&mut told, &mut chars, escape)?,
            '%' => told.push_str(".*"),
            '_' => told.push('.'),
            '(' => told.push_str("(?:"),
            '{' if !chars.peek().is_some_and(char::is_ascii_digit) => told.push_str("\\{"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => told.push(next),
            _ => tell(&mut told, next),
        }
    }
    told.push_str(")$");
    Some(told)
}

/// A character that stands for itself.
fn tell(told: &mut String, char: char) {
    if SPECIAL.contains(char) {
        told.push('\\');
    }
    told.push(char);
}

fn tell_escaped(told: &mut String, char: char) -> Option<()> {
    if ESCAPES.contains(char) {
        told.extend(['\\', char]);
    } else if char.is_ascii_alphanumeric() || char == '"' {
        return None;
    } else {
        tell(told, char);
    }
    Some(())
}

/// What stands in brackets, of which the first has been read.
fn tell_class(told: &mut String, chars: &mut Peekable<Chars<'_>>, escape: Option<char>) -> Option<()> {
    told.push('[');
    if chars.next_if_eq(&'^').is_some() {
        told.push('^');
    }
    if chars.next_if_eq(&']').is_some() {
        told.push_str("\\]");
    }
    loop {
        match chars.next()? {
            next if Some(next) == escape => tell_escaped(told, chars.next()?)?,
            ']' => {
                told.push(']');
                return Some(());
            }
            '[' if chars.peek() == Some(&':') => {
                told.push('[');
                told.extend(chars.by_ref().take_while(|next| *next != ']'));
                told.push(']');
            }
            '[' if matches!(chars.peek(), Some('.' | '=')) => return None,
            '-' => told.push('-'),
            next => tell(told, next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::reworded;
    use super::*;

    #[test]
    fn patterns_as_regular_expressions() {
        for (pattern, escape, expected) in [
            ("a%", Some('\\'), Some("a.*")),
            ("_b|c+", Some('\\'), Some(".b|c+")),
            ("(a|b){2,3}?", Some('\\'), Some("(?:a|b){2,3}?")),
            ("a.b^c$", Some('\\'), Some("a\\.b\\^c\\$")),
            ("100\\%\\_\\\\", Some('\\'), Some("100%_\\\\")),
            ("100#%\\", Some('#'), Some("100%\\\\")),
            ("\\%", None, Some("\\\\.*")),
            ("+49", Some('\\'), Some("+49")),
            ("\\+49\\d*", Some('\\'), Some("\\+49\\d*")),
            ("[^a-c%_.]", Some('\\'), Some("[^a-c%_\\.]")),
            ("[]&&[]", Some('\\'), Some("[\\]\\&\\&\\[]")),
            ("[[:alpha:]_]%", Some('\\'), Some("[[:alpha:]_].*")),
            ("[\\]]", Some('\\'), Some("[\\]]")),
            ("a{b}", Some('\\'), Some("a\\{b}")),
            ("", Some('\\'), Some("")),
            ("ü-#", Some('\\'), Some("ü\\-\\#")),
            ("[a", Some('\\'), None),
            ("a\\", Some('\\'), None),
            ("\\ma", Some('\\'), None),
            ("[[=a=]]", Some('\\'), None),
        ] {
            let expected = expected.map(|inner| format!("^(?s:{inner})$"));
            assert_eq!(regex(pattern, escape), expected, "{pattern}");
        }
    }

    #[test]
    fn literal_patterns_are_matched() {
        for (expr, expected) in [
            ("a SIMILAR TO 'b%'", "a ~ '^(?s:b.*)$'"),
            ("a NOT SIMILAR TO ('b#%'::text) ESCAPE '#'", "a !~ '^(?s:b%)$'"),
            ("a SIMILAR TO 'b\\' ESCAPE ''", "a ~ '^(?s:b\\\\)$'"),
            ("a SIMILAR TO b", "a SIMILAR TO b"),
            ("a SIMILAR TO 'b' || c", "a SIMILAR TO 'b' || c"),
            ("a SIMILAR TO 'b' ESCAPE 'cd'", "a SIMILAR TO 'b' ESCAPE 'cd'"),
        ] {
            assert_eq!(reworded(&format!("SELECT 1 WHERE {expr}")), format!("SELECT 1 WHERE {expected}"));
        }
    }
}
