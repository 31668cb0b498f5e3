//! `+`, `-` and `*` of whole numbers and decimals, which fail where the result has no room, as PostgreSQL's do (SQLSTATE 22003). The engine's wrap
//! around (DataFusion 55.2): `9223372036854775807 + 1` was negative there.
//!
//! `a + b - c + …` is one function of all, where they are of one type: of functions within each other the engine asks the types again at each, so that a
//! long sum took time that grew with its square.

use std::sync::Arc;

use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

use super::renamed::with_names;

const NAMES: [(Operator, &str); 3] =
    [(Operator::Plus, "checked_add"), (Operator::Minus, "checked_subtract"), (Operator::Multiply, "checked_multiply")];

/// What plans may hold; workers find it by its name.
pub(super) fn add_functions(context: &SessionContext) {
    for (_, function) in pairs() {
        context.register_udf((*function).clone());
    }
    context.register_udf((*chain()).clone());
}

pub fn register(context: &SessionContext) {
    add_functions(context);
    context.add_analyzer_rule(Arc::new(Rewrite { pairs: pairs(), chain: chain() }));
}

fn pairs() -> [(Operator, Arc<ScalarUDF>); 3] {
    let signature = || Signature::user_defined(Volatility::Immutable);
    NAMES.map(|(op, name)| (op, Arc::new(ScalarUDF::new_from_impl(Pair { name, op, signature: signature() }))))
}

fn chain() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Chain { signature: Signature::variadic_any(Volatility::Immutable) }))
}

#[derive(Debug)]
struct Rewrite {
    pairs: [(Operator, Arc<ScalarUDF>); 3],
    chain: Arc<ScalarUDF>,
}

/// Behind the engine's own, which have made the types of both sides one.
impl AnalyzerRule for Rewrite {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let mut schema = merge_schema(&node.inputs());
            if let LogicalPlan::TableScan(scan) = &node {
                schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
            }
            with_names(node, |expr| expr.transform_up(|part| Ok(self.checked(part, &schema))))
        });
        Ok(rewritten?.data)
    }

    fn name(&self) -> &'static str {
        "checked"
    }
}

impl Rewrite {
    fn checked(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let BinaryExpr { left, op, right } = match expr {
            Expr::BinaryExpr(it) => it,
            Expr::Negative(of) => return self.negated(*of, schema),
            other => return Transformed::no(other),
        };
        let kinds = self.pair(op).map(|pair| (pair, left.get_type(schema), right.get_type(schema)));
        match kinds {
            Some((_, Ok(l), Ok(r))) if l == r && l.is_integer() && self.is_of(&left, &l, schema) => {
                Transformed::yes(self.longer(*left, op, *right))
            }
            Some((pair, Ok(l), Ok(r))) if may_wrap(op, &l, &r) => Transformed::yes(pair.call(vec![*left, *right])),
            _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        }
    }

    fn pair(&self, op: Operator) -> Option<&Arc<ScalarUDF>> {
        self.pairs.iter().find(|(of, _)| *of == op).map(|(_, function)| function)
    }

    /// `-of`. The engine's own wraps around for the least number, and sorts by nothing but that of a column (`ORDER BY -length(x)`: its plan does not
    /// satisfy its own check).
    fn negated(&self, of: Expr, schema: &DFSchema) -> Transformed<Expr> {
        let kind = of.get_type(schema).ok().filter(|_| !matches!(of, Expr::Literal(..)));
        let is_column = matches!(of, Expr::Column(_));
        let subtract = |kind: &DataType, of| {
            let zero = ScalarValue::new_zero(kind).ok()?;
            Some(self.pair(Operator::Minus)?.call(vec![lit(zero), of]))
        };
        let instead = match &kind {
            Some(kind) if kind.is_signed_integer() => subtract(kind, of.clone()),
            Some(kind) if kind.is_decimal() && !is_column => {
                subtract(kind, of.clone()).map(|it| cast(it, kind.clone()))
            }
            Some(kind) if kind.is_floating() && !is_column => {
                ScalarValue::new_negative_one(kind).ok().map(|minus| of.clone() * lit(minus))
            }
            _ => None,
        };
        instead.map_or_else(|| Transformed::no(Expr::Negative(Box::new(of))), Transformed::yes)
    }

    /// Whether `left` is one of our own, of values of that type alone.
    fn is_of(&self, left: &Expr, kind: &DataType, schema: &DFSchema) -> bool {
        let Expr::ScalarFunction(of) = left else { return false };
        let is_of_kind = |of: &Expr| of.get_type(schema).is_ok_and(|own| own == *kind);
        let is_pair = || self.pairs.iter().any(|(_, pair)| *pair == of.func);
        of.func == self.chain || is_pair() && of.args.iter().all(is_of_kind)
    }

    fn longer(&self, left: Expr, op: Operator, right: Expr) -> Expr {
        let Expr::ScalarFunction(mut of) = left else { return left };
        if let Some((first, _)) = self.pairs.iter().find(|(_, pair)| *pair == of.func) {
            of.args.insert(0, lit(first.to_string()));
            of.func = Arc::clone(&self.chain);
        }
        if let Some(Expr::Literal(ScalarValue::Utf8(Some(ops)), _)) = of.args.first_mut() {
            ops.push_str(&op.to_string());
        }
        of.args.push(right);
        Expr::ScalarFunction(of)
    }
}

fn may_wrap(op: Operator, left: &DataType, right: &DataType) -> bool {
    let is_exact = |kind: &DataType| kind.is_integer() || kind.is_decimal();
    let result = || BinaryTypeCoercer::new(left, &op, right).get_result_type();
    is_exact(left) && is_exact(right) && result().is_ok_and(|kind| is_exact(&kind))
}

/// One operator and its two values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pair {
    name: &'static str,
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for Pair {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right] = two(kinds)?;
        let (left, right) = BinaryTypeCoercer::new(left, &self.op, right).get_input_types()?;
        Ok(vec![left, right])
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let [left, right] = two(kinds)?;
        BinaryTypeCoercer::new(left, &self.op, right).get_result_type()
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        unbounded(self, inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = two(&args.args)?;
        reckoned(left, self.op, right)
    }
}

/// The operators' signs as a text, and whole numbers of one type, which are reckoned with from the left to the right.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Chain {
    signature: Signature,
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &'static str {
        "checked_chain"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        kinds.last().cloned().map_or_else(|| internal_err!("a chain of nothing"), Ok)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        unbounded(self, inputs)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(ScalarValue::Utf8(Some(signs))), first, rest @ ..] = &args.args[..] else {
            return internal_err!("a chain without its signs");
        };
        signs.chars().zip(rest).try_fold(first.clone(), |left, (sign, right)| {
            let op = NAMES.iter().map(|(op, _)| *op).find(|op| op.to_string().starts_with(sign));
            op.map_or_else(|| internal_err!("no sign: {sign}"), |op| reckoned(&left, op, right))
        })
    }
}

/// Anything, of its own type: the engine's has none, and orders nothing by what is made of it.
fn unbounded(function: &impl ScalarUDFImpl, inputs: &[&Interval]) -> Result<Interval> {
    let kinds: Vec<DataType> = inputs.iter().map(|input| input.data_type()).collect();
    Interval::make_unbounded(&function.return_type(&kinds)?)
}

fn reckoned(left: &ColumnarValue, op: Operator, right: &ColumnarValue) -> Result<ColumnarValue> {
    let reckon = match op {
        Operator::Plus => numeric::add,
        Operator::Minus => numeric::sub,
        _ => numeric::mul,
    };
    Ok(match (left, right) {
        (ColumnarValue::Array(left), ColumnarValue::Array(right)) => ColumnarValue::Array(reckon(left, right)?),
        (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => {
            ColumnarValue::Array(reckon(left, &right.to_scalar()?)?)
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
            ColumnarValue::Array(reckon(&left.to_scalar()?, right)?)
        }
        (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
            let one = reckon(&left.to_scalar()?, &right.to_scalar()?)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?)
        }
    })
}

fn two<T>(of: &[T]) -> Result<&[T; 2]> {
    of.try_into().or_else(|_| internal_err!("two values are reckoned with each other"))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    async fn asked(sql: &str) -> Result<String> {
        let context = SessionContext::new();
        register(&context);
        let rows = context.sql(sql).await?.collect().await?;
        Ok(array_value_to_string(rows[0].column(0), 0)?)
    }

    #[tokio::test]
    async fn what_has_no_room_fails() {
        for sql in [
            "SELECT 9223372036854775807 + 1",
            "SELECT i * 9223372036854775807 FROM (VALUES (3)) t(i)",
            "SELECT 1 + x * x FROM (VALUES (4294967296)) t(x)",
            "SELECT x + x - x FROM (VALUES (9223372036854775807)) t(x)",
            "SELECT i::int * 2::int FROM (VALUES (2147483647)) t(i)",
            "SELECT x - 1 FROM (VALUES (arrow_cast(-9223372036854775807, 'Int64') - 1)) t(x)",
            "SELECT count(*) FROM (VALUES (9223372036854775807)) t(x) WHERE x + 1 > 0",
            "SELECT x * x FROM (VALUES (arrow_cast('99999999999999999999', 'Decimal128(20, 0)'))) t(x)",
            "SELECT -(x - 1) FROM (VALUES (arrow_cast(-9223372036854775807, 'Int64'))) t(x)",
        ] {
            let message = asked(sql).await.unwrap_err().to_string();
            assert!(message.contains("verflow"), "{sql}: {message}");
        }
    }

    #[tokio::test]
    async fn what_has_room_is_as_before() {
        for (sql, expected) in [
            ("SELECT 9223372036854775806 + 1", "9223372036854775807"),
            ("SELECT x + NULL FROM (VALUES (1)) t(x)", ""),
            ("SELECT 7 - x FROM (VALUES (1::smallint)) t(x)", "6"),
            ("SELECT sum(x + 1) * 2 FROM (VALUES (1), (2), (NULL)) t(x)", "10"),
            ("SELECT x * 2 FROM (VALUES (arrow_cast('1.50', 'Decimal128(18, 2)'))) t(x)", "3.00"),
            ("SELECT x * 1.5 FROM (VALUES (3)) t(x)", "4.5"),
            ("SELECT x * 2 + x - 10 - (x - 1) * 3 FROM (VALUES (7)) t(x)", "-7"),
            ("SELECT x::smallint + 1::smallint + 70000 - x::smallint FROM (VALUES (7)) t(x)", "70001"),
            ("SELECT 1 + x::decimal(4,1) + 2 FROM (VALUES (7)) t(x)", "10.0"),
            ("SELECT 100 * count(*) * CASE WHEN count(*) > 5 THEN 1 ELSE 0.5 END FROM (VALUES (7)) t(x)", "50.0"),
            ("SELECT 1 + 2 + x FROM (SELECT 1 AS x UNION ALL SELECT 2.5) q ORDER BY 1 DESC", "5.5"),
            ("SELECT x + x + CASE WHEN x > 1 THEN x ELSE 70000 END FROM (VALUES (1::smallint)) t(x)", "70002"),
            ("SELECT x FROM (VALUES (1), (3), (2)) t(x) ORDER BY -(x + 1), x LIMIT 1", "3"),
            ("SELECT x FROM (VALUES (1), (3), (2)) t(x) ORDER BY -(x - 1 - x - x), x LIMIT 1", "1"),
            (
                "SELECT count(*) FROM (VALUES (1), (3), (3)) t(x) GROUP BY ROLLUP (x + 1) ORDER BY x + 1 DESC NULLS FIRST",
                "3",
            ),
            ("SELECT x FROM (VALUES ('a'), ('ccc'), ('bb')) t(x) ORDER BY -length(x) LIMIT 1", "ccc"),
            ("SELECT x FROM (VALUES (1.5), (-3.5)) t(x) ORDER BY -abs(x) LIMIT 1", "-3.5"),
            ("SELECT x FROM (VALUES (1.5), (-3.5)) t(x) ORDER BY -abs(x::decimal(4,1)) LIMIT 1", "-3.5"),
            ("SELECT -x FROM (VALUES (3::smallint)) t(x)", "-3"),
            ("SELECT -(x::decimal(4,1)) FROM (VALUES (3)) t(x)", "-3.0"),
            ("SELECT DATE '2026-11-20' + 1", "2026-11-21"),
            ("SELECT count(*) FROM (VALUES (1), (1), (2)) t(x) GROUP BY x + 1 ORDER BY x + 1", "2"),
        ] {
            assert_eq!(asked(sql).await.unwrap(), expected, "{sql}");
        }
    }
}
