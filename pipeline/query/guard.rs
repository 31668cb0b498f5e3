//! Only questions get through. What is allowed is listed; whatever is not on the list is refused, so that a statement
//! that a later engine learns is refused too. The plan is looked over as well before it runs (`SQLOptions`): two
//! locks, since the words and the plan can each hide what the other shows.

use std::ops::ControlFlow;

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, Query, Select, SetExpr, Visit, Visitor};

use super::error::QueryError;

/// Bytes of one text of SQL.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Nesting of expressions and subqueries.
const NESTING_MAX: usize = 64;

/// Reads the statements of `sql` and refuses those that do more than ask.
pub fn admit(sql: &str) -> Result<Vec<Statement>, QueryError> {
    if sql.len() > QUERY_BYTES_MAX {
        return Err(QueryError::TooLong { max: QUERY_BYTES_MAX });
    }
    let statements = DFParserBuilder::new(sql)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::from_engine(error, sql))?;
    for statement in &statements {
        look_over(statement).map_err(|what| QueryError::Refused { what })?;
    }
    Ok(statements.into())
}

/// The second lock, on what the words have become.
pub fn admit_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|error| QueryError::Refused { what: error.strip_backtrace() })
}

fn look_over(statement: &Statement) -> Result<(), String> {
    match statement {
        Statement::Explain(explain) => look_over(&explain.statement),
        Statement::Statement(statement) => look_over_sql(statement),
        Statement::CreateExternalTable(_) => Err("CREATE EXTERNAL TABLE".to_owned()),
        Statement::CopyTo(_) => Err("COPY".to_owned()),
        Statement::Reset(_) => Err("RESET".to_owned()),
    }
}

fn look_over_sql(statement: &ast::Statement) -> Result<(), String> {
    match statement {
        ast::Statement::Query(query) => match query.visit(&mut Inspector) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(what) => Err(what),
        },
        ast::Statement::Explain { statement, .. } => look_over_sql(statement),
        ast::Statement::ExplainTable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowFunctions { .. } => Ok(()),
        other => Err(name_of(other)),
    }
}

/// Whether a client of a database server may say this: a question, or what clients say around questions, none of which
/// changes anything but the client's own connection.
pub fn admit_of_client(statement: &ast::Statement) -> Result<(), QueryError> {
    use ast::Statement::*;
    match statement {
        Set(_)
        | ShowVariable { .. }
        | ShowVariables { .. }
        | ShowStatus { .. }
        | ShowCatalogs { .. }
        | StartTransaction { .. }
        | Commit { .. }
        | Rollback { .. }
        | Savepoint { .. }
        | ReleaseSavepoint { .. }
        | Fetch { .. }
        | Close { .. }
        | Discard { .. }
        | Deallocate { .. }
        | Reset(_)
        | LISTEN { .. }
        | UNLISTEN { .. } => Ok(()),
        Declare { stmts } => stmts.iter().try_for_each(|declared| match &declared.for_query {
            Some(query) => look_over_sql(&Query(query.clone())).map_err(|what| QueryError::Refused { what }),
            None => Err(QueryError::Refused { what: "DECLARE without a query".to_owned() }),
        }),
        other => look_over_sql(other).map_err(|what| QueryError::Refused { what }),
    }
}

/// The words that a refused statement begins with, never its values.
fn name_of(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    text.split_whitespace()
        .take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()))
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Looks for what writes inside a query: `WITH … INSERT`, `SELECT … INTO`.
struct Inspector;

impl Visitor for Inspector {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> ControlFlow<String> {
        ControlFlow::Break(name_of(statement))
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        match &*query.body {
            SetExpr::Insert(_) => ControlFlow::Break("INSERT".to_owned()),
            SetExpr::Update(_) => ControlFlow::Break("UPDATE".to_owned()),
            SetExpr::Delete(_) => ControlFlow::Break("DELETE".to_owned()),
            SetExpr::Merge(_) => ControlFlow::Break("MERGE".to_owned()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        match select.into {
            Some(_) => ControlFlow::Break("SELECT INTO".to_owned()),
            None => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_pass() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1 AS x) SELECT * FROM a",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT * FROM calls",
            "DESCRIBE calls",
            "SHOW TABLES",
            "SHOW COLUMNS FROM calls",
            "SELECT 'DROP TABLE calls; COPY calls TO ''/tmp/x'''",
            "SELECT 1; SELECT 2",
        ] {
            assert!(admit(sql).is_ok(), "{sql}: {:?}", admit(sql).err());
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for sql in [
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "CREATE SCHEMA s",
            "CREATE DATABASE d",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "DROP TABLE calls",
            "DROP VIEW calls",
            "ALTER TABLE calls ADD COLUMN x INT",
            "TRUNCATE TABLE calls",
            "INSERT INTO calls SELECT * FROM calls",
            "INSERT INTO rejected VALUES (1)",
            "UPDATE calls SET caller = 'x'",
            "DELETE FROM calls",
            "MERGE INTO calls USING leases ON true WHEN MATCHED THEN DELETE",
            "COPY calls TO '/tmp/x.csv'",
            "COPY (SELECT 1) TO 'https://example.invalid/x' STORED AS PARQUET",
            "SET datafusion.execution.target_partitions = 1",
            "RESET datafusion.execution.target_partitions",
            "BEGIN",
            "COMMIT",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "EXPLAIN INSERT INTO calls SELECT * FROM calls",
            "EXPLAIN ANALYZE COPY calls TO '/tmp/x.csv'",
            "WITH a AS (SELECT 1) INSERT INTO calls SELECT * FROM a",
            "SELECT * INTO t FROM calls",
            "SELECT 1; DROP TABLE calls",
            "GRANT SELECT ON calls TO someone",
            "CALL f()",
            "USE history",
            "ATTACH DATABASE 'x' AS y",
            "INSTALL httpfs",
            "LOAD 'x.so'",
            "VACUUM calls",
        ] {
            match admit(sql) {
                Err(QueryError::Refused { what }) => assert!(!what.is_empty(), "{sql}"),
                // What the parser does not even know gets no further either.
                Err(QueryError::Sql(_)) => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn length_and_nesting_are_bounded() {
        assert!(matches!(admit(&" ".repeat(QUERY_BYTES_MAX + 1)), Err(QueryError::TooLong { .. })));
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(matches!(admit(&deep), Err(QueryError::Sql(_) | QueryError::Engine(_))));
    }
}
