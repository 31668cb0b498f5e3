//! Two `IN` lists over one expression. The engine makes one of them (DataFusion 55.2, `expr_simplifier.rs`), and forgets what is NULL, what is no
//! literal, and that 0 is -0: `x IN ('a', 'b') AND x NOT IN ('b', NULL)` was true of `'a'`, and `x NOT IN ('a', 'c') OR x NOT IN ('b', 'd')` of
//! NULL. So it is shown another expression for each list that must stay what it is: `apart(x, n)`, which is `x`.
//!
//! Left to it are single lists of plain values, and those that all have to hold in `WHERE`, `HAVING` and `ON`, where what is NULL is not met as
//! what is false is not; they prune files then.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::utils::NamePreserver;
use datafusion::prelude::SessionContext;

/// What plans may hold; workers find it by its name.
pub(super) fn add_functions(context: &SessionContext) {
    context.register_udf(apart());
}

pub fn register(context: &SessionContext) {
    add_functions(context);
    context.add_analyzer_rule(Arc::new(Lists { apart: Arc::new(apart()) }));
}

fn apart() -> ScalarUDF {
    ScalarUDF::new_from_impl(Apart { signature: Signature::any(2, Volatility::Immutable) })
}

#[derive(Debug)]
struct Lists {
    apart: Arc<ScalarUDF>,
}

impl AnalyzerRule for Lists {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut count = 0;
        let kept_apart = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            let is_condition = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
            node.map_expressions(|expr| {
                let merged = merged(&expr, is_condition)?;
                let name = names.save(&expr);
                let changed = self.keep_apart(expr, &merged, &mut count)?;
                Ok(if changed.transformed { changed.update_data(|expr| name.restore(expr)) } else { changed })
            })
        });
        Ok(kept_apart?.data)
    }

    fn name(&self) -> &'static str {
        "lists_apart"
    }
}

impl Lists {
    /// `merged`: what has several lists here that may not become one.
    fn keep_apart(&self, expr: Expr, merged: &[Expr], count: &mut i64) -> Result<Transformed<Expr>> {
        let mut apart = |of: Box<Expr>| {
            *count += 1;
            Box::new(self.apart.call(vec![*of, lit(*count)]))
        };
        expr.transform_up(|part| {
            Ok(match part {
                Expr::InList(mut of) if of.list.iter().any(is_odd) || merged.contains(&of.expr) => {
                    of.expr = apart(of.expr);
                    Transformed::yes(Expr::InList(of))
                }
                // The engine makes a list of `x = 'a' OR x = 'b'` first.
                Expr::BinaryExpr(mut pair) if pair.op == Operator::Eq && merged.contains(&pair.left) => {
                    pair.left = apart(pair.left);
                    Transformed::yes(Expr::BinaryExpr(pair))
                }
                Expr::BinaryExpr(mut pair) if pair.op == Operator::Eq && merged.contains(&pair.right) => {
                    pair.right = apart(pair.right);
                    Transformed::yes(Expr::BinaryExpr(pair))
                }
                other => Transformed::no(other),
            })
        })
    }
}

fn merged(expr: &Expr, is_condition: bool) -> Result<Vec<Expr>> {
    let parts = if is_condition { split_conjunction(expr) } else { vec![expr] };
    let mut merged = Vec::new();
    for part in parts {
        let mut seen: Vec<&Expr> = Vec::new();
        part.apply(|part| {
            let Some(of) = of_list(part) else { return Ok(TreeNodeRecursion::Continue) };
            if seen.contains(&of) {
                merged.push(of.clone());
            }
            seen.push(of);
            Ok(TreeNodeRecursion::Jump)
        })?;
    }
    Ok(merged)
}

/// What `expr` looks for in a list, if it does, or will when the engine has made one of it.
fn of_list(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::InList(list) => Some(&list.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (left, right) = (of_list_or_value(left)?, of_list_or_value(right)?);
            (left == right).then_some(left)
        }
        _ => None,
    }
}

fn of_list_or_value(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (is_of_row(left), is_of_row(right)) {
            (true, false) => Some(left),
            (false, true) => Some(right),
            _ => None,
        },
        Expr::InList(list) if list.negated => None,
        _ => of_list(expr),
    }
}

fn is_odd(item: &Expr) -> bool {
    is_of_row(item) || any(item, |part| matches!(part, Expr::Literal(value, _) if value.is_null()))
}

/// Whether it may be another in each row.
fn is_of_row(expr: &Expr) -> bool {
    any(expr, |part| matches!(part, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_)))
}

fn any(expr: &Expr, is_so: impl Fn(&Expr) -> bool) -> bool {
    // No error comes of it.
    expr.exists(|part| Ok(is_so(part))).unwrap_or(false)
}

/// Its first argument. The second keeps it from being equal to another.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Apart {
    signature: Signature,
}

impl ScalarUDFImpl for Apart {
    fn name(&self) -> &'static str {
        "apart"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        Ok(kinds[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    async fn asked(sql: &str) -> String {
        let context = SessionContext::new();
        register(&context);
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let shown = |at: usize| array_value_to_string(rows[0].column(at), 0).unwrap();
        (0..rows[0].num_columns()).map(shown).collect::<Vec<_>>().join(",")
    }

    #[tokio::test]
    async fn lists_over_one_expression_are_true_of_what_they_say() {
        let table = "FROM (VALUES ('a'), ('b'), (NULL)) t(x)";
        for (condition, expected) in [
            ("x IN ('a','b') AND x NOT IN ('b', NULL)", "0,1"),
            ("x NOT IN ('a','c') OR x NOT IN ('b','d')", "2,0"),
            ("NOT (x IN ('a','c') AND x IN ('b','d'))", "2,0"),
            ("NOT ((x = 'a' OR 'c' = x) AND (x = 'b' OR x = 'd'))", "2,0"),
            ("(x IN ('a','c') AND x IN ('b','d')) IS NULL", "1,2"),
            ("x NOT IN ('a','c') OR x NOT IN ('b', NULL)", "1,0"),
            ("lower(x) NOT IN ('a','c') OR lower(x) NOT IN ('b','d')", "2,0"),
            ("x IN ('a','b') AND x NOT IN ('b','c')", "1,1"),
            ("x IN ('a','c') AND x IN ('b','d')", "0,2"),
            ("x NOT IN ('a','c') AND x NOT IN ('c','d')", "1,1"),
            ("x IN (x, 'q') AND x IN (lower(x), 'r')", "2,0"),
            ("CASE WHEN x NOT IN ('a','c') OR x NOT IN ('b','d') THEN true ELSE false END", "2,1"),
            ("x IN ('b', NULL)", "1,0"),
        ] {
            let sql = format!(
                "SELECT a.n, b.n FROM (SELECT count(*) AS n {table} WHERE {condition}) a, (SELECT count(*) AS n {table} WHERE NOT ({condition})) b"
            );
            assert_eq!(asked(&sql).await, expected, "{condition}");
        }
    }

    #[tokio::test]
    async fn what_prunes_stays_as_it_is() {
        let context = SessionContext::new();
        register(&context);
        for condition in ["x IN ('a','b','c','d') AND x NOT IN ('b','c','d','e')", "x = 'a' AND y NOT IN ('a','b')"] {
            let sql = format!("SELECT x FROM (VALUES ('a', 'b')) t(x, y) WHERE {condition}");
            let plan = context.sql(&sql).await.unwrap().into_optimized_plan().unwrap();
            assert!(!plan.display_indent().to_string().contains("apart("), "{plan}");
        }
    }
}
