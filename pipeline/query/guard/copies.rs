//! How much the engine makes of `WITH`: it puts each part where it is named, as often as it is named, and a condition on a
//! column goes down through the expressions that the column is made of. Parts that name each other twice double both at
//! each step, while the statement is planned and before any of its bounds of time looks. So it is reckoned beforehand.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, JoinConstraint, JoinOperator, LimitClause, ObjectName, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, Value, Visit,
    Visitor,
};

use super::super::words::folded;
use super::{QueryError, too_deep};

/// Tables of a statement, each as often as it is read once every part of `WITH` stands where it is named.
const TABLES_MAX: u64 = 1_024;

/// Columns of conditions beyond those that are written, once each column of a part stands there as what it is made of.
const COLUMNS_MAX: u64 = 2_000;

/// Columns that are made of others, over all parts of `WITH`, each as often as its part is named: so that reckoning takes no time itself.
const FOLLOWED_MAX: usize = 1_000_000;

/// # Errors
/// `TooDeep`.
pub(super) fn admit(query: &Query) -> Result<(), QueryError> {
    let mut copies = Copies::default();
    let all = copies.of_query(query);
    if copies.followed > FOLLOWED_MAX {
        return Err(too_deep(
            format!("more than {FOLLOWED_MAX} columns that are made of others, over all parts of WITH"),
            "let parts have fewer of them, or be named less often",
        ));
    }
    if all.tables > TABLES_MAX {
        return Err(too_deep(
            format!("more than {TABLES_MAX} tables, once each part of WITH stands where it is named"),
            "let a part be named once, or by fewer others",
        ));
    }
    if all.columns > COLUMNS_MAX {
        return Err(too_deep(
            format!("conditions of more than {COLUMNS_MAX} columns, once each column stands as what it is made of"),
            "let a column be made of fewer others, or ask the condition before they are put together",
        ));
    }
    Ok(())
}

/// What a query becomes.
#[derive(Clone, Default)]
struct Size {
    tables: u64,
    /// Of conditions.
    columns: u64,
    /// Columns of tables that a column is made of, where those are more than one. The columns without a name are one, of the empty name.
    made_of: HashMap<String, u64>,
    /// No column counts as less: a union calls its columns as its first part does, whatever they are made of in the others.
    least: u64,
}

impl Size {
    fn add(&mut self, other: &Self) {
        self.tables = self.tables.saturating_add(other.tables);
        self.columns = self.columns.saturating_add(other.columns);
    }

    fn most(&self) -> u64 {
        self.made_of.values().copied().max().unwrap_or(1).max(self.least)
    }

    fn of_column(&self, name: &Ident) -> u64 {
        self.made_of.get(&folded(name)).copied().unwrap_or(1).max(self.least)
    }

    /// The larger of what is known of a column, and of a column that only one of them knows.
    fn note(&mut self, name: String, of: u64) {
        if of > 1 {
            let known = self.made_of.entry(name).or_insert(of);
            *known = of.max(*known);
        }
    }

    fn note_all(&mut self, other: &Self) {
        other.made_of.iter().for_each(|(name, of)| self.note(name.clone(), *of));
        self.least = self.least.max(other.least);
    }
}

/// Parts of `WITH` that may be named, those of the innermost query last.
#[derive(Default)]
struct Copies {
    parts: Vec<HashMap<String, Size>>,
    /// See [`FOLLOWED_MAX`].
    followed: usize,
}

impl Copies {
    fn of_query(&mut self, query: &Query) -> Size {
        self.parts.push(HashMap::new());
        for part in query.with.iter().flat_map(|with| &with.cte_tables) {
            let size = called(self.of_query(&part.query), Some(&part.alias));
            if let Some(parts) = self.parts.last_mut() {
                parts.insert(folded(&part.alias.name), size);
            }
        }
        let mut size = self.of_body(&query.body);
        if let Some(order) = &query.order_by {
            self.weigh(order, &Size::default(), &mut size.tables);
        }
        // Nothing goes down past a limit.
        if let Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), .. }) = &query.limit_clause
            && matches!(limit.value, Value::Number(..))
        {
            size.made_of.clear();
            size.least = 0;
        }
        self.parts.pop();
        size
    }

    fn of_body(&mut self, body: &SetExpr) -> Size {
        // A chain of them lies to the left, as deep as it is long.
        let (mut first, mut others) = (body, Vec::new());
        while let SetExpr::SetOperation { left, right, .. } = first {
            first = left;
            others.push(right);
        }
        let mut size = match first {
            SetExpr::Select(select) => self.of_select(select),
            SetExpr::Query(query) => self.of_query(query),
            _ => Size::default(),
        };
        for other in others.into_iter().rev() {
            let other = self.of_body(other);
            size.add(&other);
            size.least = size.least.max(other.most());
        }
        size
    }

    fn of_select(&mut self, select: &Select) -> Size {
        let (mut from, mut named) = (Size::default(), HashMap::new());
        for tables in &select.from {
            self.add_tables(tables, &mut from, &mut named);
        }
        let mut size = Size { tables: from.tables, columns: from.columns, ..Default::default() };
        let conditions = select.selection.iter().chain(&select.having).chain(&select.qualify);
        for condition in conditions.chain(select.from.iter().flat_map(conditions_of)) {
            size.columns = size.columns.saturating_add(self.weigh(condition, &from, &mut size.tables).beyond);
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let made_of = self.weigh(expr, &from, &mut size.tables).made_of;
                    let name = match expr {
                        Expr::Identifier(name) => Some(name),
                        Expr::CompoundIdentifier(names) => names.last(),
                        _ => None,
                    };
                    size.note(name.map(folded).unwrap_or_default(), made_of);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let made_of = self.weigh(expr, &from, &mut size.tables).made_of;
                    size.note(folded(alias), made_of);
                }
                SelectItem::Wildcard(_) => size.note_all(&from),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    match last(name).and_then(|name| named.get(&folded(name))) {
                        Some(of) => size.note_all(of),
                        None => size.note_all(&from),
                    }
                }
                _ => {}
            }
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            keys.iter().for_each(|key| {
                self.weigh(key, &from, &mut size.tables);
            });
        }
        size
    }

    /// The tables of a `FROM`, into what all of it is, and each by the name that it goes by.
    fn add_tables(&mut self, tables: &TableWithJoins, from: &mut Size, named: &mut HashMap<String, Size>) {
        for factor in [&tables.relation].into_iter().chain(tables.joins.iter().map(|join| &join.relation)) {
            let (size, alias) = match factor {
                TableFactor::Table { name, alias, .. } => {
                    let size = self.part(name).unwrap_or(Size { tables: 1, ..Default::default() });
                    let called_so = alias.as_ref().map(|alias| &alias.name).or(last(name)).map(folded);
                    (called(size, alias.as_ref()), called_so)
                }
                TableFactor::Derived { subquery, alias, .. } => {
                    let called_so = alias.as_ref().map(|alias| folded(&alias.name));
                    (called(self.of_query(subquery), alias.as_ref()), called_so)
                }
                TableFactor::NestedJoin { table_with_joins, alias } => {
                    let mut inner = Size::default();
                    self.add_tables(table_with_joins, &mut inner, named);
                    let called_so = alias.as_ref().map(|alias| folded(&alias.name));
                    (called(inner, alias.as_ref()), called_so)
                }
                _ => (Size { tables: 1, ..Default::default() }, None),
            };
            from.add(&size);
            from.note_all(&size);
            alias.into_iter().for_each(|alias| {
                named.insert(alias, size.clone());
            });
        }
    }

    fn part(&mut self, name: &ObjectName) -> Option<Size> {
        let name = folded(last(name).filter(|_| name.0.len() == 1)?);
        let part = self.parts.iter().rev().find_map(|parts| parts.get(&name))?;
        self.followed = self.followed.saturating_add(part.made_of.len());
        // Beyond it nothing is followed: the statement is refused.
        (self.followed <= FOLLOWED_MAX).then(|| part.clone())
    }

    /// What an expression over `from` is made of; the tables of its subqueries are added to `tables`.
    fn weigh(&mut self, expr: &impl Visit, from: &Size, tables: &mut u64) -> Weight {
        let mut scale = Scale { copies: self, from, inside: 0, queries: 0, tables: 0, weight: Weight::default() };
        let _: ControlFlow<()> = expr.visit(&mut scale);
        *tables = tables.saturating_add(scale.tables);
        scale.weight
    }
}

/// Columns of an expression: as what they are made of, and of these how many more than are written.
#[derive(Default)]
struct Weight {
    made_of: u64,
    beyond: u64,
}

struct Scale<'a> {
    copies: &'a mut Copies,
    from: &'a Size,
    /// Aggregates and windows around: nothing goes down into those.
    inside: usize,
    /// Subqueries around.
    queries: usize,
    tables: u64,
    weight: Weight,
}

impl Visitor for Scale<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.queries == 0 {
            let size = self.copies.of_query(query);
            self.tables = self.tables.saturating_add(size.tables);
            self.weight.beyond = self.weight.beyond.saturating_add(size.columns);
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let name = match expr {
            Expr::Function(function) if ends_there(function) => {
                self.inside += 1;
                return ControlFlow::Continue(());
            }
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last(),
            _ => None,
        };
        if let Some(name) = name.filter(|_| self.inside == 0 && self.queries == 0) {
            let of = self.from.of_column(name);
            self.weight.made_of = self.weight.made_of.saturating_add(of);
            self.weight.beyond = self.weight.beyond.saturating_add(of - 1);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Function(function) if ends_there(function)) {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// Whether conditions stop at what this gives: an aggregate, or a window.
fn ends_there(function: &Function) -> bool {
    static AGGREGATES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let all = all_default_aggregate_functions();
        all.iter().flat_map(|it| it.aliases().iter().cloned().chain([it.name().to_owned()])).collect()
    });
    function.over.is_some() || last(&function.name).is_some_and(|name| AGGREGATES.contains(&name.value.to_lowercase()))
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

/// Under an alias that names the columns anew, each may be any.
fn called(mut size: Size, alias: Option<&TableAlias>) -> Size {
    if let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) {
        let most = size.most();
        alias.columns.iter().for_each(|column| size.note(folded(&column.name), most));
    }
    size
}

fn conditions_of(tables: &TableWithJoins) -> Vec<&Expr> {
    use JoinOperator::*;
    let nested =
        [&tables.relation].into_iter().chain(tables.joins.iter().map(|join| &join.relation)).flat_map(|it| match it {
            TableFactor::NestedJoin { table_with_joins, .. } => conditions_of(table_with_joins),
            _ => Vec::new(),
        });
    let own = tables.joins.iter().filter_map(|join| match &join.join_operator {
        Join(JoinConstraint::On(on))
        | Inner(JoinConstraint::On(on))
        | Left(JoinConstraint::On(on))
        | LeftOuter(JoinConstraint::On(on))
        | Right(JoinConstraint::On(on))
        | RightOuter(JoinConstraint::On(on))
        | FullOuter(JoinConstraint::On(on))
        | Semi(JoinConstraint::On(on))
        | LeftSemi(JoinConstraint::On(on))
        | RightSemi(JoinConstraint::On(on))
        | Anti(JoinConstraint::On(on))
        | LeftAnti(JoinConstraint::On(on))
        | RightAnti(JoinConstraint::On(on)) => Some(on),
        _ => None,
    });
    nested.chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{QueryError, admit};

    /// Parts that are each made of the one before.
    fn chain(times: usize, part: impl Fn(usize) -> String) -> String {
        let parts: Vec<String> = (1..=times).map(|n| format!("t{n} AS ({})", part(n))).collect();
        format!("WITH t0 AS (SELECT pages AS x, pages AS y FROM sessions), {} SELECT * FROM t{times}", parts.join(", "))
    }

    #[test]
    fn what_doubles_at_each_step_is_refused() {
        let columns: String = (0..20_000).map(|n| format!("x+x c{n},")).collect();
        for refused in [
            format!("WITH t AS (SELECT {columns} 1 FROM calls) SELECT 1 FROM {} calls", "t,".repeat(100_000)),
            chain(11, |n| format!("SELECT a.x FROM t{m} AS a, T{m} AS b", m = n - 1)),
            chain(40, |n| format!("SELECT x FROM t{m} UNION ALL (SELECT x FROM t{m})", m = n - 1)),
            chain(60, |n| format!("SELECT x FROM t{m} WHERE x IN (SELECT x FROM t{m})", m = n - 1)),
            chain(11, |n| format!("SELECT x FROM (SELECT * FROM t{m}) AS s JOIN t{m} USING (x)", m = n - 1)),
            chain(12, |n| format!("SELECT x + x AS x FROM t{m} WHERE x > {n}", m = n - 1)),
            chain(64, |n| format!("SELECT x + y AS x, y - t.x AS y FROM t{m} AS t WHERE x > {n}", m = n - 1)),
            chain(14, |n| format!("SELECT CASE WHEN a > 1 THEN a ELSE 1 END AS x FROM t{m} AS t(a)", m = n - 1))
                + " WHERE x = 1",
            chain(24, |n| {
                format!("SELECT x + x AS x FROM (t{m} JOIN (SELECT 1 AS one) AS o ON t{m}.x > {n})", m = n - 1)
            }),
            chain(24, |n| {
                format!("SELECT x + x AS y, 1 AS x FROM (t{m} JOIN calls ON true) AS s(x) WHERE s.x > 1", m = n - 1)
            }),
            chain(24, |n| {
                format!(
                    "SELECT s.x FROM (SELECT 1 AS x UNION ALL SELECT x + x FROM t{m}) AS s WHERE s.x > {n}",
                    m = n - 1
                )
            }),
            chain(24, |n| format!("SELECT s.x FROM (SELECT x + x FROM t{m}) AS s(x) WHERE s.x > {n}", m = n - 1)),
            chain(14, |n| format!("SELECT t.*, x + x AS x FROM t{m} AS t", m = n - 1))
                + " AS t JOIN calls ON t.x = call_id ORDER BY 1",
        ] {
            let refusal = admit(&refused).err();
            assert!(matches!(refusal, Some(QueryError::TooDeep { .. })), "{}: {refusal:?}", &refused[..99]);
        }
    }

    #[test]
    fn what_grows_step_by_step_is_taken() {
        for taken in [
            chain(9, |n| format!("SELECT a.x FROM t{m} AS a, t{m} AS b", m = n - 1)),
            chain(40, |n| format!("SELECT a.x FROM t{m} AS a JOIN calls AS c ON c.x = a.x AND a.x > 1", m = n - 1)),
            chain(40, |n| format!("SELECT y AS x, coalesce(x, 0) AS y FROM t{m} WHERE x > {n} AND y < 3", m = n - 1)),
            chain(40, |n| format!("SELECT x, y FROM t{m} WHERE x > {n} UNION ALL SELECT y + 1, x FROM t0", m = n - 1)),
            // No condition asks for it.
            chain(40, |n| format!("SELECT x + x AS x FROM t{m}", m = n - 1)),
            // Conditions end at sums, windows and limits.
            chain(40, |n| format!("SELECT sum(x) + max(x) AS x FROM t{m} HAVING sum(x) > 1", m = n - 1))
                + " WHERE x = 1",
            chain(40, |n| format!("SELECT x + sum(x) OVER () AS x FROM t{m} WHERE x > 1", m = n - 1)),
            chain(40, |n| format!("SELECT x + x AS x FROM t{m} WHERE x > 1 LIMIT 9", m = n - 1)),
            // Another part of that name stands further in.
            chain(20, |n| format!("WITH t{m} AS (SELECT 1 AS x) SELECT a.x FROM t{m} AS a, t{m} AS b", m = n - 1)),
            format!("SELECT 1 FROM calls{}", " UNION ALL SELECT 1 FROM calls".repeat(50)),
        ] {
            assert!(admit(&taken).is_ok(), "{taken}: {:?}", admit(&taken).err());
        }
    }
}
