//! Functions that make much out of little, with a bound: what a function makes is not counted with the memory of a query, so
//! `repeat('a', 500000000)` would take the process's own. One call has a bound, and so have all of a statement together
//! ([`allowance`]): sixty calls that make 64 MiB each make a batch of four gigabytes, or a plan that is as large, for calls of constants are worked
//! out while it is made.

mod allowance;
mod joined;
mod slices;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::length::length;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, resources_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;

pub(super) use self::allowance::Allowance;
use self::allowance::FUNCTION_BYTES_MAX;
pub(super) use self::slices::{ConstantsBesideRows, RULE};

/// Bytes of a value of a list: usually, and of a short text, of which there are the most.
const VALUE_BYTES: f64 = 8.0;
const VALUE_BYTES_MIN: f64 = 4.0;
/// The most that a character takes.
const CHARACTER_BYTES: f64 = 4.0;
const DAY_NANOS: f64 = 86_400e9;
/// Each letter of a text may be a place where a pattern is replaced, but hardly is: where that would make less, it is not reckoned with.
const REPLACED_BYTES_MIN: f64 = 32_768.0;

/// How much each makes of its arguments.
const FUNCTIONS: [(&str, Estimate); 20] = [
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
    ("regexp_replace", |args, row| {
        let (text, by) = (args.length(0, row), args.length(2, row));
        let most = (text + 1.0) * by;
        text + by + if most < REPLACED_BYTES_MIN { 0.0 } else { most }
    }),
    ("array_to_string", |args, row| args.length(0, row) * (1.0 + args.length(1, row) / VALUE_BYTES_MIN)),
    ("array_replace", sum),
    ("array_replace_n", replaced),
    ("array_replace_all", replaced),
    ("concat", sum),
    ("concat_ws", |args, row| sum(args, row) + args.length(0, row) * args.0.len() as f64),
    ("overlay", sum),
    ("make_array", sum),
    ("array_concat", sum),
    ("array_append", sum),
    ("array_prepend", sum),
];

/// Those of which what they make is no longer than their arguments together.
const JOINING: [&str; 7] = ["||", "concat", "overlay", "make_array", "array_concat", "array_append", "array_prepend"];

type Estimate = fn(&Args, usize) -> f64;

fn sum(args: &Args, row: usize) -> f64 {
    (0..args.0.len()).map(|arg| args.length(arg, row)).sum()
}

fn replaced(args: &Args, row: usize) -> f64 {
    args.length(0, row) * (1.0 + args.length(2, row) / VALUE_BYTES_MIN)
}

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
    let mut functions = HashMap::new();
    for (name, estimate) in FUNCTIONS {
        let inner = context.state().udf(name)?;
        let bounded = ScalarUDF::new_from_impl(Bounded { name, inner: Arc::clone(&inner), estimate });
        context.register_udf(bounded.clone());
        functions.insert(name, (inner, Arc::new(bounded)));
    }
    let inner = Arc::new(joined::joined());
    let joined = Arc::new(ScalarUDF::new_from_impl(Bounded { name: "||", inner, estimate: sum }));
    context.state_ref().write().register_function_rewrite(Arc::new(Bind { functions, joined }))
}

/// Puts the bounded functions where the engine takes its own without looking for their names, as in `ARRAY[1, 2]` and `a || b`.
#[derive(Debug)]
struct Bind {
    /// The engine's and ours, by name.
    functions: HashMap<&'static str, (Arc<ScalarUDF>, Arc<ScalarUDF>)>,
    joined: Arc<ScalarUDF>,
}

impl FunctionRewrite for Bind {
    fn name(&self) -> &str {
        "bounded"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, config: &ConfigOptions) -> Result<Transformed<Expr>> {
        let allowance = config.extensions.get::<Allowance>();
        if let Some(allowance) = allowance {
            // This is the first that is done to a statement.
            allowance.begin_planning();
        }
        Ok(match expr {
            Expr::ScalarFunction(mut call) => {
                let known = self.functions.get(call.func.name()).filter(|(engines, _)| *engines == call.func);
                if let Some((_, bounded)) = known {
                    call.func = Arc::clone(bounded);
                }
                Transformed::new_transformed(Expr::ScalarFunction(call), known.is_some())
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right })
                if allowance.is_none_or(|allowance| !allowance.is_shared) =>
            {
                // A chain is one call: of calls within calls the engine would ask the types again and again.
                let args = match *left {
                    Expr::ScalarFunction(mut call) if Arc::ptr_eq(&call.func, &self.joined) => {
                        call.args.push(*right);
                        call.args
                    }
                    left => vec![left, *right],
                };
                Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.joined), args)))
            }
            other => Transformed::no(other),
        })
    }
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

/// Bytes of a constant.
fn bytes_of(value: &ScalarValue) -> usize {
    match (value.try_as_str(), value.data_type().primitive_width()) {
        (Some(text), _) => text.map_or(0, str::len),
        (None, Some(width)) => width,
        (None, None) => value.size(),
    }
}

/// Bytes of all arguments together, without a look at each row.
fn bytes_of_all(args: &[ColumnarValue], rows: usize) -> Result<f64> {
    let mut bytes = 0.0;
    for arg in args {
        bytes += match arg {
            ColumnarValue::Scalar(value) => (bytes_of(value) * rows) as f64,
            ColumnarValue::Array(array) => match (array.as_string_opt::<i32>(), array.as_string_view_opt()) {
                (Some(texts), _) => f64::from(texts.value_offsets()[texts.len()] - texts.value_offsets()[0]),
                // The length of each is the lower half of its view.
                (None, Some(texts)) => texts.views().iter().map(|view| f64::from(*view as u32)).sum(),
                (None, None) => bytes_held(array)?,
            },
        };
    }
    Ok(bytes)
}

/// Bytes of texts; of lists and others, those that a value takes on average.
fn lengths(arg: &ColumnarValue) -> Result<Numbers> {
    match arg {
        ColumnarValue::Scalar(value) => Ok(Numbers::One(bytes_of(value) as f64)),
        ColumnarValue::Array(array) => Ok(match lengths_of_texts(array)? {
            Some(lengths) => Numbers::Each(lengths, 1.0),
            None => Numbers::One(bytes_held(array)? / array.len().max(1) as f64),
        }),
    }
}

fn lengths_of_texts(array: &ArrayRef) -> Result<Option<Int64Array>> {
    use DataType::{Binary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    Ok(match array.data_type() {
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary => {
            Some(cast(&length(array)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        _ => None,
    })
}

/// Bytes of an array's values. One that was cut from another keeps hold of all of that, which does not count.
fn bytes_held(array: &ArrayRef) -> Result<f64> {
    if let Some(lengths) = lengths_of_texts(array)? {
        return Ok(lengths.iter().flatten().sum::<i64>() as f64);
    }
    if let Some(lists) = array.as_list_opt::<i32>() {
        let at = |offset: Option<&i32>| offset.and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
        let (from, to) = (at(lists.value_offsets().first()), at(lists.value_offsets().last()));
        return Ok(bytes_held(&lists.values().slice(from, to - from))? + lists.len() as f64 * VALUE_BYTES_MIN);
    }
    Ok(match array.data_type().primitive_width() {
        Some(width) => (width * array.len()) as f64,
        None => array.get_array_memory_size() as f64,
    })
}

/// Whole numbers as they are; days, times and what is between them in nanoseconds.
fn numbers(arg: &ColumnarValue) -> Result<Numbers> {
    let kind = arg.data_type();
    if !kind.is_integer() && !kind.is_temporal() {
        return Ok(Numbers::One(0.0));
    }
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

impl Bounded {
    fn joins(&self) -> bool {
        JOINING.contains(&self.name)
    }
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

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = match self.joins() {
            true => bytes_of_all(&args.args, args.number_rows)?,
            false => {
                let known = Args::of(&args.args)?;
                (0..args.number_rows).map(|row| (self.estimate)(&known, row).max(0.0)).sum()
            }
        };
        let is_constant = args.number_rows <= 1 && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let allowance = args.config_options.extensions.get::<Allowance>();
        let allowed = allowance.map_or(FUNCTION_BYTES_MAX, |allowance| {
            allowance.of_call(bytes as usize, is_constant, args.return_type().is_string())
        });
        if bytes > allowed as f64 {
            return resources_err!(
                "{} would make some {:.0} KiB at once, where {} KiB are left: ask it for less, or call fewer functions in one statement",
                self.name,
                bytes / 1024.0,
                allowed >> 10
            );
        }
        self.inner.invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests;
