//! Functions that make much out of little, with a bound: what a function makes is not counted with the memory of a query, so
//! `repeat('a', 500000000)` would take the process's own.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::{Result, resources_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

/// What one call makes of one batch of rows.
pub const FUNCTION_BYTES_MAX: usize = 64 << 20;

/// Bytes of a value of a list, and of the most that a character takes.
const VALUE_BYTES: f64 = 8.0;
const CHARACTER_BYTES: f64 = 4.0;
const DAY_NANOS: f64 = 86_400e9;

/// How much each makes of its arguments.
const FUNCTIONS: [(&str, Estimate); 8] = [
    ("repeat", |args, row| args.length(0, row) * args.number(1, row)),
    ("lpad", |args, row| args.number(1, row) * CHARACTER_BYTES),
    ("rpad", |args, row| args.number(1, row) * CHARACTER_BYTES),
    ("replace", |args, row| {
        let text = args.length(0, row);
        text + text / args.length(1, row).max(1.0) * args.length(2, row)
    }),
    ("array_repeat", |args, row| (args.length(0, row) + VALUE_BYTES) * args.number(1, row)),
    ("array_resize", |args, row| (args.length(2, row) + VALUE_BYTES) * args.number(1, row)),
    ("range", series),
    ("generate_series", series),
];

type Estimate = fn(&Args, usize) -> f64;

fn series(args: &Args, row: usize) -> f64 {
    let (from, to) = match args.0.len() {
        1 => (0.0, args.number(0, row)),
        _ => (args.number(0, row), args.number(1, row)),
    };
    let step = if args.0.len() > 2 { args.number(2, row).abs() } else { 1.0 };
    // A step of nothing is refused by the function itself.
    let count = if step > 0.0 { (to - from).abs() / step + 1.0 } else { 0.0 };
    count * VALUE_BYTES
}

/// # Errors
/// One of them is not there.
pub fn register(context: &SessionContext) -> Result<()> {
    for (name, estimate) in FUNCTIONS {
        let inner = context.state().udf(name)?;
        context.register_udf(ScalarUDF::new_from_impl(Bounded { name, inner, estimate }));
    }
    Ok(())
}

/// What is to be known of a function's arguments: how long each is, and its number.
struct Args(Vec<(Numbers, Numbers)>);

/// The same in each row, or one each.
enum Numbers {
    One(f64),
    Each(Int64Array, f64),
}

impl Numbers {
    fn at(&self, row: usize) -> f64 {
        match self {
            Numbers::One(number) => *number,
            Numbers::Each(numbers, unit) if numbers.is_valid(row) => numbers.value(row) as f64 * unit,
            Numbers::Each(..) => 0.0,
        }
    }
}

impl Args {
    fn of(args: &[ColumnarValue]) -> Result<Args> {
        Ok(Args(args.iter().map(|arg| Ok((lengths(arg)?, numbers(arg)?))).collect::<Result<_>>()?))
    }

    fn length(&self, arg: usize, row: usize) -> f64 {
        self.0.get(arg).map_or(0.0, |(length, _)| length.at(row))
    }

    fn number(&self, arg: usize, row: usize) -> f64 {
        self.0.get(arg).map_or(0.0, |(_, number)| number.at(row))
    }
}

/// Bytes of texts; of lists and others, those that a value takes on average.
fn lengths(arg: &ColumnarValue) -> Result<Numbers> {
    match arg {
        ColumnarValue::Scalar(value) => Ok(Numbers::One(match value.try_as_str() {
            Some(text) => text.map_or(0.0, |text| text.len() as f64),
            None => value.size() as f64,
        })),
        ColumnarValue::Array(array)
            if matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) =>
        {
            Ok(Numbers::Each(cast(&length(array)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone(), 1.0))
        }
        ColumnarValue::Array(array) => {
            Ok(Numbers::One(array.get_array_memory_size() as f64 / array.len().max(1) as f64))
        }
    }
}

/// Whole numbers as they are; days, times and what is between them in nanoseconds.
fn numbers(arg: &ColumnarValue) -> Result<Numbers> {
    let array = match arg {
        ColumnarValue::Scalar(value) => value.to_array()?,
        ColumnarValue::Array(array) => Arc::clone(array),
    };
    let nanos = match array.data_type() {
        kind if kind.is_integer() => Numbers::Each(cast(&array, &DataType::Int64)?.as_primitive().clone(), 1.0),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            // What is too far away for nanoseconds is nothing here, and refused by the function.
            let micros = cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Numbers::Each(cast(&micros, &DataType::Int64)?.as_primitive().clone(), 1e3)
        }
        DataType::Interval(_) => {
            let intervals = array.as_primitive_opt::<IntervalMonthDayNanoType>();
            let nanos = intervals.map(|intervals| {
                let of = |row| {
                    let it = intervals.value(row);
                    let days = f64::from(it.months) * 28.0 + f64::from(it.days);
                    (days * DAY_NANOS + it.nanoseconds as f64) as i64
                };
                Int64Array::from_iter_values((0..intervals.len()).map(of))
            });
            nanos.map_or(Numbers::One(0.0), |nanos| Numbers::Each(nanos, 1.0))
        }
        _ => Numbers::One(0.0),
    };
    Ok(match (arg, nanos) {
        (ColumnarValue::Scalar(_), numbers) => Numbers::One(numbers.at(0)),
        (ColumnarValue::Array(_), numbers) => numbers,
    })
}

#[derive(Debug)]
struct Bounded {
    name: &'static str,
    inner: Arc<ScalarUDF>,
    estimate: Estimate,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Bounded) -> bool {
        self.name == other.name
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let known = Args::of(&args.args)?;
        let bytes: f64 = (0..args.number_rows).map(|row| (self.estimate)(&known, row).max(0.0)).sum();
        if bytes > FUNCTION_BYTES_MAX as f64 {
            return resources_err!(
                "{} would make some {:.0} MiB at once; a function may make {} MiB: ask it for less",
                self.name,
                bytes / f64::from(1 << 20),
                FUNCTION_BYTES_MAX >> 20
            );
        }
        self.inner.invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_function_makes_more_than_its_bound() {
        let context = SessionContext::new();
        register(&context).unwrap();
        for (sql, is_taken) in [
            ("repeat('a', 500000000)", false),
            ("repeat('ab', 3)", true),
            ("repeat('ab', NULL)", true),
            ("lpad('', 500000000)", false),
            ("lpad('7', 3, '0')", true),
            ("rpad('', 500000000, 'x')", false),
            ("replace(repeat('a', 10000000), 'a', repeat('b', 1000))", false),
            ("replace('abc', 'b', 'dd')", true),
            ("array_repeat(1, 1000000000)", false),
            ("list_repeat('abc', 3)", true),
            ("array_resize([1], 1000000000, 0)", false),
            ("range(0, 1000000000)", false),
            ("range(1000000000, 0, -1)", false),
            ("range(1000000000)", false),
            ("generate_series(0, 1000000000)", false),
            ("range(0, 1000)", true),
            ("range(0, 1000, NULL)", true),
            ("range(date '2026-01-01', date '2026-12-31', interval '1 day')", true),
            ("range(timestamp '2026-01-01', timestamp '2026-12-31', interval '1 millisecond')", false),
            ("generate_series(timestamp '2026-01-01', timestamp '2026-12-31', interval '1 hour')", true),
            ("(SELECT max(length(repeat('abc', x))) FROM (VALUES (1), (40000000)) t(x))", false),
            ("(SELECT max(length(repeat('abc', x))) FROM (VALUES (1), (4)) t(x))", true),
        ] {
            let answer = match context.sql(&format!("SELECT {sql}")).await {
                Ok(frame) => frame.collect().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(_) => assert!(is_taken, "{sql} was taken"),
                Err(error) => assert!(!is_taken && error.to_string().contains("at once"), "{sql}: {error}"),
            }
        }
    }
}
