//! Two columns of one name in an answer (`SELECT 1 AS a, 2 AS a`). The engine plans no two, so the later ones get a mark behind their
//! names, which is taken off before anything is told.

use std::collections::HashSet;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr};

use super::words::folded;

/// Begins what is taken off: no name that somebody writes has it.
pub(super) const MARK: char = '\u{1f}';

/// The name as it was written.
pub(super) fn told(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Marks the columns of the outermost `SELECT` that are called like one before them.
pub(super) fn mark(statement: &mut Statement) {
    let Statement::Statement(statement) = statement else { return };
    let ast::Statement::Query(query) = &mut **statement else { return };
    let SetExpr::Select(select) = &mut *query.body else { return };
    let mut seen = HashSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let name = match &*item {
            SelectItem::ExprWithAlias { alias, .. } => alias,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => name,
            _ => continue,
        };
        let name = folded(name);
        if seen.insert(name.clone()) {
            continue;
        }
        let alias = Ident::with_quote('"', format!("{name}{MARK}{at}"));
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &*item {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}
