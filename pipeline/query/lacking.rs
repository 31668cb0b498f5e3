//! Functions of PostgreSQL's that the engine has not, and that BI tools and analysts write: `age` (Metabase's differences of times), `justify_…`,
//! `div`, `width_bucket`, `make_timestamp`, `isfinite`. Each is as PostgreSQL 15 has it (its manual, 9.3 and 9.9).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta};
use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, IntervalMonthDayNanoArray, PrimitiveArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::compute::{cast, is_not_null};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal256Type, Float64Type, Int32Type, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::functions::datetime::expr_fn::current_date;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;

const DAY_NANOS: i64 = 86_400_000_000_000;
/// PostgreSQL's, where days become months.
const MONTH_DAYS: i32 = 30;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// Digits of a decimal of 128 bits, and of 256.
const DIGITS: u8 = 38;
const DIGITS_WIDE: u8 = 76;

pub fn register(context: &SessionContext) {
    let span = |_: &[DataType]| Ok(INTERVAL);
    let of = |name, arguments: &[usize], kind, reckon| {
        let counts = arguments.iter().map(|count| TypeSignature::Any(*count)).collect();
        let signature = Signature::one_of(counts, Volatility::Immutable);
        context.register_udf(ScalarUDF::new_from_impl(Lacking { name, signature, kind, reckon }));
    };
    of("age", &[1, 2], span, ages);
    of("justify_hours", &[1], span, |it| spans(it, whole_days));
    of("justify_days", &[1], span, |it| spans(it, whole_months));
    of("justify_interval", &[1], span, |it| spans(it, whole_all));
    of("div", &[2], quotient_kind, quotients);
    of("width_bucket", &[4], |_| Ok(DataType::Int32), buckets);
    of("make_timestamp", &[6], |_| Ok(TIME), times);
    of("isfinite", &[1], |_| Ok(DataType::Boolean), |it| Ok(Arc::new(there(&it[0])?)));
}

#[derive(Debug)]
struct Lacking {
    name: &'static str,
    signature: Signature,
    kind: fn(&[DataType]) -> Result<DataType>,
    reckon: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl PartialEq for Lacking {
    fn eq(&self, other: &Lacking) -> bool {
        self.name == other.name
    }
}

impl Eq for Lacking {}

impl Hash for Lacking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Lacking {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.kind)(arguments)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_one = args.args.iter().all(|it| matches!(it, ColumnarValue::Scalar(_)));
        let values = (self.reckon)(&ColumnarValue::values_to_arrays(&args.args)?)?;
        Ok(if is_one {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
        } else {
            ColumnarValue::Array(values)
        })
    }

    /// `age(x)` is from x to the beginning of today.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match <[Expr; 1]>::try_from(args) {
            Ok([since]) if self.name == "age" => {
                let whole = ScalarUDF::new_from_impl(Lacking { signature: self.signature.clone(), ..*self });
                Ok(ExprSimplifyResult::Simplified(whole.call(vec![current_date(), since])))
            }
            Ok([one]) => Ok(ExprSimplifyResult::Original(vec![one])),
            Err(args) => Ok(ExprSimplifyResult::Original(args)),
        }
    }
}

fn there(values: &ArrayRef) -> Result<BooleanArray> {
    let all = is_not_null(values)?;
    Ok(BooleanArray::new(all.values().clone(), values.logical_nulls()))
}

fn out_of_range(what: &str) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(ArrowError::ArithmeticOverflow(what.to_owned())), None)
}

/// What `reckon` makes of each row; null where one of its values is.
fn by_row<A: ArrowPrimitiveType, B: ArrowPrimitiveType, C: ArrowPrimitiveType>(
    first: &PrimitiveArray<A>,
    second: &PrimitiveArray<B>,
    reckon: impl Fn(A::Native, B::Native) -> Result<C::Native>,
) -> Result<PrimitiveArray<C>> {
    first
        .iter()
        .zip(second)
        .map(|pair| if let (Some(a), Some(b)) = pair { reckon(a, b).map(Some) } else { Ok(None) })
        .collect()
}

fn moment(micros: i64) -> Result<NaiveDateTime> {
    let moment = chrono::DateTime::from_timestamp_micros(micros);
    moment.map(|it| it.naive_utc()).ok_or_else(|| out_of_range("a time that no calendar has"))
}

fn ages(values: &[ArrayRef]) -> Result<ArrayRef> {
    let [until, since] = values else { return plan_err!("age(x) was not made age(today, x)") };
    let (until, since) = (cast(until, &TIME)?, cast(since, &TIME)?);
    let spans: IntervalMonthDayNanoArray = by_row::<TimestampMicrosecondType, TimestampMicrosecondType, _>(
        until.as_primitive(),
        since.as_primitive(),
        |until, since| Ok(age(moment(until)?, moment(since)?)),
    )?;
    Ok(Arc::new(spans))
}

/// Years, months, days and the rest, as on a calendar: `timestamp_age` in PostgreSQL's `timestamp.c`.
fn age(until: NaiveDateTime, since: NaiveDateTime) -> IntervalMonthDayNano {
    let sign = if until < since { -1 } else { 1 };
    let (later, earlier) = if sign < 0 { (since, until) } else { (until, since) };
    let months = |it: NaiveDateTime| it.year() * 12 + it.month0() as i32;
    let mut months = months(later) - months(earlier);
    let mut days = later.day() as i32 - earlier.day() as i32;
    let mut rest = later.time().signed_duration_since(earlier.time());
    if rest < TimeDelta::zero() {
        (rest, days) = (rest + TimeDelta::days(1), days - 1);
    }
    if days < 0 {
        // Days of the month in which the earlier of the two lies, whichever was named first.
        (days, months) = (days + days_of_month(earlier.date()), months - 1);
    }
    let nanos = rest.num_nanoseconds().unwrap_or(0);
    IntervalMonthDayNano::new(sign * months, sign * days, i64::from(sign) * nanos)
}

fn days_of_month(day: NaiveDate) -> i32 {
    let first = day.with_day(1).unwrap_or(day);
    first.checked_add_months(Months::new(1)).map_or(31, |next| next.signed_duration_since(first).num_days() as i32)
}

fn spans(values: &[ArrayRef], whole: fn(&mut Span)) -> Result<ArrayRef> {
    let spans = cast(&values[0], &INTERVAL)?;
    let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
    Ok(Arc::new(spans.unary::<_, IntervalMonthDayNanoType>(|it| {
        let mut span = Span { months: it.months, days: it.days, nanos: it.nanoseconds };
        whole(&mut span);
        IntervalMonthDayNano::new(span.months, span.days, span.nanos)
    })))
}

struct Span {
    months: i32,
    days: i32,
    nanos: i64,
}

impl Span {
    fn carry_days(&mut self) {
        self.days = self.days.saturating_add((self.nanos / DAY_NANOS) as i32);
        self.nanos %= DAY_NANOS;
    }

    fn carry_months(&mut self) {
        self.months = self.months.saturating_add(self.days / MONTH_DAYS);
        self.days %= MONTH_DAYS;
    }

    /// Days and the rest have one sign.
    fn even_days(&mut self) {
        if self.days > 0 && self.nanos < 0 {
            (self.days, self.nanos) = (self.days - 1, self.nanos + DAY_NANOS);
        } else if self.days < 0 && self.nanos > 0 {
            (self.days, self.nanos) = (self.days + 1, self.nanos - DAY_NANOS);
        }
    }
}

fn whole_days(span: &mut Span) {
    span.carry_days();
    span.even_days();
}

fn whole_months(span: &mut Span) {
    span.carry_months();
    if span.months > 0 && span.days < 0 {
        (span.months, span.days) = (span.months - 1, span.days + MONTH_DAYS);
    } else if span.months < 0 && span.days > 0 {
        (span.months, span.days) = (span.months + 1, span.days - MONTH_DAYS);
    }
}

fn whole_all(span: &mut Span) {
    span.carry_days();
    span.carry_months();
    let rest = (span.days, span.nanos);
    if span.months > 0 && rest < (0, 0) {
        (span.months, span.days) = (span.months - 1, span.days + MONTH_DAYS);
    } else if span.months < 0 && rest > (0, 0) {
        (span.months, span.days) = (span.months + 1, span.days - MONTH_DAYS);
    }
    span.even_days();
}

fn scale(kind: &DataType) -> Option<i8> {
    match kind {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => Some(*scale),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Some(*scale),
        kind if kind.is_integer() || kind.is_null() => Some(0),
        _ => None,
    }
}

fn quotient_kind(kinds: &[DataType]) -> Result<DataType> {
    Ok(match kinds {
        [a, b] if a.is_integer() && b.is_integer() => DataType::Int64,
        [a, b] if scale(a).is_some() && scale(b).is_some() => DataType::Decimal128(DIGITS, 0),
        _ => DataType::Float64,
    })
}

/// Whole quotients, cut off towards zero.
fn quotients(values: &[ArrayRef]) -> Result<ArrayRef> {
    let kinds = [values[0].data_type().clone(), values[1].data_type().clone()];
    let kind = quotient_kind(&kinds)?;
    if kind == DataType::Int64 {
        return Ok(numeric::div(&cast(&values[0], &kind)?, &cast(&values[1], &kind)?)?);
    }
    if let [Some(a), Some(b)] = [scale(&kinds[0]), scale(&kinds[1])] {
        // Both in units of the finer one, so that they are divided as whole numbers.
        let units = DataType::Decimal256(DIGITS_WIDE, a.max(b));
        let (a, b) = (cast(&values[0], &units)?, cast(&values[1], &units)?);
        let whole: PrimitiveArray<Decimal256Type> =
            by_row::<Decimal256Type, Decimal256Type, _>(a.as_primitive(), b.as_primitive(), |a, b| {
                a.checked_div(b).ok_or_else(|| DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None))
            })?;
        return Ok(cast(&whole.with_precision_and_scale(DIGITS_WIDE, 0)?, &kind)?);
    }
    let (a, b) = (cast(&values[0], &kind)?, cast(&values[1], &kind)?);
    let whole: PrimitiveArray<Float64Type> =
        by_row::<Float64Type, Float64Type, _>(a.as_primitive(), b.as_primitive(), |a, b| Ok((a / b).trunc()))?;
    Ok(Arc::new(whole))
}

/// `width_bucket(value, low, high, count)`: 1 to `count`, 0 below them, `count` + 1 beyond.
fn buckets(values: &[ArrayRef]) -> Result<ArrayRef> {
    let floats = values[..3].iter().map(|it| cast(it, &DataType::Float64)).collect::<Result<Vec<_>, _>>()?;
    let [value, low, high] = [0, 1, 2].map(|at| floats[at].as_primitive::<Float64Type>());
    let counts = cast(&values[3], &DataType::Int32)?;
    let counts = counts.as_primitive::<Int32Type>();
    let bucket = |row: usize| {
        if [&floats[0], &floats[1], &floats[2]].iter().any(|it| it.is_null(row)) || counts.is_null(row) {
            return Ok(None);
        }
        bucket(value.value(row), low.value(row), high.value(row), counts.value(row)).map(Some)
    };
    Ok(Arc::new((0..counts.len()).map(bucket).collect::<Result<Int32Array>>()?))
}

fn bucket(value: f64, low: f64, high: f64, count: i32) -> Result<i32> {
    if count <= 0 || count == i32::MAX {
        return Err(out_of_range("width_bucket: the count of buckets is not above zero"));
    }
    if low == high || !low.is_finite() || !high.is_finite() || value.is_nan() {
        return Err(out_of_range("width_bucket: the bounds are equal or not finite, or the value is no number"));
    }
    // Bounds may be told the other way round.
    let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
    Ok(if value < low {
        0
    } else if value >= high {
        count + 1
    } else {
        let place = (value - low) * f64::from(count) / (high - low);
        (place as i32 + 1).min(count)
    })
}

/// `make_timestamp(year, month, day, hour, minute, second)`.
fn times(values: &[ArrayRef]) -> Result<ArrayRef> {
    let whole = values[..5].iter().map(|it| cast(it, &DataType::Int32)).collect::<Result<Vec<_>, _>>()?;
    let seconds = cast(&values[5], &DataType::Float64)?;
    let time = |row: usize| {
        if whole.iter().chain([&seconds]).any(|it| it.is_null(row)) {
            return Ok(None);
        }
        let parts: Vec<i32> = whole.iter().map(|it| it.as_primitive::<Int32Type>().value(row)).collect();
        let second = seconds.as_primitive::<Float64Type>().value(row);
        time(&parts, second).map(Some).ok_or_else(|| {
            let text = format!(
                "Cannot make a value of Timestamp type of '{}-{:02}-{:02}' and what is told of the day",
                parts[0], parts[1], parts[2]
            );
            DataFusionError::ArrowError(Box::new(ArrowError::CastError(text)), None)
        })
    };
    Ok(Arc::new((0..seconds.len()).map(time).collect::<Result<TimestampMicrosecondArray>>()?))
}

/// Microseconds since 1970; nothing: there is no such time. The sixtieth second is the next minute's first.
fn time(parts: &[i32], second: f64) -> Option<i64> {
    let [year, month, day, hour, minute] = *parts else { return None };
    let [month, day, hour, minute] = [month, day, hour, minute].map(|part| u32::try_from(part).ok());
    let micros = (0.0..=60.0).contains(&second).then(|| (second * 1e6).round() as i64)?;
    let start = NaiveDate::from_ymd_opt(year, month?, day?)?.and_hms_opt(hour?, minute?, 0)?;
    Some(start.checked_add_signed(TimeDelta::microseconds(micros))?.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    async fn told(context: &SessionContext, what: &str) -> Result<String> {
        let sql = format!("SELECT CAST({what} AS VARCHAR)");
        let rows = context.sql(&sql).await?.collect().await?;
        Ok(array_value_to_string(rows[0].column(0), 0)?)
    }

    /// As PostgreSQL 15 answers.
    #[tokio::test]
    async fn functions_of_postgresql_answer_as_there() {
        let context = SessionContext::new();
        register(&context);
        let ages = |until: &str, since: &str| format!("age(TIMESTAMP '{until}', TIMESTAMP '{since}')");
        for (what, expected) in [
            (ages("2026-03-01", "2026-01-31"), "1 mons 1 days"),
            (ages("2026-01-31 10:00:00", "2026-03-01 11:00:00"), "-1 mons -1 days -1 hours"),
            (ages("2026-11-02", "2024-02-29"), "32 mons 2 days"),
            (ages("2026-11-02 00:00:00", "2026-11-01 23:59:59.5"), "0.500000000 secs"),
            ("justify_hours(INTERVAL '27 hours')".into(), "1 days 3 hours"),
            ("justify_hours(INTERVAL '2 days -1 hours')".into(), "1 days 23 hours"),
            ("justify_days(INTERVAL '35 days')".into(), "1 mons 5 days"),
            ("justify_interval(INTERVAL '1 month -1 hour')".into(), "29 days 23 hours"),
            ("justify_interval(INTERVAL '-1 month 35 days 25 hours')".into(), "6 days 1 hours"),
            ("justify_hours(TIMESTAMP '2026-11-03 01:00:00' - TIMESTAMP '2026-11-01')".into(), "2 days 1 hours"),
            ("div(7, 2)".into(), "3"),
            ("div(-7, 2)".into(), "-3"),
            ("div(CAST(7.5 AS DECIMAL(4, 1)), 2)".into(), "3"),
            ("div(CAST(-7.5 AS DECIMAL(4, 1)), CAST(0.25 AS DECIMAL(4, 2)))".into(), "-30"),
            ("width_bucket(5.35, 0.024, 10.06, 5)".into(), "3"),
            ("width_bucket(5, 10, 0, 5)".into(), "3"),
            ("width_bucket(-1, 0, 10, 5)".into(), "0"),
            ("width_bucket(10, 0, 10, 5)".into(), "6"),
            ("width_bucket(9.999999999999999, 0, 10, 5)".into(), "5"),
            ("make_timestamp(2026, 1, 2, 3, 4, 5.5)".into(), "2026-01-02T03:04:05.500"),
            ("make_timestamp(2026, 1, 2, 3, 59, 60)".into(), "2026-01-02T04:00:00"),
            ("isfinite(DATE '2026-01-01')".into(), "true"),
            ("isfinite(CAST(NULL AS DATE))".into(), ""),
            ("age(TIMESTAMP '2026-01-01', NULL)".into(), ""),
            ("age(current_date) = INTERVAL '0 days'".into(), "true"),
        ] {
            assert_eq!(told(&context, &what).await.expect(&what), expected, "{what}");
        }
        for (what, expected) in [
            ("div(1, 0)", "ivide by zero"),
            ("div(CAST(1 AS DECIMAL(4, 1)), 0)", "ivide by zero"),
            ("width_bucket(1, 0, 10, 0)", "count of buckets"),
            ("width_bucket(1, 5, 5, 3)", "bounds are equal"),
            ("make_timestamp(2026, 2, 30, 0, 0, 0)", "2026-02-30"),
            ("make_timestamp(2026, 2, 3, 24, 0, 0)", "2026-02-03"),
        ] {
            let error = told(&context, what).await.expect_err(what).to_string();
            assert!(error.contains(expected), "{what}: {error}");
        }
    }

    /// Of columns as of literals.
    #[tokio::test]
    async fn each_row_has_its_own_answer() {
        let context = SessionContext::new();
        register(&context);
        let rows = "(VALUES (1, 2.0, TIMESTAMP '2026-01-31'), (9, -4.0, NULL), (NULL, 1.0, TIMESTAMP '2025-02-28')) t(a, b, c)";
        let sql = format!(
            "SELECT div(a, 4), width_bucket(a, 0, 10, 5), width_bucket(b, b - 1, b + 1, 2), age(TIMESTAMP '2026-03-01', c), isfinite(c) FROM {rows}"
        );
        let told = context.sql(&sql).await.expect("a plan").collect().await.expect("rows");
        let column = |at: usize| [0, 1, 2].map(|row| array_value_to_string(told[0].column(at), row).expect("a text"));
        assert_eq!(column(0), ["0", "2", ""]);
        assert_eq!(column(1), ["1", "5", ""]);
        assert_eq!(column(2), ["2", "2", "2"]);
        assert_eq!(column(3), ["1 mons 1 days", "", "12 mons 1 days"]);
        assert_eq!(column(4), ["true", "", "true"]);
    }
}
