//! What the statements of a text ask of tables, and what the client said before about how.

use std::time::Duration;

use datafusion::common::config::Dialect;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::pgwire::api::ClientInfo;

use super::copy;
use super::mend::{SEARCH_PATH, TIMEOUT, timeout_set};
use crate::query::session::{HISTORY, MART};

/// What a statement asks of tables.
pub(super) fn questions(statement: Statement) -> Vec<DfStatement> {
    match statement {
        Statement::Copy { .. } => copy::question(&statement)
            .map(|query| DfStatement::Statement(Box::new(Statement::Query(query))))
            .into_iter()
            .collect(),
        Statement::Declare { stmts } => stmts
            .into_iter()
            .filter_map(|declared| declared.for_query)
            .map(|query| DfStatement::Statement(Box::new(Statement::Query(query))))
            .collect(),
        Statement::Query(_)
        | Statement::Explain { .. }
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. } => vec![DfStatement::Statement(Box::new(statement))],
        _ => Vec::new(),
    }
}

/// The schema that names without one are looked for in, if the client chose another than the usual one.
pub(super) fn default_schema<C: ClientInfo>(client: &C) -> Option<&'static str> {
    let path = client.metadata().get(SEARCH_PATH)?;
    let first = path.split(',').next().unwrap_or_default().trim().trim_matches('"');
    [HISTORY, MART].into_iter().find(|schema| first.eq_ignore_ascii_case(schema))
}

/// Statements that name in `schema` what `asked` name without one.
pub(super) fn named_in(schema: &str, asked: &[DfStatement], state: &SessionState) -> Vec<DfStatement> {
    let references = asked.iter().flat_map(|statement| state.resolve_table_references(statement).unwrap_or_default());
    let names = references.filter(|reference| reference.schema().is_none()).map(|reference| {
        let table = reference.table().replace('"', "\"\"");
        state.sql_to_statement(&format!("SELECT 1 FROM {schema}.\"{table}\""), &Dialect::PostgreSQL)
    });
    names.filter_map(Result::ok).collect()
}

/// The limit that a text sets before its first question, for what comes behind it in the same text.
pub(super) fn time_of(statements: &[Statement]) -> Option<Option<Duration>> {
    let before = statements.iter().take_while(|statement| !is_question(statement));
    before.filter_map(timeout_set).last()
}

fn is_question(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::Copy { .. } | Statement::Declare { .. })
}

/// The client's own limit (`SET statement_timeout`).
pub(super) fn timeout<C: ClientInfo>(client: &C) -> Option<Duration> {
    let millis = client.metadata().get(TIMEOUT)?;
    millis.parse().ok().map(Duration::from_millis)
}

pub(super) fn is_declare(statement: &Statement) -> bool {
    matches!(statement, Statement::Declare { .. })
}
