//! `JOIN … USING (k)`: there is one `k` then, the left side's or, of rows that only the right one has, that's (ISO/IEC 9075-2, 7.10). The engine takes an
//! unqualified `k` for the left side's throughout, which is NULL in rows of the right one alone (`RIGHT`, `FULL`), and in `WHERE`, `HAVING` and
//! behind two joins it calls `k` ambiguous. So it is written out.
//!
//! Left as they are: `NATURAL` joins, and a `k` that one of several relations before a join has, where it is not known which.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, OrderByKind, Query,
    ReplaceSelectElement, ReplaceSelectItem, Select, SelectItem, SetExpr, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use super::words::{call, change_here, folded};

/// Writes out what `USING` made one, in all queries of `what`.
pub(super) fn write_out(what: &mut impl VisitMut) {
    let _ = VisitMut::visit(what, &mut Queries);
}

struct Queries;

impl VisitorMut for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        query_written_out(query);
        ControlFlow::Continue(())
    }
}

fn query_written_out(query: &mut Query) {
    let SetExpr::Select(select) = &mut *query.body else { return };
    // Of several items in FROM, another may have a `k` of its own.
    let [from] = &mut select.from[..] else { return };
    let Some(merged) = Side::of_joins(from).map(|side| side.merged).filter(|merged| !merged.is_empty()) else { return };
    let names = Names { merged: &merged };
    let told = told(select);
    for expr in select.selection.iter_mut().chain(&mut select.having).chain(&mut select.qualify) {
        names.write(expr);
    }
    // What the answer calls so goes first, unless it is the column itself.
    let own: Merged = merged.iter().filter(|(name, _)| told.get(*name) != Some(&false)).map(copied).collect();
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        let names = Names { merged: &own };
        exprs.iter_mut().for_each(|expr| names.write(expr));
    }
    if let Some(Distinct::On(exprs)) = &mut select.distinct {
        let names = Names { merged: &own };
        exprs.iter_mut().for_each(|expr| names.write(expr));
    }
    let untold: Merged = merged.iter().filter(|(name, _)| !told.contains_key(*name)).map(copied).collect();
    let has_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    let by = query.order_by.as_mut().filter(|_| !has_all).map(|order| &mut order.kind);
    if let Some(OrderByKind::Expressions(exprs)) = by {
        let names = Names { merged: &untold };
        exprs.iter_mut().for_each(|by| names.write(&mut by.expr));
    }
    select.projection.iter_mut().for_each(|item| names.write_item(item));
}

fn copied((name, one): (&String, &One)) -> (String, One) {
    (name.clone(), one.clone())
}

/// What the answer's columns are called, and whether each is the column of FROM itself.
fn told(select: &Select) -> BTreeMap<String, bool> {
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some((folded(name), true)),
        SelectItem::ExprWithAlias { expr, alias } => {
            Some((folded(alias), matches!(expr, Expr::Identifier(name) if folded(name) == folded(alias))))
        }
        _ => None,
    };
    select.projection.iter().filter_map(name).collect()
}

/// What stands for a column that joins made one.
#[derive(Clone)]
struct One {
    expr: Expr,
    /// Whether it is another than the left side's column, which `*` shows.
    differs: bool,
}

type Merged = BTreeMap<String, One>;

/// One side of a join.
#[derive(Default)]
struct Side {
    /// What its columns are qualified by, if it is one relation.
    name: Option<Ident>,
    merged: Merged,
}

impl Side {
    fn of_joins(from: &mut TableWithJoins) -> Option<Side> {
        let mut side = Side::of(&mut from.relation)?;
        for join in &mut from.joins {
            let right = Side::of(&mut join.relation)?;
            let (kind, constraint) = match &mut join.join_operator {
                JoinOperator::Join(on) | JoinOperator::Inner(on) => (Kind::Inner, on),
                JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Kind::Left, on),
                JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (Kind::Right, on),
                JoinOperator::FullOuter(on) => (Kind::Full, on),
                JoinOperator::CrossJoin(on) => (Kind::Inner, on),
                // These show one side alone, or are none of the standard's.
                _ => return None,
            };
            side = side.joined(right, kind, constraint)?;
        }
        Some(side)
    }

    fn of(relation: &mut TableFactor) -> Option<Side> {
        let named = |name: Option<&Ident>| Side { name: name.cloned(), merged: Merged::new() };
        Some(match relation {
            TableFactor::Table { name, alias, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                named(alias.as_ref().map(|alias| &alias.name).or(last))
            }
            TableFactor::NestedJoin { table_with_joins, alias } => match alias {
                Some(alias) => named(Some(&alias.name)),
                None => Side::of_joins(table_with_joins)?,
            },
            TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::UNNEST { alias, .. } => named(alias.as_ref().map(|alias| &alias.name)),
            _ => Side::default(),
        })
    }

    /// Its column of that name, if it is known which that is.
    fn column(&self, column: &Ident) -> Option<One> {
        let qualified = |name: &Ident| Expr::CompoundIdentifier(vec![name.clone(), column.clone()]);
        let of_name = || self.name.as_ref().map(|name| One { expr: qualified(name), differs: false });
        self.merged.get(&folded(column)).cloned().or_else(of_name)
    }

    fn joined(self, right: Side, kind: Kind, constraint: &mut JoinConstraint) -> Option<Side> {
        let mut merged = self.merged.clone();
        // What both sides have made one by themselves, is two.
        for (name, one) in &right.merged {
            if merged.remove(name).is_none() {
                merged.insert(name.clone(), one.clone());
            }
        }
        match constraint {
            JoinConstraint::Using(names) => {
                for column in names.iter().filter_map(single) {
                    merged.remove(&folded(column));
                    if let Some(one) = kind.one(self.column(column), right.column(column)) {
                        merged.insert(folded(column), one);
                    }
                }
            }
            JoinConstraint::On(expr) => Names { merged: &merged }.write(expr),
            JoinConstraint::None => {}
            JoinConstraint::Natural => return None,
        }
        Some(Side { name: None, merged })
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    if let [part] = &name.0[..] { part.as_ident() } else { None }
}

#[derive(Clone, Copy)]
enum Kind {
    Inner,
    Left,
    Right,
    Full,
}

impl Kind {
    fn one(self, left: Option<One>, right: Option<One>) -> Option<One> {
        match self {
            Kind::Inner => left.or(right),
            Kind::Left => left,
            Kind::Right => right.map(|one| One { differs: true, ..one }),
            Kind::Full => Some(One { expr: call("coalesce", [left?.expr, right?.expr]), differs: true }),
        }
    }
}

/// Writes out names of one query, and not of queries within it.
struct Names<'m> {
    merged: &'m Merged,
}

impl Names<'_> {
    fn write(&self, expr: &mut Expr) {
        change_here(expr, |part| {
            if let Expr::Identifier(name) = &*part
                && let Some(one) = self.merged.get(&folded(name))
            {
                *part = one.expr.clone();
            }
        });
    }

    fn write_item(&self, item: &mut SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = if let Expr::Identifier(name) = &*expr { Some(name.clone()) } else { None };
                self.write(expr);
                if let Some(alias) = name.filter(|name| self.merged.contains_key(&folded(name))) {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            SelectItem::ExprWithAlias { expr, .. } => self.write(expr),
            SelectItem::Wildcard(options) if options.opt_replace.is_none() && options.opt_rename.is_none() => {
                if options.opt_exclude.is_some() || options.opt_except.is_some() || options.opt_ilike.is_some() {
                    return;
                }
                let element = |(name, one): (&String, &One)| {
                    let column_name = Ident::with_quote('"', name);
                    Box::new(ReplaceSelectElement { expr: one.expr.clone(), column_name, as_keyword: true })
                };
                let items: Vec<_> = self.merged.iter().filter(|(_, one)| one.differs).map(element).collect();
                options.opt_replace = (!items.is_empty()).then_some(ReplaceSelectItem { items });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn writes_out_what_using_made_one() {
        for (sql, expected) in [
            ("SELECT k FROM a JOIN b ON a.k = b.k WHERE k", "SELECT k FROM a JOIN b ON a.k = b.k WHERE k"),
            (
                "SELECT k, x FROM a JOIN b USING (k) WHERE K > 1 ORDER BY k",
                "SELECT a.k AS k, x FROM a JOIN b USING(k) WHERE a.k > 1 ORDER BY k",
            ),
            (
                "SELECT count(*) FROM s.a LEFT JOIN b AS c USING (k, l) GROUP BY k, l HAVING l ORDER BY lower(k), x",
                "SELECT count(*) FROM s.a LEFT JOIN b AS c USING(k, l) GROUP BY a.k, a.l HAVING a.l ORDER BY lower(a.k), x",
            ),
            ("SELECT * FROM a RIGHT JOIN b USING (k)", "SELECT * REPLACE (b.k AS \"k\") FROM a RIGHT JOIN b USING(k)"),
            ("SELECT * FROM a LEFT JOIN b USING (k)", "SELECT * FROM a LEFT JOIN b USING(k)"),
            (
                "SELECT lower(k) AS k FROM a FULL JOIN b USING (k) GROUP BY k ORDER BY k",
                "SELECT lower(coalesce(a.k, b.k)) AS k FROM a FULL JOIN b USING(k) GROUP BY k ORDER BY k",
            ),
            (
                "SELECT k, l FROM a JOIN b USING (k) JOIN c USING (k, l) WHERE l",
                "SELECT a.k AS k, c.l AS l FROM a JOIN b USING(k) JOIN c USING(k, l) WHERE c.l",
            ),
            (
                "SELECT k, l FROM a JOIN b USING (k) LEFT JOIN c USING (l) JOIN d ON d.k = k",
                "SELECT a.k AS k, l FROM a JOIN b USING(k) LEFT JOIN c USING(l) JOIN d ON d.k = a.k",
            ),
            (
                "SELECT 1 FROM a JOIN b USING (k) WHERE EXISTS (SELECT k FROM c WHERE k = 1) AND k IN (SELECT k FROM e JOIN f USING (k))",
                "SELECT 1 FROM a JOIN b USING(k) WHERE EXISTS (SELECT k FROM c WHERE k = 1) AND a.k IN (SELECT e.k AS k FROM e JOIN f USING(k))",
            ),
            (
                "SELECT k FROM (SELECT 1 AS k) AS a FULL JOIN (b JOIN c USING (k)) USING (k)",
                "SELECT coalesce(a.k, b.k) AS k FROM (SELECT 1 AS k) AS a FULL JOIN (b JOIN c USING(k)) USING(k)",
            ),
            ("SELECT k FROM a NATURAL JOIN b WHERE k", "SELECT k FROM a NATURAL JOIN b WHERE k"),
            ("SELECT k FROM a JOIN b USING (k), c", "SELECT k FROM a JOIN b USING(k), c"),
        ] {
            let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            write_out(&mut parsed);
            assert_eq!(parsed[0].to_string(), expected);
        }
    }
}
