//! The filter of a subscription: an SQL expression over the row of a moment, read and checked once.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use callweave_core::limits::WEBHOOK_FILTER_BYTES_MAX;
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr};
use datafusion::sql::sqlparser::ast::{FunctionArguments, UnaryOperator};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use serde_json::{Map, Value};

use crate::lake::TableName;
use crate::lake::json::schema;

/// Columns, values, operators and calls of one filter: the engine goes down them by recursion.
const NODES_MAX: usize = 1_000;
/// Tokens of one filter, each as often as it may be read: see [`READS`].
const READINGS_MAX: usize = 1 << 18;
/// How often sqlparser reads what stands in parentheses at most, where it turns out not to be what it was taken for.
const READS: usize = 4;
/// Bytes of all regular expressions of one filter, each times the counts of its repetitions. So many steps a byte of text takes at most.
const PATTERN_STEPS_MAX: usize = 10_000;
/// A class such as `\pL` or `\w` is a hundred branches of UTF-8, and the engine makes them anew for each row.
const CLASS_STEPS: usize = 100;
/// What a filter may call: what makes no more text than it takes, and is the same for the same row.
const FUNCTIONS: [&str; 40] = [
    "abs",
    "bit_length",
    "btrim",
    "ceil",
    "char_length",
    "character_length",
    "coalesce",
    "contains",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "ends_with",
    "floor",
    "greatest",
    "ifnull",
    "instr",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "nullif",
    "nvl",
    "octet_length",
    "position",
    REGEXP_LIKE,
    "reverse",
    "right",
    "round",
    "rtrim",
    "signum",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substring",
    "trim",
    "trunc",
    "upper",
];
const REGEXP_LIKE: &str = "regexp_like";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "the filter cannot be used: {0}; write a condition over the columns of `calls`, such as outcome = 'missed'"
    )]
    Sql(String),
    #[error("the filter is of type {0}; write a condition that is true or false")]
    Type(String),
    #[error("the filter has {0} bytes, and may have {max} at most", max = WEBHOOK_FILTER_BYTES_MAX)]
    Length(usize),
    #[error(
        "the filter is too large: write up to {max} columns, values and operators, and fewer parentheses in one another",
        max = NODES_MAX
    )]
    Size,
    #[error("the filter calls {0}, which no filter may; it may call {all}", all = FUNCTIONS.join(", "))]
    Function(String),
    #[error(
        "the filter has {0} in it, which none may; write comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, ~, CASE, CAST and arithmetic"
    )]
    Part(String),
    #[error(
        "a regular expression of the filter is too much: write it as a text, with {{n}} for repetitions alone (a brace is \\{{), and so \
         that the bytes of all, each times its repetitions, are {max} at most",
        max = PATTERN_STEPS_MAX
    )]
    Pattern,
}

/// Why the row could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the filter failed on this row: {0}")]
pub struct Failed(String);

/// What is told beside the row, and a condition may ask for: its name there, where it stands, and what it is.
const BESIDE: [(&str, &str, &str, DataType); 4] = [
    ("deal_stage", "deal", "stage", DataType::Utf8),
    ("deal_revenue", "deal", "revenue", DataType::Float64),
    ("tag_category", "tag", "category", DataType::Utf8),
    ("tag_value", "tag", "value", DataType::Float64),
];

/// The columns of `calls`, `moment` and `deal_id`, and those of [`BESIDE`].
static ROW: LazyLock<SchemaRef> = LazyLock::new(|| {
    let calls = schema(TableName::Calls);
    let names = ["moment", "deal_id"].map(|name| (name, DataType::Utf8));
    let more = names.into_iter().chain(BESIDE.map(|(name, _, _, kind)| (name, kind)));
    let more = more.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    Schema::new(calls.fields().iter().cloned().chain(more).collect::<Vec<_>>()).into()
});

static ENGINE: LazyLock<SessionState> = LazyLock::new(|| SessionContext::new().state());

/// Whether the row of a moment has a member of this name.
pub fn is_column(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let names = ROW.fields().iter().map(|field| field.name().clone());
        names.filter(|name| BESIDE.iter().all(|(beside, ..)| beside != name)).collect()
    });
    NAMES.contains(name)
}

#[derive(Debug, Clone)]
pub struct Filter(Arc<dyn PhysicalExpr>);

impl Filter {
    /// # Errors
    /// It is no condition over the row.
    pub fn parse(sql: &str) -> Result<Filter, FilterError> {
        let wrong = |error: datafusion::common::DataFusionError| {
            FilterError::Sql(error.strip_backtrace().lines().next().unwrap_or_default().to_owned())
        };
        if sql.len() > WEBHOOK_FILTER_BYTES_MAX {
            return Err(FilterError::Length(sql.len()));
        }
        look_over_text(sql)?;
        let mut parser = DFParserBuilder::new(sql).build().map_err(wrong)?;
        let parsed = parser.parse_into_expr().map_err(wrong)?;
        if parsed.alias.is_some() {
            return Err(FilterError::Sql("it gives its result a name".to_owned()));
        }
        look_over(&parsed.expr)?;
        let schema = DFSchema::try_from(ROW.clone()).map_err(wrong)?;
        let expression = ENGINE.create_logical_expr_from_sql_expr(parsed, &schema).map_err(wrong)?;
        // Some functions are only names for others, and go when it is simplified.
        let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
        let simplifier = ExprSimplifier::new(context);
        let expression =
            simplifier.coerce(expression, &schema).and_then(|it| simplifier.simplify(it)).map_err(wrong)?;
        let expression = ENGINE.create_physical_expr(expression, &schema).map_err(wrong)?;
        match expression.data_type(&ROW).map_err(wrong)? {
            DataType::Boolean => Ok(Filter(expression)),
            other => Err(FilterError::Type(other.to_string())),
        }
    }

    /// Whether the condition is true of a moment's row; not where it is unknown (`NULL`).
    ///
    /// # Errors
    /// It cannot be told: a text that is no number was to be one, and the like.
    pub fn is_met(&self, moment: &str, data: &Map<String, Value>) -> Result<bool, Failed> {
        let failed = |error: &dyn std::fmt::Display| Failed(error.to_string());
        let batch = batch(moment, data).map_err(|error| failed(&error))?;
        let value = self.0.evaluate(&batch).map_err(|error| failed(&error.strip_backtrace()))?;
        let array = value.into_array(1).map_err(|error| failed(&error))?;
        let met = array.as_boolean();
        Ok(met.iter().next().flatten().unwrap_or(false))
    }
}

/// Refuses what sqlparser would read for ever: where it turns out not to be what it was taken for, it reads on from there once more, and
/// so what stands in ten parentheses a thousand times. `INTERVAL` is read twice without any.
fn look_over_text(sql: &str) -> Result<(), FilterError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| FilterError::Sql(error.to_string()))?;
    let mut tokens = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let (mut depth, mut readings) = (0u32, 0usize);
    while let Some(token) = tokens.next() {
        let is_interval = matches!(token, Token::Word(word) if word.keyword == Keyword::INTERVAL);
        if is_interval && !matches!(tokens.peek(), Some(Token::SingleQuotedString(_) | Token::Number(..))) {
            return Err(FilterError::Sql("it has INTERVAL without a text such as '1 day' behind it".to_owned()));
        }
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        readings = readings.saturating_add(READS.saturating_pow(depth));
        if readings > READINGS_MAX {
            return Err(FilterError::Size);
        }
    }
    Ok(())
}

/// Refuses what is not on the list, before anything is made of it: the engine computes what it can while it plans, on the thread that
/// asks, and `repeat('x', 2000000000)` would take the whole process.
fn look_over(filter: &Expr) -> Result<(), FilterError> {
    let (mut waiting, mut nodes, mut steps) = (vec![filter], 0, 0usize);
    while let Some(part) = waiting.pop() {
        nodes += 1;
        if nodes > NODES_MAX {
            return Err(FilterError::Size);
        }
        match part {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => {}
            Expr::TypedString(text) if is_plain(&text.data_type) => {}
            Expr::Interval(interval) => waiting.push(&interval.value),
            Expr::Nested(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr)
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsNull(expr)
            | Expr::IsNotNull(expr)
            | Expr::IsUnknown(expr)
            | Expr::IsNotUnknown(expr)
            | Expr::Extract { expr, .. }
            | Expr::Ceil { expr, .. }
            | Expr::Floor { expr, .. }
            | Expr::UnaryOp { op: UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not, expr } => {
                waiting.push(expr);
            }
            Expr::Cast { expr, data_type, array: false, .. } if is_plain(data_type) => waiting.push(expr),
            Expr::BinaryOp { left, op, right } if is_plain_operator(op) => waiting.extend([&**left, &**right]),
            Expr::BinaryOp { left, op, right } if is_pattern_operator(op) => {
                steps = steps.saturating_add(pattern_steps(&[&**right]).ok_or(FilterError::Pattern)?);
                waiting.push(left);
            }
            Expr::IsDistinctFrom(left, right)
            | Expr::IsNotDistinctFrom(left, right)
            | Expr::Like { any: false, expr: left, pattern: right, .. }
            | Expr::ILike { any: false, expr: left, pattern: right, .. }
            | Expr::AtTimeZone { timestamp: left, time_zone: right }
            | Expr::Position { expr: left, r#in: right } => waiting.extend([&**left, &**right]),
            Expr::Between { expr, low, high, .. } => waiting.extend([&**expr, &**low, &**high]),
            Expr::InList { expr, list, .. } => {
                waiting.push(expr);
                waiting.extend(list);
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                waiting.push(expr);
                waiting.extend(substring_from.as_deref());
                waiting.extend(substring_for.as_deref());
            }
            Expr::Trim { expr, trim_what, trim_characters, .. } => {
                waiting.push(expr);
                waiting.extend(trim_what.as_deref());
                waiting.extend(trim_characters.iter().flatten());
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                waiting.extend(operand.as_deref());
                waiting.extend(conditions.iter().flat_map(|when| [&when.condition, &when.result]));
                waiting.extend(else_result.as_deref());
            }
            Expr::Function(call) => {
                let name = call.name.to_string().to_ascii_lowercase();
                if !FUNCTIONS.contains(&name.as_str()) {
                    return Err(FilterError::Function(name));
                }
                let arguments = arguments(call).ok_or_else(|| FilterError::Part(named(part)))?;
                if name == REGEXP_LIKE {
                    let pattern = arguments.get(1..).and_then(pattern_steps);
                    steps = steps.saturating_add(pattern.ok_or(FilterError::Pattern)?);
                }
                waiting.extend(arguments);
            }
            other => return Err(FilterError::Part(named(other))),
        }
        if steps > PATTERN_STEPS_MAX {
            return Err(FilterError::Pattern);
        }
    }
    Ok(())
}

fn is_plain_operator(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Or, Plus};
    matches!(operator, And | Divide | Eq | Gt | GtEq | Lt | LtEq | Minus | Modulo | Multiply | NotEq | Or | Plus)
}

fn is_pattern_operator(operator: &BinaryOperator) -> bool {
    use BinaryOperator::{PGRegexIMatch, PGRegexMatch, PGRegexNotIMatch, PGRegexNotMatch};
    matches!(operator, PGRegexIMatch | PGRegexMatch | PGRegexNotIMatch | PGRegexNotMatch)
}

/// A type whose values are small: of `INT[2000000000]` nothing at all takes 8 GB.
fn is_plain(kind: &ast::DataType) -> bool {
    use ast::DataType::{
        BigInt, Bool, Boolean, Char, CharVarying, Character, CharacterVarying, Date, Datetime, Dec, Decimal, Double,
        DoublePrecision, Float, Float4, Float8, Int, Int2, Int4, Int8, Integer, Interval, Numeric, Real, SmallInt,
        String, Text, Time, Timestamp, TinyInt, Varchar,
    };
    matches!(
        kind,
        BigInt(_)
            | Int(_)
            | Int2(_)
            | Int4(_)
            | Int8(_)
            | Integer(_)
            | SmallInt(_)
            | TinyInt(_)
            | Dec(_)
            | Decimal(_)
            | Double(_)
            | DoublePrecision
            | Float(_)
            | Float4
            | Float8
            | Numeric(_)
            | Real
            | Char(_)
            | CharVarying(_)
            | Character(_)
            | CharacterVarying(_)
            | String(_)
            | Text
            | Varchar(_)
            | Bool
            | Boolean
            | Date
            | Datetime(_)
            | Interval { .. }
            | Time(..)
            | Timestamp(..)
    )
}

/// The arguments of a call that has nothing else.
fn arguments(call: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &call.args else { return None };
    let is_plain = matches!(call.parameters, FunctionArguments::None)
        && call.filter.is_none()
        && call.over.is_none()
        && call.null_treatment.is_none()
        && call.within_group.is_empty()
        && list.duplicate_treatment.is_none()
        && list.clauses.is_empty();
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(it)) => Some(it),
        _ => None,
    });
    arguments.collect::<Option<Vec<_>>>().filter(|_| is_plain)
}

/// What a regular expression, and its flags with it, costs for a byte of text: its bytes, times the counts of its repetitions wherever
/// they stand, since `(a{9}){9}` is as long as 81 of it. Nothing where it is no text, or a brace holds no count.
fn pattern_steps(parts: &[&Expr]) -> Option<usize> {
    let texts: Option<Vec<&str>> = parts.iter().map(|part| text(part)).collect();
    let pattern = texts?.concat();
    let (mut steps, mut rest) = (pattern.len(), pattern.as_str());
    while let Some(at) = rest.find(['\\', '{']) {
        let is_escape = rest[at..].starts_with('\\');
        rest = &rest[at + 1..];
        if is_escape {
            let mut characters = rest.chars();
            let escaped = characters.next();
            if escaped.is_some_and(|escaped| "pPwWdDsSbB".contains(escaped)) {
                steps = steps.checked_add(CLASS_STEPS)?;
            }
            let has_name = matches!(escaped, Some('p' | 'P' | 'x' | 'u' | 'U'));
            rest = characters.as_str();
            if has_name && rest.starts_with('{') {
                rest = rest.split_once('}')?.1;
            }
            continue;
        }
        let (counts, behind) = rest.split_once('}')?;
        let mut most = 1;
        for count in counts.split(',').filter(|count| !count.is_empty()) {
            if !count.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            most = usize::max(most, count.parse().ok()?);
        }
        steps = steps.checked_mul(most)?;
        rest = behind;
    }
    Some(steps)
}

fn text(part: &Expr) -> Option<&str> {
    use ast::Value::{EscapedStringLiteral, SingleQuotedString};
    match part {
        Expr::Nested(inner) => text(inner),
        Expr::Value(value) => match &value.value {
            SingleQuotedString(text) | EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// What a part is called where it is refused.
fn named(part: &Expr) -> String {
    match part {
        Expr::BinaryOp { op, .. } => format!("the operator {op}"),
        Expr::UnaryOp { op, .. } => format!("the operator {op}"),
        Expr::Cast { data_type, .. } => format!("a value of type {data_type}"),
        Expr::TypedString(text) => format!("a value of type {}", text.data_type),
        Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::Subquery(_) => "a query".to_owned(),
        Expr::Array(_) | Expr::Tuple(_) | Expr::AnyOp { .. } | Expr::AllOp { .. } => "a list".to_owned(),
        Expr::Function(call) => format!("more than arguments of {}", call.name),
        _ => "something".to_owned(),
    }
}

fn batch(moment: &str, data: &Map<String, Value>) -> Result<RecordBatch, datafusion::arrow::error::ArrowError> {
    let mut row = data.clone();
    row.insert("moment".to_owned(), Value::String(moment.to_owned()));
    for (name, of, member, _) in BESIDE {
        if let Some(told) = data.get(of).and_then(|of| of.get(member)) {
            row.insert(name.to_owned(), told.clone());
        }
    }
    let mut decoder = ReaderBuilder::new(ROW.clone()).build_decoder()?;
    decoder.serialize(&[row])?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(ROW.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Map<String, Value> {
        let row = json!({
            "account": "acme", "date": "2026-11-20", "started_at": "2026-11-20T12:00:00.000001Z", "outcome": "missed",
            "in_business_hours": true, "talk_seconds": 0.0, "candidates": 2, "campaign": null, "source": "google",
            "caller": "+14155550123", "changes": [{"name": "outcome", "from": null, "to": "missed"}],
        });
        row.as_object().expect("an object").clone()
    }

    #[test]
    fn conditions_are_asked_of_a_row() {
        for (sql, expected) in [
            ("outcome = 'missed' AND in_business_hours", true),
            ("outcome = 'answered'", false),
            ("campaign = 'x'", false),
            ("campaign IS NULL", true),
            ("moment = 'call.missed'", true),
            ("moment IN ('call.started', 'call.ended')", false),
            ("talk_seconds >= 30 OR candidates > 1", true),
            ("starts_with(caller, '+1') AND source LIKE 'goo%'", true),
            ("started_at > '2026-11-20T11:00:00Z'", true),
            ("started_at < timestamp '2026-11-20T11:00:00Z'", false),
            ("date = '2026-11-20'", true),
            ("extract(hour FROM started_at) = 12", true),
            ("lower(coalesce(campaign, 'None')) = 'none'", true),
            ("regexp_like(caller, '^\\+1415')", true),
            ("caller ~ '^\\+1\\d{10}$' AND caller !~ '\\p{L}'", true),
            ("started_at > timestamp '2026-11-20T12:00:00Z' - interval '1 day'", true),
            ("date_part('hour', started_at) BETWEEN 12 AND 13", true),
            ("CASE WHEN round(abs(talk_seconds)) = 0 THEN substr(caller, 1, 2) END = '+1'", true),
            ("trim(both 'x' from source) ILIKE 'GOO%' AND position('o' IN source) = 2", true),
            ("deal_id IS NOT NULL", false),
            ("true", true),
        ] {
            let filter = Filter::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(filter.is_met("call.missed", &row()).expect(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_moment_without_a_row_has_nulls() {
        let filter = Filter::parse("outcome IS NULL AND pool = 'web'").expect("a filter");
        let data = Map::from_iter([("account".to_owned(), json!("acme")), ("pool".to_owned(), json!("web"))]);
        assert!(filter.is_met("pool.exhausted", &data).expect("a row"));
    }

    #[test]
    fn what_stands_beside_the_row_can_be_asked_for() {
        let mut row = row();
        row.insert("deal".to_owned(), json!({"stage": "won", "revenue": "50.5"}));
        row.insert("tag".to_owned(), json!({"category": "lead", "value": 7}));
        for (sql, expected) in [
            ("deal_stage = 'won' AND deal_revenue > 50", true),
            ("deal_stage IN ('lead', 'lost')", false),
            ("tag_category = 'lead' AND tag_value = 7", true),
        ] {
            assert_eq!(Filter::parse(sql).expect(sql).is_met("deal.changed", &row).expect(sql), expected, "{sql}");
        }
        assert!(!is_column("deal_stage") && is_column("deal_id"), "fields and bodies have the deal itself");
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (sql, expected) in [
            ("colour = 'red'", "colour"),
            ("outcome =", "cannot be used"),
            ("talk_seconds + 1", "type Float64"),
            ("outcome", "type Utf8"),
            ("started_at > now()", "calls now"),
            ("random() > 0.5", "calls random"),
            ("count(*) > 1", "calls count"),
            ("EXISTS (SELECT 1)", "has a query in it"),
            ("outcome = 'x' AS y", "cannot be used"),
            ("true; DROP TABLE calls", "cannot be used"),
            ("true) OR (true", "cannot be used"),
            ("row_number() OVER () = 1", "calls row_number"),
        ] {
            let error = Filter::parse(sql).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    /// Each of these took the process, its memory or a thread for long when it was read.
    #[test]
    fn what_makes_much_out_of_little_is_refused_unread() {
        let (sums, long) = (format!("{}1 = 1", "1+".repeat(600)), format!("source = '{}'", "x".repeat(5_000)));
        let (nested, intervals) = ("position(".repeat(40), "interval ".repeat(40));
        for (sql, expected) in [
            ("length(repeat('x', 2000000000)) > 1", "calls repeat, which no filter may"),
            ("octet_length(lpad('x', 150000000, 'y')) > 1", "calls lpad"),
            ("cardinality(range(1, 2000000000)) > 1", "calls cardinality"),
            ("lower(replace(repeat('x', 2000000000), 'x', 'yy')) = ''", "calls replace"),
            ("\"repeat\"('x', 2000000000) = ''", "calls \"repeat\""),
            ("EXISTS (SELECT 1 FROM generate_series(1, length(repeat('x', 2000000000))))", "a query"),
            ("candidates IN (SELECT 1)", "a query"),
            ("source || source = 'x'", "the operator ||"),
            ("[1, 2] IS NULL", "a list"),
            ("CAST(NULL AS INT[2000000000]) IS NULL", "a value of type INT[2000000000]"),
            ("lower(DISTINCT source) = 'x'", "more than arguments of lower"),
            ("source ~ campaign", "a regular expression"),
            ("source ~ '(\\w{100}){100}'", "a regular expression"),
            ("source ~ '(?x) \\w{1 000}'", "a regular expression"),
            ("regexp_like(source, 'a', campaign)", "a regular expression"),
            (sums.as_str(), "too large"),
            (nested.as_str(), "too large"),
            (intervals.as_str(), "INTERVAL without a text"),
            (long.as_str(), "has 5011 bytes, and may have 4096"),
        ] {
            let error = Filter::parse(sql).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{sql}: {error}");
        }
        let names: Vec<String> = (0..300).map(|at| format!("'n{at}'")).collect();
        assert!(Filter::parse(&format!("campaign IN ({})", names.join(","))).is_ok());
    }

    #[test]
    fn a_filter_may_call_what_there_is() {
        let known = ENGINE.scalar_functions();
        let unknown: Vec<&str> = FUNCTIONS.into_iter().filter(|name| !known.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_row_that_breaks_the_condition_is_an_error() {
        let filter = Filter::parse("CAST(source AS INT) = 1").expect("a filter");
        assert!(filter.is_met("call.missed", &row()).is_err());
    }
}
