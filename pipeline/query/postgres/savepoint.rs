//! Going back to a savepoint, which datafusion-postgres 0.19 takes for the end of the transaction.

use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use futures::FutureExt;
use futures::future::{self, BoxFuture};

/// `ROLLBACK TO SAVEPOINT` (asyncpg and psycopg, nested transactions). Nothing is ever
/// written, so what is left of it is that the transaction goes on, also after a mistake.
#[derive(Debug)]
pub(super) struct BackToSavepoint;

impl BackToSavepoint {
    /// Whether a text begins with it. pgwire notes what a transaction is before a text is run, so it has to go on before.
    pub fn begins(text: &str) -> bool {
        let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
        words.next().is_some_and(|word| word == "ROLLBACK")
            && words.find(|word| !matches!(word.as_str(), "WORK" | "TRANSACTION")).is_some_and(|word| word == "TO")
    }
}

impl QueryHook for BackToSavepoint {
    // As `async_trait` has it: see `query`.
    fn handle_simple_query<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        statement: &'b Statement,
        _context: &'c SessionContext,
        client: &'d mut dyn HookClient,
    ) -> BoxFuture<'f, Option<PgWireResult<Response>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        answered(gone_back(statement, client))
    }

    // As `async_trait` has it: see `query`.
    fn handle_extended_parse_query<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        _statement: &'b Statement,
        _context: &'c SessionContext,
        _client: &'d (dyn ClientInfo + Send + Sync),
    ) -> BoxFuture<'f, Option<PgWireResult<LogicalPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        not_planned()
    }

    // As `async_trait` has it: see `query`.
    fn handle_extended_query<'a, 'b, 'c, 'd, 'e, 'g, 'f>(
        &'a self,
        statement: &'b Statement,
        _plan: &'c LogicalPlan,
        _params: &'d ParamValues,
        _context: &'e SessionContext,
        client: &'g mut dyn HookClient,
    ) -> BoxFuture<'f, Option<PgWireResult<Response>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
        'e: 'f,
        'g: 'f,
    {
        answered(gone_back(statement, client))
    }
}

fn gone_back(statement: &Statement, client: &dyn HookClient) -> Option<PgWireResult<Response>> {
    let is_back = matches!(statement, Statement::Rollback { savepoint: Some(_), .. });
    let is_open = client.transaction_status() != TransactionStatus::Idle;
    (is_back && is_open).then(|| Ok(Response::Execution(Tag::new("ROLLBACK"))))
}

fn answered<'f>(answer: Option<PgWireResult<Response>>) -> BoxFuture<'f, Option<PgWireResult<Response>>> {
    future::ready(answer).boxed()
}

fn not_planned<'f>() -> BoxFuture<'f, Option<PgWireResult<LogicalPlan>>> {
    future::ready(None).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_to_a_savepoint_is_known() {
        for (text, expected) in [
            ("rollback to a", true),
            (" ROLLBACK WORK TO SAVEPOINT a; RELEASE a", true),
            ("ROLLBACK", false),
            ("ROLLBACK; SELECT 1", false),
            ("SELECT 'ROLLBACK TO a'", false),
        ] {
            assert_eq!(BackToSavepoint::begins(text), expected, "{text}");
        }
    }
}
