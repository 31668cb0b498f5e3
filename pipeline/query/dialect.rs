//! What PostgreSQL means by words that DataFusion takes for something else and does not refuse: an answer that is silently another one
//! is worse than none.
//!
//! - `to_char(at, 'YYYY-MM')`: DataFusion wants `%Y-%m`, and gives any other text back as it is. `to_timestamp` and `to_date` likewise
//!   (Tableau's filters).
//! - `extract(epoch FROM a - b)`: DataFusion leaves the fractions of a second out.

use std::fmt::Write;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use datafusion::prelude::SessionContext;

pub fn register(context: &SessionContext) -> Result<()> {
    context.state_ref().write().register_function_rewrite(std::sync::Arc::new(Dialect))
}

#[derive(Debug)]
struct Dialect;

impl FunctionRewrite for Dialect {
    fn name(&self) -> &str {
        "dialect"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { return Ok(Transformed::no(expr)) };
        match (func.name(), args.as_slice()) {
            ("to_char" | "to_timestamp" | "to_date", [at, Expr::Literal(pattern, _)]) => {
                match text(pattern).filter(|it| !it.contains('%')) {
                    Some(pattern) => {
                        let args = vec![at.clone(), lit(strftime(pattern)?)];
                        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(func.clone(), args))))
                    }
                    None => Ok(Transformed::no(expr)),
                }
            }
            ("date_part", [Expr::Literal(part, _), of])
                if text(part).is_some_and(|it| it.eq_ignore_ascii_case("epoch")) =>
            {
                let DataType::Duration(unit) = of.get_type(schema)? else { return Ok(Transformed::no(expr)) };
                let units = cast(cast(of.clone(), DataType::Int64), DataType::Float64);
                Ok(Transformed::yes(units / lit(per_second(unit))))
            }
            _ => Ok(Transformed::no(expr)),
        }
    }
}

fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn per_second(unit: TimeUnit) -> f64 {
    match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    }
}

/// Patterns of PostgreSQL (its manual, table 9.31) and what chrono's `strftime` calls them. Of several that fit the longest counts, so
/// they stand before those that they begin with. Names are not filled up with blanks, as with `FM`.
const PATTERNS: [(&str, &str); 29] = [
    ("YYYY", "%Y"),
    ("IYYY", "%G"),
    ("YY", "%y"),
    ("Month", "%B"),
    ("Mon", "%b"),
    ("MM", "%m"),
    ("MI", "%M"),
    ("MS", "%3f"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("Day", "%A"),
    ("Dy", "%a"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("SS", "%S"),
    ("US", "%6f"),
    ("IW", "%V"),
    ("ID", "%u"),
    ("Q", "%q"),
    ("TZH", "%z"),
    ("TZ", "%Z"),
    ("OF", "%:z"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("am", "%P"),
    ("pm", "%P"),
    ("FM", ""),
    ("T", "T"),
];

/// A pattern of PostgreSQL's as `strftime` has it.
///
/// # Errors
/// It has a letter that is no pattern known here.
fn strftime(pattern: &str) -> Result<String> {
    let (mut told, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            told.push_str(inside);
            rest = after;
        } else if let Some((name, meant)) = PATTERNS.iter().find(|(name, _)| rest.starts_with(name)) {
            told.push_str(meant);
            rest = &rest[name.len()..];
        } else if first.is_ascii_alphabetic() {
            let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
            return plan_err!(
                "{word:?} is no pattern that is known here; write one of strftime, such as %Y-%m-%d %H:%M:%S"
            );
        } else {
            write!(told, "{first}").map_err(|error| DataFusionError::External(Box::new(error)))?;
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_postgresql() {
        for (pattern, expected) in [
            ("YYYY-MM", Some("%Y-%m")),
            ("YYYY-MM-DD HH24:MI:SS.MS", Some("%Y-%m-%d %H:%M:%S.%3f")),
            ("YYYY-MM-DDTHH24:MI:SS", Some("%Y-%m-%dT%H:%M:%S")),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.USOF", Some("%Y-%m-%dT%H:%M:%S.%6f%:z")),
            ("IYYY-\"W\"IW", Some("%G-W%V")),
            ("YYYY-\"Q\"Q", Some("%Y-Q%q")),
            ("FMMonth YYYY, Dy", Some("%B %Y, %a")),
            ("HH12:MI am", Some("%I:%M %P")),
            ("", Some("")),
            ("yyyy", None),
            ("MONTH", None),
            ("J", None),
        ] {
            assert_eq!(strftime(pattern).ok().as_deref(), expected, "{pattern}");
        }
    }
}
