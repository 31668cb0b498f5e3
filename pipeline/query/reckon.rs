//! Numbers, dates and spans of time, reckoned with and compared as PostgreSQL does. The engine does otherwise and refuses nothing:
//!
//! - a decimal against a literal (`revenue = 526.42`): the literal has double precision there, and most decimals are unequal to their own;
//! - spans against each other (`now() - started_at < interval '20 days'`): by months, then days, then the rest; of a difference of times all is
//!   rest. In PostgreSQL a month is 30 days then, and a day 24 hours (`interval_cmp_value` in its `timestamp.c`);
//! - `date + interval '9 hours'`: the hours are lost;
//! - `2.7::int`: cut off, not rounded;
//! - `extract(minute FROM t) / 60` (not where it is cast to a whole number), `row_number() OVER (…) / 10`: parts of times are whole numbers
//!   there, and numbers of rows have no sign, so that one is divided as whole numbers and the other is not;
//! - `-interval '1 day 5 hours'`: the days alone are negated.

use std::sync::Arc;

use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::functions::expr_fn::round;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast,
};
use datafusion::prelude::SessionContext;

const DAY_MICROS: i64 = 86_400_000_000;
/// PostgreSQL's, where spans are compared.
const MONTH_DAYS: i64 = 30;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// Of a decimal of 128 bits.
const DIGITS_MAX: usize = 38;

/// What plans may hold; workers find it by its name.
pub(super) fn add_functions(context: &SessionContext) {
    context.register_udf(span());
}

fn span() -> ScalarUDF {
    ScalarUDF::new_from_impl(Span { signature: Signature::any(1, Volatility::Immutable) })
}

pub fn register(context: &SessionContext) -> Result<()> {
    add_functions(context);
    let span = Arc::new(span());
    context.state_ref().write().register_function_rewrite(Arc::new(Reckon { span }))
}

#[derive(Debug)]
struct Reckon {
    span: Arc<ScalarUDF>,
}

impl FunctionRewrite for Reckon {
    fn name(&self) -> &str {
        "reckon"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let kind = |of: &Expr| of.get_type(schema).unwrap_or(DataType::Null);
        Ok(match expr {
            Expr::BinaryExpr(pair) => self.pair(pair, &kind),
            Expr::Between(mut range) => {
                let of = kind(&range.expr);
                let bounds = [&range.low, &range.high].map(|bound| exact(bound, &of));
                if bounds.iter().any(Option::is_some) {
                    let [low, high] = bounds;
                    range.low = low.map_or(range.low, Box::new);
                    range.high = high.map_or(range.high, Box::new);
                    return Ok(Transformed::yes(Expr::Between(range)));
                }
                let spans = [&range.low, &range.high].map(|bound| self.spans(&range.expr, bound, &kind));
                if let [Some((expr, low)), Some((_, high))] = spans {
                    (range.expr, range.low, range.high) = (Box::new(expr), Box::new(low), Box::new(high));
                    return Ok(Transformed::yes(Expr::Between(range)));
                }
                Transformed::no(Expr::Between(range))
            }
            Expr::InList(mut list) => {
                let of = kind(&list.expr);
                let mut changed = false;
                for item in &mut list.list {
                    if let Some(exact) = exact(item, &of) {
                        (*item, changed) = (exact, true);
                    }
                }
                Transformed::new_transformed(Expr::InList(list), changed)
            }
            Expr::Case(mut case) => {
                let of = case.expr.as_deref().map_or(DataType::Null, kind);
                let mut changed = false;
                for (when, _) in &mut case.when_then_expr {
                    if let Some(exact) = exact(when, &of) {
                        (*when, changed) = (Box::new(exact), true);
                    }
                }
                Transformed::new_transformed(Expr::Case(case), changed)
            }
            Expr::ScalarFunction(mut function) if function.func.name() == "nullif" && function.args.len() == 2 => {
                let of = kind(&function.args[0]);
                let exact = exact(&function.args[1], &of);
                let changed = exact.is_some();
                if let Some(exact) = exact {
                    function.args[1] = exact;
                }
                Transformed::new_transformed(Expr::ScalarFunction(function), changed)
            }
            Expr::Cast(mut it) if it.field.data_type().is_integer() && is_fractional(&kind(&it.expr)) => {
                it.expr = Box::new(round(vec![*it.expr]));
                Transformed::yes(Expr::Cast(it))
            }
            Expr::TryCast(mut it) if it.field.data_type().is_integer() && is_fractional(&kind(&it.expr)) => {
                it.expr = Box::new(round(vec![*it.expr]));
                Transformed::yes(Expr::TryCast(it))
            }
            Expr::Negative(of) => match *of {
                Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), told) => {
                    let negated = IntervalMonthDayNano::new(-span.months, -span.days, -span.nanoseconds);
                    Transformed::yes(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(negated)), told))
                }
                other => Transformed::no(Expr::Negative(Box::new(other))),
            },
            other => Transformed::no(other),
        })
    }
}

impl Reckon {
    fn pair(&self, pair: BinaryExpr, kind: &impl Fn(&Expr) -> DataType) -> Transformed<Expr> {
        let (left, right) = (kind(&pair.left), kind(&pair.right));
        if is_comparison(pair.op) {
            if let Some((left, right)) = self.spans(&pair.left, &pair.right, kind) {
                return changed(pair, Some(left), Some(right));
            }
            let exact = (exact(&pair.left, &right), exact(&pair.right, &left));
            return changed(pair, exact.0, exact.1);
        }
        let is_arithmetic = matches!(
            pair.op,
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
        );
        if !is_arithmetic {
            return Transformed::no(Expr::BinaryExpr(pair));
        }
        let midnight = |date: &Expr, of: &DataType, span: &Expr, by: &DataType| {
            let loses = matches!(of, DataType::Date32 | DataType::Date64)
                && matches!(by, DataType::Interval(_))
                && !is_of_days(span, kind);
            loses.then(|| cast(date.clone(), DataType::Timestamp(TimeUnit::Nanosecond, None)))
        };
        let dates =
            (midnight(&pair.left, &left, &pair.right, &right), midnight(&pair.right, &right, &pair.left, &left));
        if dates.0.is_some() || dates.1.is_some() {
            return changed(pair, dates.0, dates.1);
        }
        let signed =
            |of: &Expr, kind: &DataType| (*kind == DataType::UInt64).then(|| cast(of.clone(), DataType::Int64));
        let signs = (signed(&pair.left, &left), signed(&pair.right, &right));
        if signs.0.is_some() || signs.1.is_some() {
            return changed(pair, signs.0, signs.1);
        }
        if pair.op == Operator::Divide && left.is_integer() && right.is_integer() {
            let parted = |of: &Expr| has_part_of_time(of).then(|| cast(of.clone(), DataType::Float64));
            let parts = (parted(&pair.left), parted(&pair.right));
            return changed(pair, parts.0, parts.1);
        }
        Transformed::no(Expr::BinaryExpr(pair))
    }

    /// Both by their lengths, if they are spans that the engine would compare part by part.
    fn spans(&self, left: &Expr, right: &Expr, kind: &impl Fn(&Expr) -> DataType) -> Option<(Expr, Expr)> {
        let is_span = |of: &DataType| matches!(of, DataType::Interval(_) | DataType::Duration(_));
        let is_interval = |of: &DataType| matches!(of, DataType::Interval(_));
        let span = |of: Expr| Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.span), vec![of]));
        let written = |of: &Expr| is_text(of).then(|| span(cast(of.clone(), INTERVAL)));
        match (kind(left), kind(right)) {
            (l, r) if is_span(&l) && is_span(&r) && (is_interval(&l) || is_interval(&r)) => {
                Some((span(left.clone()), span(right.clone())))
            }
            (l, _) if is_span(&l) => Some((span(left.clone()), written(right)?)),
            (_, r) if is_span(&r) => Some((written(left)?, span(right.clone()))),
            _ => None,
        }
    }
}

fn changed(mut pair: BinaryExpr, left: Option<Expr>, right: Option<Expr>) -> Transformed<Expr> {
    let is_changed = left.is_some() || right.is_some();
    pair.left = left.map_or(pair.left, Box::new);
    pair.right = right.map_or(pair.right, Box::new);
    Transformed::new_transformed(Expr::BinaryExpr(pair), is_changed)
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_text(of: &Expr) -> bool {
    matches!(of, Expr::Literal(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)), _))
}

fn is_fractional(kind: &DataType) -> bool {
    kind.is_floating() || matches!(kind, DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale > 0)
}

/// An interval without hours: a date stays one.
fn is_of_days(span: &Expr, kind: &impl Fn(&Expr) -> DataType) -> bool {
    match span {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) => span.nanoseconds == 0,
        // What the engine makes of the 7 in `date + 7`: so many times 86,400 seconds.
        Expr::Cast(cast) => kind(&cast.expr) == DataType::Duration(TimeUnit::Second),
        _ => false,
    }
}

/// Whether it is reckoned from a part of a time, which is no whole number in PostgreSQL; a cast to one makes it so.
fn has_part_of_time(of: &Expr) -> bool {
    match of {
        Expr::ScalarFunction(function) => match function.func.name() {
            "date_part" => true,
            "abs" | "coalesce" | "greatest" | "least" | "nullif" => function.args.iter().any(has_part_of_time),
            _ => false,
        },
        Expr::BinaryExpr(pair) => has_part_of_time(&pair.left) || has_part_of_time(&pair.right),
        Expr::Negative(inner) => has_part_of_time(inner),
        Expr::Alias(alias) => has_part_of_time(&alias.expr),
        Expr::Case(case) => {
            let mut told = case.else_expr.iter().chain(case.when_then_expr.iter().map(|(_, then)| then));
            told.any(|told| has_part_of_time(told))
        }
        Expr::AggregateFunction(function) => function.params.args.iter().any(has_part_of_time),
        _ => false,
    }
}

/// A literal of double precision as the decimal that was written, where it stands against one of `kind`.
fn exact(literal: &Expr, kind: &DataType) -> Option<Expr> {
    let (Expr::Literal(ScalarValue::Float64(Some(value)), told), DataType::Decimal128(precision, scale)) =
        (literal, kind)
    else {
        return None;
    };
    // The shortest text that means this number: what was written, without zeros at its end.
    let text = value.is_finite().then(|| value.to_string())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let own = u8::try_from(fraction.len()).ok()?;
    let of_kind = u8::try_from(*scale).unwrap_or(0);
    let scale = of_kind.max(own);
    // Both have room in one decimal.
    let before_point = whole.len().max(usize::from(precision.saturating_sub(of_kind)));
    if before_point + usize::from(scale) > DIGITS_MAX {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let unscaled = unscaled.checked_mul(10_i128.checked_pow(u32::from(scale - own))?)?;
    let precision = u8::try_from(DIGITS_MAX).ok()?;
    let scale = i8::try_from(scale).ok()?;
    Some(Expr::Literal(ScalarValue::Decimal128(Some(unscaled), precision, scale), told.clone()))
}

/// How long a span is, in microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Span {
    signature: Signature,
}

impl ScalarUDFImpl for Span {
    fn name(&self) -> &'static str {
        "span_micros"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let spans = ColumnarValue::values_to_arrays(&args.args)?.swap_remove(0);
        let micros: ArrayRef = if matches!(spans.data_type(), DataType::Duration(_)) {
            let spans = cast_array(&spans, &DataType::Duration(TimeUnit::Microsecond))?;
            let spans = spans.as_primitive::<DurationMicrosecondType>();
            Arc::new(Int64Array::new(spans.values().clone(), spans.nulls().cloned()))
        } else {
            let spans = cast_array(&spans, &INTERVAL)?;
            let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
            Arc::new(spans.iter().map(|span| span.map(micros)).collect::<Int64Array>())
        };
        Ok(ColumnarValue::Array(micros))
    }
}

fn micros(span: IntervalMonthDayNano) -> i64 {
    let days = i64::from(span.months) * MONTH_DAYS + i64::from(span.days);
    days.saturating_mul(DAY_MICROS).saturating_add(span.nanoseconds / 1_000)
}
