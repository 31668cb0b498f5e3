//! Times as PostgreSQL reckons with them: `timezone(zone, at)`, which `AT TIME ZONE` stands for, and intervals taken several times.

use std::sync::Arc;

use chrono::{NaiveDateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::types::IntervalMonthDayNano;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, TimestampNanosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampNanosecondType,
};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use super::adapt::TIMES;

const UTC: &str = "+00:00";
const DAY_NANOS: f64 = 86_400e9;
/// PostgreSQL's, for what is left of a month.
const MONTH_DAYS: f64 = 30.0;

pub(super) fn add(context: &SessionContext) {
    let signature = || Signature::user_defined(Volatility::Immutable);
    context.register_udf(ScalarUDF::new_from_impl(Zoned { signature: signature() }));
    context.register_udf(ScalarUDF::new_from_impl(Times { signature: signature() }));
}

/// A moment as the clocks of a zone show it; and the other way round of a time without a zone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Zoned {
    signature: Signature,
}

impl ScalarUDFImpl for Zoned {
    fn name(&self) -> &'static str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let at = match types {
            [_, DataType::Timestamp(_, Some(_))] => Some(UTC.into()),
            // A text that is no column's is a moment, as in PostgreSQL.
            [_, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null] => Some(UTC.into()),
            [_, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64] => None,
            [_, other] => return plan_err!("timezone takes a time, and not {other}"),
            _ => return plan_err!("timezone takes a zone and a time, as in timezone('Europe/Berlin', started_at)"),
        };
        Ok(vec![DataType::Utf8, DataType::Timestamp(TimeUnit::Nanosecond, at)])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let zone = match types {
            [_, DataType::Timestamp(_, Some(_))] => None,
            _ => Some(UTC.into()),
        };
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let zones = columns[0].as_string::<i32>();
        let moments = columns[1].as_primitive::<TimestampNanosecondType>();
        let is_moment = moments.timezone().is_some();
        let mut known: Option<(&str, Tz)> = None;
        let mut told = TimestampNanosecondArray::builder(moments.len());
        for row in 0..moments.len() {
            if zones.is_null(row) || moments.is_null(row) {
                told.append_null();
                continue;
            }
            let name = zones.value(row);
            let zone = match known {
                Some((of, zone)) if of == name => zone,
                _ => zone(name).ok_or_else(|| {
                    exec_datafusion_err!("{name:?} is no time zone; write one such as UTC or Europe/Berlin")
                })?,
            };
            known = Some((name, zone));
            told.append_option(moved(moments.value(row), &zone, is_moment));
        }
        let told = told.finish().with_timezone_opt((!is_moment).then_some(UTC));
        Ok(ColumnarValue::Array(Arc::new(told)))
    }
}

/// In whatever case it is written, as in PostgreSQL.
fn zone(name: &str) -> Option<Tz> {
    let of_another_case = || {
        let known = chrono_tz::TZ_VARIANTS.iter().find(|known| known.name().eq_ignore_ascii_case(name))?;
        known.name().parse().ok()
    };
    name.parse().ok().or_else(of_another_case)
}

/// By the offset that the zone has then; nothing where no time is that far away. Of an hour that comes twice it is the second, by standard
/// time, as in PostgreSQL.
fn moved(nanos: i64, zone: &Tz, is_moment: bool) -> Option<i64> {
    let at: NaiveDateTime = chrono::DateTime::from_timestamp_nanos(nanos).naive_utc();
    let seconds = match is_moment {
        true => i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc()),
        false => -i64::from(match zone.offset_from_local_datetime(&at).latest() {
            Some(offset) => offset.fix().local_minus_utc(),
            // An hour that is left out in spring: as before it.
            None => zone.offset_from_utc_datetime(&(at - chrono::TimeDelta::hours(3))).fix().local_minus_utc(),
        }),
    };
    nanos.checked_add(seconds.checked_mul(1_000_000_000)?)
}

/// `interval '1 day' * 1.5`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Times {
    signature: Signature,
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl ScalarUDFImpl for Times {
    fn name(&self) -> &str {
        TIMES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [_, times] if times.is_numeric() || times.is_null() => Ok(vec![INTERVAL, DataType::Float64]),
            _ => plan_err!("an interval can be taken a number of times, and nothing else"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let intervals: ArrayRef = cast(&columns[0], &INTERVAL)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let times = columns[1].as_primitive::<Float64Type>();
        let rows = intervals.iter().zip(times).map(|(interval, times)| match (interval, times) {
            (Some(interval), Some(times)) => taken(interval, times).map(Some),
            _ => Ok(None),
        });
        let told = rows.collect::<Result<IntervalMonthDayNanoArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(told)))
    }
}

/// What is left of a month goes to the days, and what is left of a day to the time (`interval_mul`).
fn taken(interval: IntervalMonthDayNano, times: f64) -> Result<IntervalMonthDayNano> {
    let months = f64::from(interval.months) * times;
    // Thirds of a month must not lack the last digit of a day.
    let rest = (months.fract() * MONTH_DAYS * 1e6).round() / 1e6;
    let days = f64::from(interval.days) * times + rest;
    let nanos = interval.nanoseconds as f64 * times + (days.fract() * DAY_NANOS / 1e3).round() * 1e3;
    let fits = |number: f64, max: f64| number.is_finite() && number.abs() < max;
    if !fits(months, f64::from(i32::MAX)) || !fits(days, f64::from(i32::MAX)) || !fits(nanos, i64::MAX as f64) {
        return exec_err!("an interval taken {times} times is out of range");
    }
    Ok(IntervalMonthDayNano::new(months as i32, days as i32, nanos as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn times_of_zones_and_intervals() {
        let context = SessionContext::new();
        add(&context);
        let moment = |text: &str| format!("arrow_cast('{text}', 'Timestamp(Nanosecond, Some(\"+00:00\"))')");
        for (sql, expected) in [
            (format!("timezone('Europe/Berlin', {})", moment("2026-07-01T22:30:00Z")), "2026-07-02 00:30:00"),
            (format!("timezone('Europe/Berlin', {})", moment("2026-01-01T22:30:00Z")), "2026-01-01 23:30:00"),
            ("timezone('Europe/Berlin', timestamp '2026-07-02 00:30:00')".to_owned(), "2026-07-01 22:30:00"),
            ("timezone('Europe/Berlin', timestamp '2026-03-29 02:30:00')".to_owned(), "2026-03-29 01:30:00"),
            ("timezone('Europe/Berlin', timestamp '2026-10-25 02:30:00')".to_owned(), "2026-10-25 01:30:00"),
            ("timezone('+02:00', date '2026-07-02')".to_owned(), "2026-07-01 22:00:00"),
            ("timezone('UTC', timezone('Asia/Tokyo', '2026-07-02 00:00:00'))".to_owned(), "2026-07-02 09:00:00"),
            ("timezone('utc', timezone('asia/TOKYO', '2026-07-02 00:00:00'))".to_owned(), "2026-07-02 09:00:00"),
            ("timestamp '2026-01-01' + interval_times(interval '1 day', 3)".to_owned(), "2026-01-04 00:00:00"),
            ("timestamp '2026-01-01' + interval_times(interval '1 month', 1.5)".to_owned(), "2026-02-16 00:00:00"),
            ("timestamp '2026-01-01' + interval_times(interval '1 day', 1.0 / 24)".to_owned(), "2026-01-01 01:00:00"),
            ("timezone(NULL, now())".to_owned(), ""),
            ("timezone('Nowhere', now())".to_owned(), "is no time zone"),
            ("timestamp '2026-01-01' + interval_times(interval '1 day', 1e12)".to_owned(), "out of range"),
        ] {
            let asked = format!("SELECT coalesce(to_char({sql}, '%Y-%m-%d %H:%M:%S'), '')");
            let answer = match context.sql(&asked).await {
                Ok(frame) => frame.collect().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(batches) => {
                    let texts = cast(batches[0].column(0), &DataType::Utf8).unwrap();
                    assert_eq!(texts.as_string::<i32>().value(0), expected, "{sql}");
                }
                Err(error) => assert!(
                    expected.starts_with(|c: char| c.is_lowercase()) && error.to_string().contains(expected),
                    "{sql}: {error}"
                ),
            }
        }
    }
}
