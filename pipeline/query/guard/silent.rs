//! Questions that the engine would answer, and wrongly, without a word: nothing is better than that. Each is refused with how else to write
//! it. What has been reworded by then (`reword`) is seen in its new words.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, Query, Select, SetExpr, SetOperator, SetQuantifier,
    TableFactor, TableWithJoins, UnaryOperator, Visit, Visitor,
};

/// What is known on the way down.
#[derive(Default)]
pub(super) struct Silent {
    /// What the tables of the queries around are called.
    from: Vec<Vec<String>>,
    /// Where those `IN (SELECT …)` lie whose NULL counts: as conditions of their own of `WHERE`, `HAVING` and `ON`.
    conditions: HashSet<usize>,
}

impl Silent {
    pub(super) fn enter(&mut self, query: &Query) -> ControlFlow<String> {
        let mut names = Vec::new();
        names_of_body(&query.body, &mut names);
        self.from.push(names);
        match copies_of(&query.body) {
            Some(op) => ControlFlow::Break(format!(
                "{op} ALL (write {op}; where copies count, with row_number() OVER (PARTITION BY all columns) as a further column)"
            )),
            None => ControlFlow::Continue(()),
        }
    }

    pub(super) fn leave(&mut self) {
        self.from.pop();
    }

    pub(super) fn enter_select(&mut self, select: &Select) -> ControlFlow<String> {
        for condition in select.selection.iter().chain(&select.having) {
            self.note(condition, false);
        }
        for from in &select.from {
            self.note_joins(from);
        }
        if select.from.iter().any(has_natural_of_right) {
            return ControlFlow::Break(
                "NATURAL RIGHT JOIN and NATURAL FULL JOIN (write USING (…) with the columns they share)".to_owned(),
            );
        }
        ControlFlow::Continue(())
    }

    fn note_joins(&mut self, from: &TableWithJoins) {
        for factor in factors(from) {
            if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
                self.note_joins(table_with_joins);
            }
        }
        for join in &from.joins {
            if let JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on))
            | JoinOperator::Left(JoinConstraint::On(on))
            | JoinOperator::LeftOuter(JoinConstraint::On(on))
            | JoinOperator::Right(JoinConstraint::On(on))
            | JoinOperator::RightOuter(JoinConstraint::On(on))
            | JoinOperator::FullOuter(JoinConstraint::On(on)) = &join.join_operator
            {
                self.note(on, false);
            }
        }
    }

    /// Goes down to what has to hold by itself.
    fn note(&mut self, condition: &Expr, negated: bool) {
        match condition {
            Expr::Nested(inner) => self.note(inner, negated),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.note(expr, !negated),
            Expr::BinaryOp { left, op, right } if *op == both(negated) => {
                self.note(left, negated);
                self.note(right, negated);
            }
            Expr::InSubquery { .. } => {
                self.conditions.insert(place(condition));
            }
            _ => {}
        }
    }

    pub(super) fn look_at(&self, expr: &Expr) -> ControlFlow<String> {
        let refused = match expr {
            Expr::SimilarTo { .. } => {
                Some("SIMILAR TO with a pattern that is no literal (write ~ with a regular expression)".to_owned())
            }
            Expr::InSubquery { .. } => self.negates(expr, false),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.negates(expr, true),
            Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner) => asks_of_subquery(inner),
            Expr::AnyOp { right, .. } => self.mistakes("ANY", right),
            Expr::AllOp { right, .. } => self.mistakes("ALL", right),
            _ => None,
        };
        refused.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    fn negates(&self, expr: &Expr, negated: bool) -> Option<String> {
        let mut found = Vec::new();
        subqueries_in(expr, negated, &mut found);
        let is_lost = |(place, negated): &(usize, bool)| *negated && !self.conditions.contains(place);
        found.iter().any(is_lost).then(|| {
            "NOT IN (SELECT …) that is no condition of its own, as within OR, CASE or SELECT (write NOT EXISTS (SELECT … WHERE …))"
                .to_owned()
        })
    }

    /// A column of a table that is called like one around is taken for that one's.
    fn mistakes(&self, word: &str, right: &Expr) -> Option<String> {
        let Expr::Subquery(subquery) = right else { return None };
        let mut names = Vec::new();
        names_of_body(&subquery.body, &mut names);
        let is_around = |name: &&String| self.from.iter().flatten().any(|around| around == *name);
        let name = names.iter().filter(|name| !name.starts_with("pg_")).find(is_around)?;
        Some(format!(
            "{word} (SELECT … FROM {name}) in a query of {name} (give {name} another name there: FROM {name} AS other)"
        ))
    }
}

/// What joins conditions of which each has to hold.
fn both(negated: bool) -> BinaryOperator {
    if negated { BinaryOperator::Or } else { BinaryOperator::And }
}

fn place(expr: &Expr) -> usize {
    std::ptr::from_ref(expr).addr()
}

/// `IN (SELECT …)` that a condition is made of, and whether each is negated in it. Catalogs have no NULL where clients look.
fn subqueries_in(expr: &Expr, negated: bool, found: &mut Vec<(usize, bool)>) {
    match expr {
        Expr::Nested(inner) => subqueries_in(inner, negated, found),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => subqueries_in(expr, !negated, found),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            subqueries_in(left, negated, found);
            subqueries_in(right, negated, found);
        }
        Expr::InSubquery { negated: is_not, subquery, .. } if !is_of_catalogs(subquery) => {
            found.push((place(expr), *is_not != negated));
        }
        _ => {}
    }
}

fn asks_of_subquery(expr: &Expr) -> Option<String> {
    let mut found = Vec::new();
    subqueries_in(expr, false, &mut found);
    (!found.is_empty()).then(|| "IS NULL or IS FALSE of IN (SELECT …) (write EXISTS (SELECT … WHERE …))".to_owned())
}

/// The columns that both sides have are the left side's there, which are NULL in rows of the right one alone.
fn has_natural_of_right(from: &TableWithJoins) -> bool {
    use JoinConstraint::Natural;
    let within = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => has_natural_of_right(table_with_joins),
        _ => false,
    };
    let is_one = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Right(Natural) | JoinOperator::RightOuter(Natural) | JoinOperator::FullOuter(Natural)
        )
    };
    factors(from).any(within) || from.joins.iter().any(|join| is_one(&join.join_operator))
}

/// Whether a schema, or a table without one, is of PostgreSQL's catalogs.
pub(in crate::query) fn is_catalog(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema"
}

/// Whether it reads a table of PostgreSQL's catalogs.
pub(in crate::query) fn is_of_catalogs(query: &impl Visit) -> bool {
    struct Catalogs;
    impl Visitor for Catalogs {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            let mut names = relation.0.iter().filter_map(|part| part.as_ident());
            if names.any(|name| is_catalog(&name.value.to_lowercase())) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    query.visit(&mut Catalogs).is_break()
}

/// The operator whose copies the engine does not count.
fn copies_of(body: &SetExpr) -> Option<&SetOperator> {
    let SetExpr::SetOperation { left, op, set_quantifier, right } = body else { return None };
    let counts = matches!(op, SetOperator::Intersect | SetOperator::Except | SetOperator::Minus)
        && matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    counts.then_some(op).or_else(|| copies_of(left)).or_else(|| copies_of(right))
}

fn names_of_body(body: &SetExpr, names: &mut Vec<String>) {
    match body {
        SetExpr::Select(select) => select.from.iter().for_each(|from| names_of_joins(from, names)),
        SetExpr::SetOperation { left, right, .. } => {
            names_of_body(left, names);
            names_of_body(right, names);
        }
        SetExpr::Query(query) => names_of_body(&query.body, names),
        _ => {}
    }
}

fn names_of_joins(from: &TableWithJoins, names: &mut Vec<String>) {
    for factor in factors(from) {
        match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => names_of_joins(table_with_joins, names),
            TableFactor::Table { name, alias: None, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                names.extend(last.map(|name| name.value.to_lowercase()));
            }
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => names.push(alias.name.value.to_lowercase()),
            _ => {}
        }
    }
}

fn factors(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

#[cfg(test)]
mod tests {
    use super::super::admit;
    use crate::query::QueryError;

    #[test]
    fn what_would_be_answered_wrongly_is_refused() {
        let calls = "SELECT call_id FROM calls";
        for (sql, expected) in [
            (format!("{calls} INTERSECT ALL {calls}"), "INTERSECT ALL ("),
            (format!("{calls} UNION ALL {calls} EXCEPT ALL {calls}"), "EXCEPT ALL ("),
            (format!("{calls} UNION ({calls} EXCEPT ALL {calls})"), "EXCEPT ALL ("),
            (format!("{calls} WHERE caller SIMILAR TO source"), "SIMILAR TO"),
            (format!("{calls} WHERE call_id >= ALL ({calls})"), "ALL (SELECT … FROM calls)"),
            (format!("{calls} WHERE call_id = ANY ({calls})"), "ANY (SELECT … FROM calls)"),
            (format!("{calls} c JOIN leases ON call_id > ANY ({calls} AS c)"), "ANY (SELECT … FROM c)"),
            (
                format!("{calls} WHERE EXISTS (SELECT 1 FROM leases WHERE x > ALL ({calls}))"),
                "ALL (SELECT … FROM calls)",
            ),
            (format!("{calls} WHERE x OR call_id NOT IN ({calls})"), "NOT IN"),
            (format!("{calls} WHERE x AND (y OR NOT (call_id IN ({calls})))"), "NOT IN"),
            (format!("{calls} WHERE NOT (x AND call_id IN ({calls}))"), "NOT IN"),
            (format!("{calls} WHERE a IS DISTINCT FROM b OR call_id NOT IN ({calls})"), "NOT IN"),
            (format!("{calls} WHERE CASE WHEN call_id NOT IN ({calls}) THEN x END"), "NOT IN"),
            (format!("{calls} WHERE coalesce(call_id NOT IN ({calls}), true)"), "NOT IN"),
            (format!("SELECT call_id NOT IN ({calls}) FROM calls"), "NOT IN"),
            (format!("{calls} WHERE (call_id IN ({calls})) IS NULL"), "IS NULL"),
            (format!("EXPLAIN {calls} WHERE x OR call_id NOT IN ({calls})"), "NOT IN"),
            (format!("{calls} NATURAL RIGHT JOIN sessions"), "NATURAL"),
            (format!("{calls} JOIN (leases NATURAL FULL OUTER JOIN sessions) USING (lease_id)"), "NATURAL"),
        ] {
            match admit(&sql) {
                Err(QueryError::Wrong { what }) => assert!(what.starts_with(expected), "{sql}: {what}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_answered_rightly_passes() {
        let calls = "SELECT call_id FROM calls";
        for sql in [
            format!("{calls} INTERSECT {calls} EXCEPT {calls} UNION ALL {calls}"),
            format!("{calls} WHERE caller SIMILAR TO '+49%' AND caller NOT SIMILAR TO '%#%' ESCAPE '#'"),
            format!("{calls} WHERE call_id >= ALL ({calls} AS c)"),
            format!("{calls} c WHERE call_id = ANY ({calls})"),
            format!("{calls} WHERE call_id = ANY (SELECT call_id FROM leases)"),
            format!("{calls} WHERE call_id = ANY (ARRAY['1', '2'])"),
            format!("{calls} WHERE call_id NOT IN ({calls})"),
            format!("{calls} WHERE (x OR y) AND (z AND NOT (call_id IN ({calls})))"),
            format!("{calls} WHERE NOT (x OR call_id IN ({calls}))"),
            format!("{calls} WHERE a IS DISTINCT FROM b AND call_id NOT IN ({calls})"),
            format!("SELECT x FROM calls GROUP BY x HAVING x NOT IN ({calls})"),
            format!("{calls} JOIN leases ON a = b AND call_id NOT IN ({calls})"),
            format!("{calls} JOIN (leases JOIN rejected ON x NOT IN ({calls})) ON true"),
            format!("{calls} WHERE x OR call_id IN ({calls})"),
            format!("{calls} NATURAL JOIN sessions NATURAL LEFT JOIN leases"),
            format!("{calls} WHERE EXISTS ({calls} WHERE call_id NOT IN ({calls}))"),
            format!("{calls} WHERE CASE WHEN call_id IN ({calls}) THEN x END"),
            "SELECT 1 FROM pg_class WHERE a OR oid NOT IN (SELECT b FROM pg_catalog.pg_index)".to_owned(),
            "SELECT 1 FROM pg_class WHERE oid = ANY (SELECT oid FROM pg_class)".to_owned(),
        ] {
            assert!(admit(&sql).is_ok(), "{sql}: {:?}", admit(&sql).err());
        }
    }
}
