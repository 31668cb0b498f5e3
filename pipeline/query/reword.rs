//! What PostgreSQL means by words that the engine takes for something else, or has not, in words that both take alike: `IS DISTINCT FROM`
//! before `AND`, `SIMILAR TO`, rows that are compared, casts to `varchar(n)`, and functions that have another name here.

mod distinct_from;
mod names;
mod rows;
mod similar;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, CharLengthUnits, CharacterLength, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, Query, TimezoneInfo, UnaryOperator, Value, VisitMut, VisitorMut,
};

use super::words::call;

/// Functions that the engine has not, with how many arguments they take.
const LACKING: [(&str, usize); 6] = [(DATE, 1), (MOD, 2), (NOW, 0), ("ceiling", 1), ("sign", 1), (EVERY, 1)];
const DATE: &str = "date";
const MOD: &str = "mod";
const NOW: &str = "localtimestamp";
/// An aggregate: `FILTER` and `OVER` may stand behind it.
const EVERY: &str = "every";

/// What the engine calls those of them that it has.
const RENAMED: [(&str, &str); 3] = [("ceiling", "ceil"), ("sign", "signum"), (EVERY, "bool_and")];

/// Rewords all queries of `what`.
pub(super) fn reword(what: &mut impl VisitMut) {
    let _ = VisitMut::visit(what, &mut Reword);
}

struct Reword;

impl VisitorMut for Reword {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        names::keep(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        distinct_from::set_right(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let reworded = match &*expr {
            Expr::BinaryOp { .. } | Expr::InList { .. } => rows::by_members(expr),
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                similar::matched(*negated, expr, pattern, escape_char.as_ref())
            }
            Expr::Cast { kind, expr, data_type, array: false, format: None } => {
                length(data_type).map(|length| cut(kind, expr, length))
            }
            Expr::Function(function) => told_otherwise(function),
            // Without parentheses the sign goes into the text, where it is the first part's alone.
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(**expr, Expr::Interval(_)) => {
                let expr = Box::new(Expr::Nested(expr.clone()));
                Some(Expr::UnaryOp { op: UnaryOperator::Minus, expr })
            }
            _ => None,
        };
        if let Some(reworded) = reworded {
            *expr = reworded;
        }
        ControlFlow::Continue(())
    }
}

/// How many characters a text of this type has at most.
fn length(kind: &DataType) -> Option<u64> {
    let length = match kind {
        DataType::Character(length)
        | DataType::Char(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length)
        | DataType::Varchar(length)
        | DataType::Nvarchar(length) => length,
        _ => return None,
    };
    match length {
        Some(CharacterLength::IntegerLength { length, unit: None | Some(CharLengthUnits::Characters) }) => {
            Some(*length)
        }
        _ => None,
    }
}

/// A cast to a type with a length: the engine does not cut.
fn cut(kind: &CastKind, expr: &Expr, length: u64) -> Expr {
    let number = Expr::Value(Value::Number(length.to_string(), false).with_empty_span());
    call("left", [cast(kind.clone(), expr.clone(), DataType::Varchar(None)), number])
}

/// The name of a call to a function that the engine has not.
fn lacking(function: &Function) -> Option<&'static str> {
    let [part] = &function.name.0[..] else { return None };
    let name = part.as_ident().filter(|name| name.quote_style.is_none())?;
    let count = plain(function)?.len();
    let is_it = |(lacking, arguments): &(&str, usize)| name.value.eq_ignore_ascii_case(lacking) && *arguments == count;
    let (lacking, _) = LACKING.into_iter().find(is_it)?;
    let is_bare = function.filter.is_none() && function.over.is_none();
    (is_bare || lacking == EVERY).then_some(lacking)
}

/// Its arguments, if nothing else stands between its parentheses.
fn plain(function: &Function) -> Option<Vec<&Expr>> {
    match &function.args {
        FunctionArguments::None => Some(Vec::new()),
        // PostgreSQL has none of these without arguments in parentheses.
        FunctionArguments::List(list)
            if !list.args.is_empty() && list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            list.args.iter().map(expression).collect()
        }
        _ => None,
    }
}

fn expression(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn told_otherwise(function: &Function) -> Option<Expr> {
    let name = lacking(function)?;
    match (name, plain(function)?.as_slice()) {
        (DATE, [of]) => Some(cast(CastKind::Cast, (*of).clone(), DataType::Date)),
        (MOD, [of, by]) => {
            let rest = Expr::BinaryOp { left: whole(of), op: BinaryOperator::Modulo, right: whole(by) };
            Some(Expr::Nested(Box::new(rest)))
        }
        (NOW, []) => {
            let kind = DataType::Timestamp(None, TimezoneInfo::None);
            Some(cast(CastKind::Cast, call("now", []), kind))
        }
        _ => {
            let (_, here) = RENAMED.into_iter().find(|(renamed, _)| *renamed == name)?;
            Some(Expr::Function(Function { name: ObjectName::from(vec![Ident::new(here)]), ..function.clone() }))
        }
    }
}

/// An operand that stays one where it is written out.
fn whole(expr: &Expr) -> Box<Expr> {
    let is_whole = matches!(
        expr,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Function(_) | Expr::Nested(_)
    );
    let expr = Box::new(expr.clone());
    if is_whole { expr } else { Box::new(Expr::Nested(expr)) }
}

fn cast(kind: CastKind, expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// A text reworded, as each of the two dialects that are spoken here reads it.
    pub(super) fn reworded(sql: &str) -> String {
        let told = |dialect: &dyn Dialect| {
            let mut parsed = Parser::parse_sql(dialect, sql).unwrap();
            reword(&mut parsed);
            parsed[0].to_string()
        };
        let (generic, postgres) = (told(&GenericDialect {}), told(&PostgreSqlDialect {}));
        assert_eq!(generic, postgres, "{sql}");
        postgres
    }

    #[test]
    fn casts_to_types_with_a_length_cut() {
        for (expr, expected) in [
            ("CAST(f(a) AS varchar(3))", "left(CAST(f(a) AS VARCHAR), 3)"),
            ("f(a)::char(3)", "left(f(a)::VARCHAR, 3)"),
            ("f(a)::character varying(3)::date", "left(f(a)::VARCHAR, 3)::DATE"),
            ("CAST(f(a) AS character(3))", "left(CAST(f(a) AS VARCHAR), 3)"),
            ("TRY_CAST(f(a) AS varchar(3))", "left(TRY_CAST(f(a) AS VARCHAR), 3)"),
            ("f(a)::varchar", "f(a)::VARCHAR"),
            ("f(a)::char", "f(a)::CHAR"),
            ("f(a)::numeric(3)", "f(a)::NUMERIC(3)"),
        ] {
            assert_eq!(reworded(&format!("SELECT {expr}")), format!("SELECT {expected}"));
        }
    }

    #[test]
    fn functions_that_are_lacking_are_told_otherwise() {
        for (sql, expected) in [
            ("Date(a)", "CAST(a AS DATE)"),
            ("mod(a + 1, b.c)", "((a + 1) % b.c)"),
            ("mod(mod(a, 2), -1)", "((a % 2) % (-1))"),
            ("ceiling(a)", "ceil(a)"),
            ("sign(a)", "signum(a)"),
            ("localtimestamp", "CAST(now() AS TIMESTAMP)"),
            ("every(a) FILTER (WHERE b) OVER ()", "bool_and(a) FILTER (WHERE b) OVER ()"),
            ("every(DISTINCT a)", "every(DISTINCT a)"),
            ("date(a, b)", "date(a, b)"),
            ("mod(a)", "mod(a)"),
            ("x.date(a)", "x.date(a)"),
            ("\"localtimestamp\"", "\"localtimestamp\""),
            ("date '2026-11-20'", "DATE '2026-11-20'"),
        ] {
            assert_eq!(reworded(&format!("SELECT 1 WHERE {sql}")), format!("SELECT 1 WHERE {expected}"));
        }
    }

    #[tokio::test]
    async fn the_engine_answers_as_postgresql_does() {
        let t = "(VALUES (1, 2), (2, 2), (NULL, NULL)) AS t(a, b)";
        for (sql, expected) in [
            (format!("SELECT count(*) FROM {t} WHERE a IS DISTINCT FROM b AND b = 2"), "1"),
            (format!("SELECT count(*) FROM {t} WHERE a IS NOT DISTINCT FROM b AND b = 2 OR a = 1"), "2"),
            ("SELECT 'abc' SIMILAR TO 'a%' AND 'abc' NOT SIMILAR TO '(b|c)%'".to_owned(), "true"),
            ("SELECT 'abc' SIMILAR TO 'b'".to_owned(), "false"),
            ("SELECT 'abcdef'::varchar(3)".to_owned(), "abc"),
            ("SELECT CAST(12345 AS character varying(2))".to_owned(), "12"),
            ("SELECT date('2026-11-20T10:00:00')".to_owned(), "2026-11-20"),
            ("SELECT mod(-7, 4)".to_owned(), "-3"),
            (format!("SELECT count(*) FROM {t} WHERE (a, b) IN ((1, 2), (NULL, NULL))"), "1"),
            (format!("SELECT count(*) FROM {t} WHERE NOT ((a, b) = (1, NULL))"), "1"),
            (format!("SELECT count(*) FROM {t} WHERE (a, b) > (1, 2)"), "1"),
            ("SELECT sign(-3)".to_owned(), "-1.0"),
            ("SELECT sign(0)".to_owned(), "0.0"),
            ("SELECT ceiling(1.2)".to_owned(), "2.0"),
            ("SELECT localtimestamp <= CAST(now() AS timestamp)".to_owned(), "true"),
            (format!("SELECT every(b = 2) FROM {t}"), "true"),
        ] {
            let context = SessionContext::new();
            let state = context.state();
            let mut statement = state.sql_to_statement(&sql, &datafusion::common::config::Dialect::Generic).unwrap();
            if let datafusion::sql::parser::Statement::Statement(statement) = &mut statement {
                reword(statement);
            }
            let plan = state.statement_to_plan(statement).await.unwrap();
            let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
            let found = datafusion::arrow::util::display::array_value_to_string(batches[0].column(0), 0).unwrap();
            assert_eq!(found, expected, "{sql}");
        }
    }
}
