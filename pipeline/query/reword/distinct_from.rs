//! `a IS DISTINCT FROM b AND c`: the parser reads all that follows as the right side, as if it were `a IS DISTINCT FROM (b AND c)`. `AND` and
//! `OR` that stand there without parentheses belong around it (PostgreSQL's manual, 4.1.6).

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use crate::query::words::joined;

/// Puts a chain of `AND` and `OR` right. What stands in parentheses is visited by itself.
pub(super) fn set_right(expr: &mut Expr) {
    if !swallows(expr) {
        return;
    }
    let mut chain = Chain::default();
    chain.read(std::mem::replace(expr, nothing()), Vec::new());
    *expr = chain.built();
}

fn nothing() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

/// Whether a right side has an `AND` or `OR` of its own. It reaches to the end, so it is the last one.
fn swallows(expr: &Expr) -> bool {
    let (mut rest, mut is_right_side) = (expr, false);
    loop {
        rest = match rest {
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. } if is_right_side => return true,
            Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, right, .. } => right,
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => expr,
            Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) => {
                is_right_side = true;
                right
            }
            _ => return false,
        }
    }
}

/// What stands before a term and takes it alone.
enum Before {
    Not,
    DistinctFrom(Box<Expr>),
    NotDistinctFrom(Box<Expr>),
}

impl Before {
    fn with(self, term: Expr) -> Expr {
        let term = Box::new(term);
        match self {
            Before::Not => Expr::UnaryOp { op: UnaryOperator::Not, expr: term },
            Before::DistinctFrom(left) => Expr::IsDistinctFrom(left, term),
            Before::NotDistinctFrom(left) => Expr::IsNotDistinctFrom(left, term),
        }
    }
}

/// Terms in the order in which they are written.
#[derive(Default)]
struct Chain {
    terms: Vec<Expr>,
    /// What stands between them.
    by: Vec<BinaryOperator>,
}

impl Chain {
    /// `before`: what stands before the first term of `expr`, the outermost first.
    fn read(&mut self, expr: Expr, mut before: Vec<Before>) {
        match expr {
            Expr::BinaryOp { left, op: op @ (BinaryOperator::And | BinaryOperator::Or), right } => {
                self.read(*left, before);
                self.by.push(op);
                self.read(*right, Vec::new());
            }
            Expr::IsDistinctFrom(left, right) => {
                before.push(Before::DistinctFrom(left));
                self.read(*right, before);
            }
            Expr::IsNotDistinctFrom(left, right) => {
                before.push(Before::NotDistinctFrom(left));
                self.read(*right, before);
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } if is_open(&expr) => {
                before.push(Before::Not);
                self.read(*expr, before);
            }
            term => self.terms.push(before.into_iter().rev().fold(term, |term, before| before.with(term))),
        }
    }

    /// `AND` binds before `OR`, and both from the left.
    fn built(self) -> Expr {
        let mut terms = self.terms.into_iter();
        let (mut any, mut all) = (None, terms.next().unwrap_or_else(nothing));
        for (op, term) in self.by.into_iter().zip(terms) {
            if op == BinaryOperator::Or {
                any = Some(or(any, all));
                all = term;
            } else {
                all = joined(all, BinaryOperator::And, term);
            }
        }
        or(any, all)
    }
}

/// Whether what `NOT` stands before may have taken more than is its own.
fn is_open(expr: &Expr) -> bool {
    match expr {
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => true,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => is_open(expr),
        _ => false,
    }
}

fn or(any: Option<Expr>, all: Expr) -> Expr {
    match any {
        Some(any) => joined(any, BinaryOperator::Or, all),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};
    use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// Puts right, and writes parentheses around all that is a chain or a comparison of this kind.
    struct Shown;

    impl VisitorMut for Shown {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            set_right(expr);
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if matches!(
                expr,
                Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. }
                    | Expr::IsDistinctFrom(..)
                    | Expr::IsNotDistinctFrom(..)
                    | Expr::UnaryOp { op: UnaryOperator::Not, .. }
            ) {
                *expr = Expr::Nested(Box::new(expr.clone()));
            }
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn the_right_side_ends_where_it_should() {
        let dialects: [&dyn Dialect; 2] = [&GenericDialect {}, &PostgreSqlDialect {}];
        for (sql, expected) in [
            ("a IS DISTINCT FROM b", "(a IS DISTINCT FROM b)"),
            ("a IS DISTINCT FROM b AND c", "((a IS DISTINCT FROM b) AND c)"),
            ("a IS NOT DISTINCT FROM b OR c AND d", "((a IS NOT DISTINCT FROM b) OR (c AND d))"),
            ("x AND a IS DISTINCT FROM b OR c", "((x AND (a IS DISTINCT FROM b)) OR c)"),
            ("x OR y AND a IS DISTINCT FROM b AND c OR d", "((x OR ((y AND (a IS DISTINCT FROM b)) AND c)) OR d)"),
            ("NOT a IS DISTINCT FROM b AND c", "((NOT (a IS DISTINCT FROM b)) AND c)"),
            ("NOT NOT a IS DISTINCT FROM b OR c", "((NOT (NOT (a IS DISTINCT FROM b))) OR c)"),
            (
                "a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM d AND e OR f",
                "((((a IS DISTINCT FROM b) AND (c IS NOT DISTINCT FROM d)) AND e) OR f)",
            ),
            (
                "a IS DISTINCT FROM b AND NOT c IS DISTINCT FROM d OR e",
                "(((a IS DISTINCT FROM b) AND (NOT (c IS DISTINCT FROM d))) OR e)",
            ),
            ("a IS DISTINCT FROM b + 1 AND c", "((a IS DISTINCT FROM b + 1) AND c)"),
            ("a IS DISTINCT FROM b = 1 AND c", "((a IS DISTINCT FROM b = 1) AND c)"),
            ("a IS DISTINCT FROM b BETWEEN 1 AND 2 AND c", "((a IS DISTINCT FROM b BETWEEN 1 AND 2) AND c)"),
            ("x AND y OR z", "((x AND y) OR z)"),
            ("f(a IS DISTINCT FROM b AND c)", "f(((a IS DISTINCT FROM b) AND c))"),
            ("CASE WHEN a IS DISTINCT FROM b OR c THEN 1 END", "CASE WHEN ((a IS DISTINCT FROM b) OR c) THEN 1 END"),
        ] {
            for dialect in dialects {
                let mut parsed = Parser::new(dialect).try_with_sql(sql).unwrap().parse_expr().unwrap();
                let _ = VisitMut::visit(&mut parsed, &mut Shown);
                assert_eq!(parsed.to_string(), expected, "{sql}");
            }
        }
    }

    #[test]
    fn what_stands_in_parentheses_stays() {
        for sql in ["a IS DISTINCT FROM (b AND c)", "(a OR b) AND c IS NOT DISTINCT FROM (d OR e)"] {
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
            let mut right = parsed.clone();
            set_right(&mut right);
            assert_eq!(right, parsed, "{sql}");
        }
    }
}
