//! What PostgreSQL means by words that DataFusion takes for something else and does not refuse: an answer that is silently another one
//! is worse than none.
//!
//! - `to_char(at, 'YYYY-MM')`: DataFusion wants `%Y-%m`, and gives any other text back as it is. `to_timestamp` and `to_date` likewise
//!   (Tableau's filters).
//! - `extract(epoch FROM a - b)`: DataFusion leaves the fractions of a second out.
//! - `length` and `octet_length` of bytes: DataFusion takes them for text, and fails on what is none (`rejected.raw`).
//! - `extract(second FROM …)`: DataFusion leaves the fractions out there, too; and `minute` and `hour` of a difference of times are all of them,
//!   where PostgreSQL means those of a clock.
//! - `substring(x FROM 'pattern')`: DataFusion knows places alone.
//! - `float`: DataFusion's has single precision, and counts no whole numbers above 16,777,216.
//!
//! And times without seconds (`'2026-11-02 10:00'`), which DataFusion does not read.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::functions::expr_fn::floor;
use datafusion::functions::regex::regexp_match;
use datafusion::functions::string::uuid;
use datafusion::functions_aggregate::variance::var_samp_udaf;
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, TypePlanner};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{DataType as SqlType, ExactNumberInfo};

/// Of the fraction of a number of single precision.
const SINGLE_BITS: u64 = 24;

pub fn register(context: &SessionContext) -> Result<()> {
    context.register_udf(octet_length());
    context.register_udf(uuid().as_ref().clone().with_aliases(["gen_random_uuid"]));
    context.register_udaf(var_samp_udaf().as_ref().clone().with_aliases(["variance"]));
    context.state_ref().write().register_function_rewrite(Arc::new(Dialect))
}

/// `substring(x FROM 'pattern')`: what its first group matches, or all of it where it has none; null where nothing does.
#[derive(Debug)]
pub(super) struct Patterns;

impl ExprPlanner for Patterns {
    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let is_pattern = matches!(args.as_slice(), [_, Expr::Literal(pattern, _)] if text(pattern).is_some());
        Ok(match is_pattern {
            true => PlannerResult::Planned(array_element(regexp_match().call(args), lit(1))),
            false => PlannerResult::Original(args),
        })
    }
}

#[derive(Debug)]
struct Dialect;

impl FunctionRewrite for Dialect {
    fn name(&self) -> &str {
        "dialect"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = &expr else { return with_seconds(expr, schema) };
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
            ("date_part", [Expr::Literal(part, _), of]) => {
                let told = text(part).map(|part| part_of_time(&part.to_ascii_lowercase(), func, of, schema));
                Ok(told.transpose()?.flatten().map_or_else(|| Transformed::no(expr.clone()), Transformed::yes))
            }
            ("character_length", [of]) if is_binary(&of.get_type(schema)?) => {
                Ok(Transformed::yes(octet_length().call(vec![of.clone()])))
            }
            _ => Ok(Transformed::no(expr)),
        }
    }
}

/// A part of a time, or of a difference of times, where PostgreSQL means another number than the engine.
fn part_of_time(part: &str, func: &Arc<ScalarUDF>, of: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let span = match of.get_type(schema)? {
        DataType::Duration(unit) => Some((cast(of.clone(), DataType::Int64), unit)),
        _ => None,
    };
    // Of a clock: the seconds of one, and how many make one of the next.
    let clock = |seconds: i64, most: i64| {
        span.clone().map(|(of, unit)| cast(of / lit(per_second(unit) as i64 * seconds) % lit(most), DataType::Float64))
    };
    // Years that are told by the many: how many, and how many of the first were before the year 1. In double precision, since whole parts of
    // times are no whole numbers to `reckon`.
    let era = |years: f64, before: f64| {
        let year = cast(func.call(vec![lit("year"), of.clone()]), DataType::Float64);
        Some(cast(floor((year + lit(before)) / lit(years)), DataType::Int32))
    };
    Ok(match part {
        "epoch" => span.map(|(of, unit)| in_seconds(of, unit)),
        "second" | "seconds" => Some(match span {
            Some((of, unit)) => in_seconds(of % lit((per_second(unit) * 60.0) as i64), unit),
            None => in_seconds(func.call(vec![lit("microsecond"), of.clone()]), TimeUnit::Microsecond),
        }),
        "minute" | "minutes" => clock(60, 60),
        "hour" | "hours" => clock(3600, 24),
        "decade" | "decades" => era(10.0, 0.0),
        "century" | "centuries" => era(100.0, 99.0),
        "millennium" | "millennia" => era(1000.0, 999.0),
        _ => None,
    })
}

fn is_binary(kind: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(kind, Binary | BinaryView | LargeBinary | FixedSizeBinary(_))
}

/// The engine's own takes texts alone.
fn octet_length() -> ScalarUDF {
    ScalarUDF::from(Octets { signature: Signature::any(1, Volatility::Immutable) })
}

/// How many bytes there are; whatever is neither bytes nor a text counts as its text, as the engine's own has it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Octets {
    signature: Signature,
}

impl ScalarUDFImpl for Octets {
    fn name(&self) -> &'static str {
        "octet_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut bytes = ColumnarValue::values_to_arrays(&args.args)?.swap_remove(0);
        if !is_binary(bytes.data_type()) && !bytes.data_type().is_string() {
            bytes = cast_array(&bytes, &DataType::Utf8)?;
        }
        Ok(ColumnarValue::Array(cast_array(&length(&bytes)?, &DataType::Int32)?))
    }
}

/// Times without seconds, where a time is wanted.
fn with_seconds(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_time = |of: &Expr| of.get_type(schema).is_ok_and(|kind| matches!(kind, DataType::Timestamp(..)));
    Ok(match expr {
        Expr::Cast(mut cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => {
            match whole_time(&cast.expr) {
                Some(whole) => {
                    cast.expr = Box::new(whole);
                    Transformed::yes(Expr::Cast(cast))
                }
                None => Transformed::no(Expr::Cast(cast)),
            }
        }
        Expr::BinaryExpr(mut pair) => match (whole_time(&pair.left), whole_time(&pair.right)) {
            (None, Some(whole)) if is_time(&pair.left) => {
                pair.right = Box::new(whole);
                Transformed::yes(Expr::BinaryExpr(pair))
            }
            (Some(whole), None) if is_time(&pair.right) => {
                pair.left = Box::new(whole);
                Transformed::yes(Expr::BinaryExpr(pair))
            }
            _ => Transformed::no(Expr::BinaryExpr(pair)),
        },
        Expr::Between(mut range) => {
            let (low, high) = (whole_time(&range.low), whole_time(&range.high));
            if (low.is_none() && high.is_none()) || !is_time(&range.expr) {
                return Ok(Transformed::no(Expr::Between(range)));
            }
            range.low = low.map_or(range.low, Box::new);
            range.high = high.map_or(range.high, Box::new);
            Transformed::yes(Expr::Between(range))
        }
        other => Transformed::no(other),
    })
}

/// The text of a time without seconds with them.
fn whole_time(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(value, _) = expr else { return None };
    let text = text(value)?;
    let (minutes, zone) = text.split_at_checked("2026-11-02 10:00".len())?;
    let is_minutes = minutes.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => matches!(byte, b' ' | b'T'),
        13 => byte == b':',
        _ => byte.is_ascii_digit(),
    });
    (is_minutes && (zone.is_empty() || zone.starts_with(['Z', '+', '-']))).then(|| lit(format!("{minutes}:00{zone}")))
}

/// Types as PostgreSQL means them; others are `others`' to know.
#[derive(Debug, Default)]
pub struct Types {
    pub others: Option<Arc<dyn TypePlanner>>,
}

impl TypePlanner for Types {
    fn plan_type_field(&self, kind: &SqlType) -> Result<Option<FieldRef>> {
        let is_double = match kind {
            SqlType::Float(ExactNumberInfo::None) => true,
            SqlType::Float(ExactNumberInfo::Precision(bits)) => *bits > SINGLE_BITS,
            _ => false,
        };
        match (is_double, &self.others) {
            (true, _) => Ok(Some(Arc::new(Field::new("", DataType::Float64, true)))),
            (false, Some(others)) => others.plan_type_field(kind),
            (false, None) => Ok(None),
        }
    }
}

pub(super) fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn in_seconds(units: Expr, unit: TimeUnit) -> Expr {
    cast(units, DataType::Float64) / lit(per_second(unit))
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

    #[tokio::test]
    async fn words_of_postgresql_mean_what_they_mean_there() -> Result<()> {
        let state = datafusion::execution::SessionStateBuilder::new()
            .with_default_features()
            .with_type_planner(Arc::new(Types::default()))
            .build();
        let context = SessionContext::new_with_state(state);
        register(&context)?;
        let at = "TIMESTAMP '2026-11-02 10:00:00'";
        for (sql, expected) in [
            ("CAST(16777217::float AS bigint)", "16777217"),
            ("CAST(16777217::float(53) AS bigint)", "16777217"),
            ("CAST(16777217::real AS bigint)", "16777216"),
            ("CAST(16777217::float(24) AS bigint)", "16777216"),
            (&format!("TIMESTAMP '2026-11-02 10:00' = {at}"), "true"),
            (&format!("{at} >= '2026-11-02T10:00'"), "true"),
            (&format!("'2026-11-02 10:01' > {at}"), "true"),
            (&format!("{at} BETWEEN '2026-11-02 09:59' AND '2026-11-02 10:00'"), "true"),
            ("'2026-11-02 10:00' = '2026-11-02 10:00:00'", "false"),
            (&format!("extract(hour FROM TIMESTAMP '2026-11-05 13:45:59' - {at})"), "3"),
            (&format!("extract(minute FROM TIMESTAMP '2026-11-05 13:45:59' - {at})"), "45"),
            (&format!("extract(day FROM TIMESTAMP '2026-11-05 13:45:59' - {at})"), "3"),
            (&format!("date_part('hour', {at} - TIMESTAMP '2026-11-05 13:45:59')"), "-3"),
            (&format!("extract(decade FROM {at})"), "202"),
            (&format!("extract(century FROM {at})"), "21"),
            (&format!("extract(millennium FROM {at})"), "3"),
            ("length(gen_random_uuid())", "36"),
        ] {
            let batches = context.sql(&format!("SELECT {sql}")).await?.collect().await?;
            let found = ScalarValue::try_from_array(batches[0].column(0), 0)?.to_string();
            assert_eq!(found, expected, "{sql}");
        }
        Ok(())
    }
}
