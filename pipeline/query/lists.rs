//! Two `IN` lists over one expression. The engine makes one of them (DataFusion 55.2, `expr_simplifier.rs`), and forgets what is NULL and what is no
//! literal: `x IN ('a', 'b') AND x NOT IN ('b', NULL)` was true of `'a'`, and `x NOT IN ('a', 'c') OR x NOT IN ('b', 'd')` of NULL. So, each time before
//! it simplifies, it is shown another expression for each list that must stay what it is: `apart(x, n)`, which is `x`, and `n` is of the list.
//!
//! Left to it are single lists of plain values, and those that all, or some, have to hold in `WHERE`, `HAVING` and `ON`, but for several `NOT IN`
//! of which one is enough: what is NULL is not met there as what is false is not. They prune files then.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::prelude::SessionContext;

use super::renamed::with_names;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Of the engine's rules, the one that makes one list of two.
const MERGES: &str = "simplify_expressions";
const NAME: &str = "apart";

/// What plans may hold; workers find it by its name.
pub(super) fn add_functions(context: &SessionContext) {
    context.register_udf((*apart()).clone());
}

/// The same rules, but that none is shown two lists that it would make a wrong one of.
pub(super) fn kept_apart(rules: &[Rule]) -> Vec<Rule> {
    let kept = |rule: &Rule| match rule.name() == MERGES {
        true => Arc::new(Lists { rule: Arc::clone(rule), apart: apart() }) as Rule,
        false => Arc::clone(rule),
    };
    rules.iter().map(kept).collect()
}

fn apart() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Apart { signature: Signature::any(2, Volatility::Immutable) }))
}

#[derive(Debug)]
struct Lists {
    rule: Rule,
    apart: Arc<ScalarUDF>,
}

impl OptimizerRule for Lists {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let is_condition = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::TableScan(_));
        let kept = with_names(plan, |expr| {
            let merged = merged(&expr, is_condition);
            self.keep_apart(expr, &merged)
        })?;
        let was_kept = kept.transformed;
        let mut simplified = self.rule.rewrite(kept.data, config)?;
        simplified.transformed |= was_kept;
        Ok(simplified)
    }
}

impl Lists {
    /// `merged`: by their columns, what has several lists here that may not become one.
    fn keep_apart(&self, expr: Expr, merged: &BTreeSet<Columns>) -> Result<Transformed<Expr>> {
        let is_merged = |of: &Expr| !merged.is_empty() && merged.contains(&columns(of));
        let apart = |of: Box<Expr>, by: u64| Box::new(self.apart.call(vec![*of, lit(by)]));
        expr.transform_up(|part| {
            Ok(match part {
                Expr::InList(mut of) if !is_apart(&of.expr) && (of.list.iter().any(is_odd) || is_merged(&of.expr)) => {
                    let by = hash(&(&of.list, of.negated));
                    of.expr = apart(of.expr, by);
                    Transformed::yes(Expr::InList(of))
                }
                // The engine makes a list of `x = 'a' OR x = 'b'` first.
                Expr::BinaryExpr(pair) => match sought(&pair).filter(|(of, _)| is_merged(of) && !is_apart(of)) {
                    Some((of, value)) => {
                        let of = apart(Box::new(of.clone()), hash(value));
                        Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(of, Operator::Eq, Box::new(value.clone()))))
                    }
                    None => Transformed::no(Expr::BinaryExpr(pair)),
                },
                other => Transformed::no(other),
            })
        })
    }
}

/// Names of columns: what is cast, or comes from below, may be one expression in the end.
type Columns = BTreeSet<String>;

fn columns(of: &Expr) -> Columns {
    let mut found = Columns::new();
    // No error comes of it.
    let _ = of.apply(|part| {
        if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part {
            found.insert(column.flat_name());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn is_apart(of: &Expr) -> bool {
    matches!(of, Expr::ScalarFunction(function) if function.func.name() == NAME)
}

fn merged(expr: &Expr, is_condition: bool) -> BTreeSet<Columns> {
    let parts = if is_condition { split_conjunction(expr) } else { vec![expr] };
    let mut merged = BTreeSet::new();
    for part in parts {
        let mut seen = Seen { once: BTreeSet::new(), merged: &mut merged };
        if is_condition { seen.look_at_condition(part, false) } else { seen.look_at(part) }
    }
    merged
}

/// What has a list that another may not be made one with.
struct Seen<'m> {
    once: BTreeSet<Columns>,
    merged: &'m mut BTreeSet<Columns>,
}

impl Seen<'_> {
    /// What has to hold, or `either` it or something else.
    fn look_at_condition(&mut self, expr: &Expr, either: bool) {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let either = either || *op == Operator::Or;
                self.look_at_condition(left, either);
                self.look_at_condition(right, either);
            }
            Expr::InList(list) if list.negated => {
                if either {
                    self.count(&list.expr);
                }
            }
            Expr::InList(_) => {}
            other => self.look_at(other),
        }
    }

    /// A value, of which it counts whether it is NULL.
    fn look_at(&mut self, expr: &Expr) {
        // No error comes of it.
        let _ = expr.apply(|part| {
            let Some(of) = of_list(part) else { return Ok(TreeNodeRecursion::Continue) };
            self.count(of);
            Ok(TreeNodeRecursion::Jump)
        });
    }

    fn count(&mut self, of: &Expr) {
        let columns = columns(of);
        if !is_apart(of) && !self.once.insert(columns.clone()) {
            self.merged.insert(columns);
        }
    }
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
        Expr::BinaryExpr(pair) if pair.op == Operator::Eq => sought(pair).map(|(of, _)| of),
        Expr::InList(list) if list.negated => None,
        _ => of_list(expr),
    }
}

/// Of `x = 'a'`, or `'a' = x`, that side which is another in each row, and the other, which is not.
fn sought(pair: &BinaryExpr) -> Option<(&Expr, &Expr)> {
    match (pair.op, is_of_row(&pair.left), is_of_row(&pair.right)) {
        (Operator::Eq, true, false) => Some((&pair.left, &pair.right)),
        (Operator::Eq, false, true) => Some((&pair.right, &pair.left)),
        _ => None,
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
        NAME
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
    use datafusion::execution::SessionStateBuilder;

    use super::*;

    fn context() -> SessionContext {
        let state = SessionContext::new().state();
        let rules = kept_apart(state.optimizers());
        let context = SessionContext::new_with_state(
            SessionStateBuilder::new_from_existing(state).with_optimizer_rules(rules).build(),
        );
        add_functions(&context);
        context
    }

    async fn asked(sql: &str) -> String {
        let context = context();
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

    /// Below a projection, and behind casts that go.
    #[tokio::test]
    async fn lists_that_meet_later_stay_apart_as_well() {
        let rows = "(VALUES ('a'), ('b'), (NULL)) t(x)";
        for (sql, expected) in [
            ("SELECT count(*) FROM (SELECT x IN ('a','c') AS p, x IN ('b','d') AS q FROM {}) WHERE NOT (p AND q)", "2"),
            (
                "SELECT count(*) FROM (SELECT x IN ('a','c') AS p, x IN ('b','d') AS q FROM {}) WHERE NOT p OR q = false",
                "2",
            ),
            (
                "SELECT count(*) FROM (SELECT x IN ('a','c') AS p, x IN ('b','d') AS q FROM {}) WHERE (p AND q) IS NULL",
                "1",
            ),
            ("SELECT count(*) FROM {} WHERE CAST(x AS text) NOT IN ('a','c') OR x NOT IN ('b','d')", "2"),
            ("SELECT count(*) FROM {} WHERE coalesce(x) NOT IN ('a','c') OR x NOT IN ('b','d')", "2"),
            ("SELECT count(*) FROM {} GROUP BY CUBE (x IN ('a', NULL)) ORDER BY 1 DESC LIMIT 1", "3"),
        ] {
            assert_eq!(asked(&sql.replace("{}", rows)).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn what_prunes_stays_as_it_is() {
        let context = context();
        for condition in [
            "x IN ('a','b','c','d') AND x NOT IN ('b','c','d','e')",
            "x = 'a' AND y NOT IN ('a','b')",
            "(x IN ('a','b') AND y IN ('a','c')) OR (x IN ('c','d') AND y IN ('d','e'))",
        ] {
            let sql = format!("SELECT x FROM (VALUES ('a', 'b')) t(x, y) WHERE {condition}");
            let plan = context.sql(&sql).await.unwrap().into_optimized_plan().unwrap();
            assert!(!plan.display_indent().to_string().contains("apart("), "{plan}");
        }
    }
}
