//! Values that cannot be computed: in the engine's words without what it was doing when it met them, and by PostgreSQL's codes
//! (its manual, appendix A).

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

const DATA: &str = "22000";
const OUT_OF_RANGE: &str = "22003";
const NO_TIME: &str = "22007";
const NO_SUCH_TIME: &str = "22008";
const DIVISION_BY_ZERO: &str = "22012";
const NO_SUCH_TEXT: &str = "22P02";

/// What the reader of Parquet says where a condition cannot be computed (DataFusion 55.2, `row_filter.rs`): the error behind it, in Rust's notation.
const IN_FILTER: &str = "Error evaluating filter predicate: ";

/// The error of a condition that the reader of files was to look at, which keeps no more of it than its text.
pub fn in_filter(error: &DataFusionError) -> Option<DataFusionError> {
    let DataFusionError::ParquetError(inner) = error.find_root() else { return None };
    let text = inner.to_string();
    let (_, told) = text.split_once(IN_FILTER)?;
    let quoted = told.split_once("(\"").and_then(|(_, rest)| rest.split("\")").next());
    let words = quoted.unwrap_or(told).replace("\\\"", "\"").replace("\\\\", "\\");
    let Some((_, kind)) = told.split_once("ArrowError(") else { return Some(DataFusionError::Execution(words)) };
    let inner = match kind.split(['(', ',']).next() {
        Some("DivideByZero") => ArrowError::DivideByZero,
        Some("ArithmeticOverflow") => ArrowError::ArithmeticOverflow(words),
        Some("CastError") => ArrowError::CastError(words),
        Some("ParseError") => ArrowError::ParseError(words),
        _ => ArrowError::ComputeError(words),
    };
    Some(DataFusionError::ArrowError(Box::new(inner), None))
}

/// What is wrong, such as `Cannot cast string 'x' to value of Int32 type`.
pub fn words(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(inner, _) => match &**inner {
            ArrowError::CastError(text) | ArrowError::ParseError(text) | ArrowError::ComputeError(text) => text.clone(),
            ArrowError::DivideByZero => "division by zero".to_owned(),
            other => other.to_string(),
        },
        DataFusionError::Execution(text) => text.clone(),
        other => other.strip_backtrace(),
    }
}

/// SQLSTATE.
pub fn code(error: &DataFusionError) -> &'static str {
    // Functions of the engine say so in their own words: `Int64Array overflow on abs(-9223372036854775808)`.
    let overflows = |text: &str| text.contains("verflow");
    let inner = match error.find_root() {
        DataFusionError::ArrowError(inner, _) => inner,
        DataFusionError::Execution(text) if overflows(text) => return OUT_OF_RANGE,
        _ => return DATA,
    };
    match &**inner {
        ArrowError::DivideByZero => DIVISION_BY_ZERO,
        ArrowError::ComputeError(text) if overflows(text) => OUT_OF_RANGE,
        ArrowError::ArithmeticOverflow(_) => OUT_OF_RANGE,
        ArrowError::CastError(text) | ArrowError::ParseError(text) => of_text(text),
        _ => DATA,
    }
}

fn of_text(text: &str) -> &'static str {
    let is_time =
        ["Date32", "Date64", "Time32", "Time64", "Timestamp", "parsing timestamp", "parsing date", "interval"];
    let quoted = text.split('\'').nth(1).unwrap_or_default();
    if is_time.iter().any(|word| text.contains(word)) {
        if is_written_as_day(quoted) { NO_SUCH_TIME } else { NO_TIME }
    } else if text.starts_with("Can't cast value") || is_number(quoted) && text.contains("Int") {
        OUT_OF_RANGE
    } else {
        NO_SUCH_TEXT
    }
}

/// `2026-13-45`, whether there is such a day or not.
fn is_written_as_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split([' ', 'T']).next().unwrap_or_default().split('-').collect();
    matches!(parts.as_slice(), [year, month, day] if [(year, 4), (month, 2), (day, 2)].iter().all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit())))
}

/// A whole number; where it is none that fits it is too large.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.len() > 2 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_computed_has_postgresqls_codes() {
        let cast = |text: &str| ArrowError::CastError(text.to_owned());
        for (error, expected, words_expected) in [
            (
                cast("Cannot cast string 'x' to value of Int32 type"),
                "22P02",
                "Cannot cast string 'x' to value of Int32 type",
            ),
            (cast("Cannot cast string '+17315550197' to value of Int32 type"), "22003", "Cannot cast"),
            (cast("Can't cast value 99999999999999 to type Int32"), "22003", "Can't cast"),
            (cast("Cannot cast string '2026-13-45' to value of Date32 type"), "22008", "Cannot cast"),
            (cast("Cannot cast string 'today?' to value of Date32 type"), "22007", "Cannot cast"),
            (cast("Cannot cast value 'maybe' to value of Boolean type"), "22P02", "Cannot cast"),
            (
                ArrowError::ParseError("Error parsing timestamp from 'abc': too short".to_owned()),
                "22007",
                "Error parsing timestamp from 'abc'",
            ),
            (ArrowError::DivideByZero, "22012", "division by zero"),
            (ArrowError::ArithmeticOverflow("1 + 1".to_owned()), "22003", "1 + 1"),
            (ArrowError::ComputeError("Int64Array overflow on abs(-1)".to_owned()), "22003", "overflow on abs"),
            (ArrowError::ComputeError("no".to_owned()), "22000", "no"),
        ] {
            let error = DataFusionError::ArrowError(Box::new(error), None);
            let error =
                DataFusionError::Context("Optimizer rule 'simplify_expressions' failed".to_owned(), Box::new(error));
            assert_eq!(code(&error), expected, "{error}");
            let told = words(&error);
            assert!(told.contains(words_expected) && !told.contains("Optimizer"), "{told}");
        }
    }
}
