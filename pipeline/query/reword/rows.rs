//! Rows that are compared: `(a, b) = (c, d)`, `(a, b) < (c, d)`, `(a, b) IN ((1, 2), (3, 4))`. The engine compares them as structures, which know
//! no NULL. PostgreSQL goes member by member (its manual, 9.25.5).

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::whole;
use crate::query::words::joined;

/// Of rows that are compared by their members: each is one level of the query more.
const MEMBERS_MAX: usize = 16;

/// The same by members; nothing: it is no comparison of rows of one length, or of long ones.
pub(super) fn by_members(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::BinaryOp { left, op, right } => compared(row(left)?, op, row(right)?),
        Expr::InList { expr, list, negated } => {
            let members = row(expr)?;
            let same: Option<Vec<Expr>> =
                list.iter().map(|other| compared(members, &BinaryOperator::Eq, row(other)?)).collect();
            let any = nested(chain(same?, &BinaryOperator::Or)?);
            Some(if *negated { nested(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) }) } else { any })
        }
        _ => None,
    }
}

fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(members) => Some(members),
        _ => None,
    }
}

fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    if left.len() != right.len() || left.len() > MEMBERS_MAX {
        return None;
    }
    let each = |op: &BinaryOperator| {
        let by = |(left, right)| Expr::BinaryOp { left: whole(left), op: op.clone(), right: whole(right) };
        left.iter().zip(right).map(by).collect::<Vec<_>>()
    };
    let before = match op {
        Eq => return chain(each(&Eq), &And).map(nested),
        NotEq => return chain(each(&NotEq), &Or).map(nested),
        Lt | LtEq => Lt,
        Gt | GtEq => Gt,
        _ => return None,
    };
    // From the last to the first: one is before the other by its first members, or those are the same and it is by the rest.
    let mut rest = each(op).pop()?;
    for (first, same) in each(&before).into_iter().zip(each(&Eq)).rev().skip(1) {
        rest = joined(first, Or, nested(joined(same, And, nested(rest))));
    }
    Some(nested(rest))
}

/// In halves, so that a list of thousands lies no deeper than a dozen.
fn chain(mut parts: Vec<Expr>, by: &BinaryOperator) -> Option<Expr> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let second = parts.split_off(parts.len() / 2);
    Some(joined(chain(parts, by)?, by.clone(), chain(second, by)?))
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

#[cfg(test)]
mod tests {
    use super::super::tests::reworded;

    #[test]
    fn rows_are_compared_by_their_members() {
        for (sql, expected) in [
            ("(a, b) = (1, 2 + 3)", "(a = 1 AND b = (2 + 3))"),
            ("(a, b) <> (c, d)", "(a <> c OR b <> d)"),
            ("(a, b, c) < (1, 2, 3)", "(a < 1 OR (a = 1 AND (b < 2 OR (b = 2 AND (c < 3)))))"),
            ("(a, b) >= (1, 2)", "(a > 1 OR (a = 1 AND (b >= 2)))"),
            ("(a, b) IN ((1, 2), (3, 4))", "((a = 1 AND b = 2) OR (a = 3 AND b = 4))"),
            ("(a, b) NOT IN ((1, 2))", "(NOT ((a = 1 AND b = 2)))"),
            ("(a, b) = (1, 2, 3)", "(a, b) = (1, 2, 3)"),
            ("(a, b) + (1, 2)", "(a, b) + (1, 2)"),
            ("a IN (1, 2)", "a IN (1, 2)"),
        ] {
            assert_eq!(reworded(&format!("SELECT 1 WHERE {sql}")), format!("SELECT 1 WHERE {expected}"));
        }
    }
}
