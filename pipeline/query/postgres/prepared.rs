//! `PREPARE`, `EXECUTE` and `DEALLOCATE` as statements. What was prepared is kept as text beside what else a connection has set, and
//! stands in the place of each `EXECUTE` before anything is planned: it sees the lake as it is then.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Ident, Query, Statement, Value, VisitMut, VisitorMut};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use crate::query::QueryError;
use crate::query::guard::{self, QUERY_BYTES_MAX};
use crate::query::words::folded;

/// What a connection has set, by name.
pub(super) type Settings = HashMap<String, String>;

/// Before the name of a statement, where settings are kept.
const KEY: &str = "prepared statement ";
/// Of one connection.
const STATEMENTS_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 << 20;

/// Whether a text may have one of these in it.
pub(super) fn is_named_in(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    ["prepare", "execute", "deallocate"].iter().any(|word| lower.contains(word))
}

/// The statements with what was prepared in the place of `EXECUTE`; nothing if there is none. What they prepare and let go of is noted in
/// `settings`, in their order.
pub(super) fn resolved(
    parser: &PostgresCompatibilityParser,
    statements: &[Statement],
    settings: &mut Settings,
) -> PgWireResult<Option<String>> {
    let (mut is_changed, mut text) = (false, String::new());
    for statement in statements {
        note(statement, settings)?;
        match executed(parser, statement, settings)? {
            Some(query) => {
                text += &format!("{query}; ");
                is_changed = true;
            }
            None => text += &format!("{statement}; "),
        }
        // A few words could stand for any number of long statements.
        if text.len() > QUERY_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(is_changed.then_some(text))
}

fn too_long() -> PgWireError {
    QueryError::TooLong { max: QUERY_BYTES_MAX }.into()
}

/// Notes what a statement prepares or lets go of.
pub(super) fn note(statement: &Statement, settings: &mut Settings) -> PgWireResult<()> {
    match statement {
        Statement::Prepare { name, .. } => {
            guard::admit_of_client(statement)?;
            let key = key(name);
            let kept = || settings.iter().filter(|(key, _)| key.starts_with(KEY));
            let text = statement.to_string();
            let bytes: usize = kept().map(|(_, text)| text.len()).sum();
            if settings.contains_key(&key) {
                let message = format!("the prepared statement {name} is already there: DEALLOCATE it before");
                return Err(errors::info(errors::DUPLICATE_STATEMENT, message));
            }
            if kept().count() >= STATEMENTS_MAX || bytes + text.len() > BYTES_MAX {
                let message = format!(
                    "a connection keeps {STATEMENTS_MAX} prepared statements and {} MiB of their text at most: DEALLOCATE some",
                    BYTES_MAX >> 20
                );
                return Err(errors::info(errors::TOO_MANY, message));
            }
            settings.insert(key, text);
        }
        Statement::Deallocate { name, .. } if is_all(name) => forget_all(settings),
        Statement::Deallocate { name, .. } => drop(settings.remove(&key(name))),
        _ => {}
    }
    Ok(())
}

/// `DEALLOCATE ALL`, and not one of that name.
pub(super) fn is_all(name: &Ident) -> bool {
    name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all")
}

pub(super) fn forget_all(settings: &mut Settings) {
    settings.retain(|key, _| !key.starts_with(KEY));
}

fn key(name: &Ident) -> String {
    format!("{KEY}{}", folded(name))
}

/// What an `EXECUTE` stands for; of another statement nothing.
pub(super) fn executed(
    parser: &PostgresCompatibilityParser,
    statement: &Statement,
    settings: &Settings,
) -> PgWireResult<Option<Box<Query>>> {
    let Statement::Execute { name: Some(name), parameters, immediate: false, .. } = statement else { return Ok(None) };
    let kept = name.0.last().and_then(|part| part.as_ident()).and_then(|name| settings.get(&key(name)));
    let unknown = || errors::info(errors::UNDEFINED_STATEMENT, format!("there is no prepared statement {name}"));
    let mut again = parser.parse(kept.ok_or_else(unknown)?).map_err(|error| PgWireError::ApiError(Box::new(error)))?;
    let Some(Statement::Prepare { data_types, statement, .. }) = again.pop() else { return Err(unknown()) };
    let Statement::Query(mut query) = *statement else { return Err(unknown()) };
    let mut filled = Filled { given: parameters, kinds: &data_types, highest: data_types.len(), bytes: 0 };
    let _ = VisitMut::visit(&mut *query, &mut filled);
    if filled.bytes > QUERY_BYTES_MAX {
        return Err(too_long());
    }
    if filled.highest != parameters.len() {
        let message = format!("{name} takes {} parameters, and {} were given", filled.highest, parameters.len());
        return Err(errors::info(errors::SYNTAX, message));
    }
    Ok(Some(query))
}

/// Puts what was given in the place of `$1`, `$2`, …
struct Filled<'a> {
    given: &'a [Expr],
    kinds: &'a [DataType],
    highest: usize,
    /// Of what was put in.
    bytes: usize,
}

impl VisitorMut for Filled<'_> {
    type Break = ();

    /// After what is in it, so that a `$1` that is given is not taken for one of the statement's.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = &*expr
            && let Value::Placeholder(name) = &value.value
            && let Ok(number) = name.trim_start_matches('$').parse::<usize>()
            && let Some(at) = number.checked_sub(1)
        {
            self.highest = self.highest.max(number);
            if let Some(given) = self.given.get(at) {
                self.bytes += given.to_string().len();
                if self.bytes > QUERY_BYTES_MAX {
                    return ControlFlow::Break(());
                }
                let given = Box::new(given.clone());
                *expr = match self.kinds.get(at) {
                    Some(kind) => Expr::Cast {
                        kind: CastKind::Cast,
                        expr: given,
                        data_type: kind.clone(),
                        array: false,
                        format: None,
                    },
                    None if matches!(*given, Expr::Value(_)) => *given,
                    None => Expr::Nested(given),
                };
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_prepared_stands_for_execute() {
        let (parser, mut settings) = (PostgresCompatibilityParser::new(), Settings::new());
        for (sql, expected) in [
            ("PREPARE a (date) AS SELECT $1, $1", Ok(None)),
            ("PREPARE A AS SELECT 1", Err("already")),
            ("PREPARE d AS DELETE FROM calls", Err("DELETE")),
            ("EXECUTE a('2026-01-01')", Ok(Some("SELECT CAST('2026-01-01' AS DATE), CAST('2026-01-01' AS DATE); "))),
            ("EXECUTE a", Err("takes 1")),
            ("EXECUTE a(1, 2)", Err("takes 1")),
            (
                "PREPARE b AS SELECT x WHERE x = $1 LIMIT $2; EXECUTE b('a', 1 + 1)",
                Ok(Some("PREPARE b AS SELECT x WHERE x = $1 LIMIT $2; SELECT x WHERE x = 'a' LIMIT (1 + 1); ")),
            ),
            ("EXECUTE b('$1', 3)", Ok(Some("SELECT x WHERE x = '$1' LIMIT 3; "))),
            ("EXECUTE b('a', $1)", Ok(Some("SELECT x WHERE x = 'a' LIMIT $1; "))),
            ("DEALLOCATE b; EXECUTE b('a', 1)", Err("no prepared")),
            ("DEALLOCATE ALL; EXECUTE a(1)", Err("no prepared")),
        ] {
            let statements = parser.parse(sql).unwrap();
            match (resolved(&parser, &statements, &mut settings), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{sql}"),
                (Err(error), Err(words)) => assert!(format!("{error:?}").contains(words), "{sql}: {error:?}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        let long = format!("PREPARE c AS SELECT {}", vec!["$1"; 2_000].join(", "));
        resolved(&parser, &parser.parse(&long).unwrap(), &mut settings).unwrap();
        let execute = format!("EXECUTE c('{}')", "x".repeat(1_000));
        assert!(resolved(&parser, &parser.parse(&execute).unwrap(), &mut settings).is_err());
        resolved(&parser, &parser.parse("DEALLOCATE c").unwrap(), &mut settings).unwrap();
        let many = (0..=STATEMENTS_MAX).map(|at| format!("PREPARE p{at} AS SELECT 1"));
        let refused = many.filter(|sql| resolved(&parser, &parser.parse(sql).unwrap(), &mut settings).is_err());
        assert_eq!(refused.count(), 1);
    }
}
