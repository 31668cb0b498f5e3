//! Truth values that are written as texts: `is_unique = '1'`, as Excel and Access filter over ODBC. PostgreSQL reads a quoted literal as the type
//! of what it is compared with; the engine knows no common type of the two.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::dialect::text;

pub fn register(context: &SessionContext) -> Result<()> {
    context.state_ref().write().register_expr_planner(Arc::new(Truths))
}

#[derive(Debug)]
struct Truths;

impl ExprPlanner for Truths {
    fn plan_binary_op(&self, mut pair: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if is_comparison(&pair.op) {
            let is_truth = |of: &Expr| of.get_type(schema).is_ok_and(|kind| kind == DataType::Boolean);
            if let Some(right) = truth(&pair.right).filter(|_| is_truth(&pair.left)) {
                pair.right = right;
            } else if let Some(left) = truth(&pair.left).filter(|_| is_truth(&pair.right)) {
                pair.left = left;
            }
        }
        Ok(PlannerResult::Original(pair))
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// The truth value that a quoted literal says: a beginning that only one of its words has, in any case (PostgreSQL's manual, 8.6).
fn truth(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(value, _) = expr else { return None };
    let word = text(value)?.trim().to_ascii_lowercase();
    let begins = |words: [&str; 4]| !word.is_empty() && words.iter().any(|whole| whole.starts_with(&word));
    match (begins(["true", "yes", "on", "1"]), begins(["false", "no", "off", "0"])) {
        (true, false) => Some(lit(true)),
        (false, true) => Some(lit(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    #[tokio::test]
    async fn a_quoted_literal_is_a_truth_value_where_one_is_wanted() {
        let context = SessionContext::new();
        register(&context).unwrap();
        for (condition, count) in [
            ("a = 't'", "2"),
            ("a = '1'", "2"),
            ("'0' = a", "1"),
            ("a <> ' Yes '", "1"),
            ("a < 'on'", "1"),
            ("a = 'off' OR a = 'tru'", "3"),
            ("(a = true) = 'f'", "1"),
        ] {
            let sql = format!(
                "SELECT count(*), bool_or({condition}) FROM (VALUES (true), (true), (false), (NULL)) AS t(a) WHERE {condition}"
            );
            let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
            assert_eq!(array_value_to_string(rows[0].column(0), 0).unwrap(), count, "{condition}");
        }
        for wrong in ["a = 'o'", "a = ''", "a = 'x'", "a = 'trues'"] {
            let asked = context.sql(&format!("SELECT count(*) FROM (VALUES (true)) AS t(a) WHERE {wrong}")).await;
            let answered = match asked {
                Ok(asked) => asked.collect().await.map(drop),
                Err(error) => Err(error),
            };
            assert!(answered.is_err(), "{wrong}");
        }
    }
}
