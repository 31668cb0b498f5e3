//! Where clients trip over datafusion-postgres 0.19, mended. Each entry says who asks; what upstream learns goes from here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, ParamValues, ToDFSchema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{self, DiscardObject, FetchDirection, Statement};
use datafusion_postgres::QueryHook;
use datafusion_postgres::hooks::HookClient;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::adapt::{adapt, keep_subqueries};
use super::answers::{filled, plan, rows};
use super::names::name_columns;
use super::prepared;
use super::service::begun;
use super::{catalog, errors};
use crate::query::{QueryError, guard, reword, using};

/// What clients ask about the server that datafusion-postgres does not know (SQLAlchemy and JDBC at each connection, Npgsql,
/// Power BI, pgAdmin). Values are PostgreSQL's defaults, but for those of a server that only reads.
pub(super) const VARIABLES: [(&str, &str); 20] = [
    ("standard_conforming_strings", "on"),
    ("server_version", super::SERVER_VERSION),
    ("server_version_num", "160006"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("integer_datetimes", "on"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("is_superuser", "off"),
    ("transaction_read_only", "on"),
    ("default_transaction_read_only", "on"),
    ("transaction_isolation", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("in_hot_standby", "off"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("client_min_messages", "notice"),
    ("search_path", "\"$user\", public"),
    ("default_table_access_method", "heap"),
    ("block_size", "8192"),
];

/// Text that datafusion-postgres cannot plan, in words that it can. `ARRAY(SELECT …)` is asked of catalogs alone (psql's `\d`
/// and `\du`, pgAdmin), about options and roles that nothing here has.
pub(super) fn reworded<'a>(sql: &'a str, types: &[Option<Type>]) -> Cow<'a, str> {
    let text = without_arrays(sql);
    match catalog::simplified(&text, types).or_else(|| keep_subqueries(&text)) {
        Some(reworded) => Cow::Owned(reworded),
        None => text,
    }
}

fn without_arrays(sql: &str) -> Cow<'_, str> {
    if !sql.contains("pg_catalog.") {
        return Cow::Borrowed(sql);
    }
    // SQLAlchemy passes over schemas that begin with `pg_` by an escape that DataFusion has not; without it they are listed.
    if sql.contains(ESCAPE) {
        return Cow::Owned(without_arrays(&sql.replace(ESCAPE, "")).into_owned());
    }
    let (mut text, mut rest) = (String::new(), sql);
    while let Some((at, open)) = array_of_query(rest) {
        let Some(close) = closing(&rest[open..]) else { break };
        text.push_str(&rest[..at]);
        text.push_str("NULL::text");
        rest = &rest[open + close + 1..];
    }
    if text.is_empty() { Cow::Borrowed(sql) } else { Cow::Owned(text + rest) }
}

/// Where the next of these begins, and where its parenthesis opens.
fn array_of_query(sql: &str) -> Option<(usize, usize)> {
    let lower = sql.to_ascii_lowercase();
    let options = lower.find(OPTIONS).map(|at| (at, at + OPTIONS.len() - 1));
    let mut from = 0;
    while let Some(at) = lower[from..].find(ARRAY).map(|at| from + at) {
        if options.is_some_and(|(first, _)| first < at) {
            break;
        }
        let after = lower[at + ARRAY.len()..].trim_start();
        let open = lower.len() - after.len();
        let starts_a_word = !lower[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if starts_a_word && after.strip_prefix('(').is_some_and(|inner| inner.trim_start().starts_with("select")) {
            return Some((at, open));
        }
        from = at + ARRAY.len();
    }
    options
}

const ESCAPE: &str = " ESCAPE '/'";
const ARRAY: &str = "array";
/// How psql writes options and privileges (`\d+`, `\dp`), in columns that datafusion-postgres' `pg_class` has not.
const OPTIONS: &str = "pg_catalog.array_to_string(";

/// Where the parenthesis that the text begins with closes; those in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0usize, None);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Refuses what is no question, and answers what upstream does not.
#[derive(Debug)]
pub(super) struct Mend;

impl QueryHook for Mend {
    // As `async_trait` has it: see `query`.
    fn handle_simple_query<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        statement: &'b Statement,
        context: &'c SessionContext,
        client: &'d mut dyn HookClient,
    ) -> BoxFuture<'f, Option<PgWireResult<Response>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        simple(statement, context, client)
    }

    // As `async_trait` has it: see `query`.
    fn handle_extended_parse_query<'a, 'b, 'c, 'd, 'f>(
        &'a self,
        statement: &'b Statement,
        context: &'c SessionContext,
        _client: &'d (dyn ClientInfo + Send + Sync),
    ) -> BoxFuture<'f, Option<PgWireResult<LogicalPlan>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
    {
        parsed(statement, context)
    }

    // As `async_trait` has it: see `query`.
    fn handle_extended_query<'a, 'b, 'c, 'd, 'e, 'g, 'f>(
        &'a self,
        statement: &'b Statement,
        plan: &'c LogicalPlan,
        params: &'d ParamValues,
        context: &'e SessionContext,
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
        extended(statement, plan, params, context, client)
    }
}

fn simple<'f>(
    statement: &'f Statement,
    context: &'f SessionContext,
    client: &'f mut dyn HookClient,
) -> BoxFuture<'f, Option<PgWireResult<Response>>> {
    async move {
        if let Err(error) = guard::admit_of_client(statement) {
            return Some(Err(errors::of_query(error)));
        }
        match statement {
            Statement::Query(_) => Some(rows(statement, context, client.metadata()).await),
            Statement::Declare { .. } => {
                CursorStatementHook.handle_simple_query(&declared(statement), context, client).await
            }
            // What it prepares is noted before the text is run.
            Statement::Prepare { .. } => Some(Ok(Response::Execution(Tag::new("PREPARE")))),
            Statement::Fetch { .. } => fetch(statement, context, client).await,
            _ => answer(statement, client).await,
        }
    }
    .boxed()
}

fn parsed<'f>(
    statement: &'f Statement,
    context: &'f SessionContext,
) -> BoxFuture<'f, Option<PgWireResult<LogicalPlan>>> {
    async move {
        if let Err(error) = guard::admit_of_client(statement) {
            return Some(Err(errors::of_query(error)));
        }
        let is_zone = matches!(statement, Statement::ShowVariable { variable } if is_timezone(variable));
        if let Some(name) = variable(statement).map(|(name, _)| name).or(is_zone.then_some("TimeZone")) {
            return Some(one_text(name).map_err(|error| PgWireError::ApiError(Box::new(error))));
        }
        if let Statement::Query(_) = statement {
            return Some(plan(&context.state(), statement.clone()).await);
        }
        is_ours(statement).then(|| {
            let schema = Arc::new(DFSchema::empty());
            Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }))
        })
    }
    .boxed()
}

fn extended<'f>(
    statement: &'f Statement,
    plan: &'f LogicalPlan,
    params: &'f ParamValues,
    context: &'f SessionContext,
    client: &'f mut dyn HookClient,
) -> BoxFuture<'f, Option<PgWireResult<Response>>> {
    async move {
        match statement {
            Statement::Declare { .. } => {
                CursorStatementHook.handle_extended_query(&declared(statement), plan, params, context, client).await
            }
            Statement::Query(_) => Some(filled(plan, params, context, client.metadata()).await),
            Statement::Prepare { .. } => Some(
                prepared::note(statement, client.metadata_mut()).map(|()| Response::Execution(Tag::new("PREPARE"))),
            ),
            Statement::Fetch { .. } => fetch(statement, context, client).await,
            _ => answer(statement, client).await,
        }
    }
    .boxed()
}

/// Rows of a cursor, by PostgreSQL's tag: psqlODBC (`UseDeclareFetch`) takes no other for rows.
async fn fetch(
    statement: &Statement,
    context: &SessionContext,
    client: &mut dyn HookClient,
) -> Option<PgWireResult<Response>> {
    let answered = match answer(statement, client).await {
        None => CursorStatementHook.handle_simple_query(statement, context, client).await,
        nothing => nothing,
    };
    answered.map(|answered| {
        let mut answered = answered?;
        if let Response::Query(rows) = &mut answered {
            rows.set_command_tag("FETCH");
        }
        Ok(answered)
    })
}

/// The same for what a cursor is declared for: upstream plans its text.
fn declared(statement: &Statement) -> Statement {
    let mut statement = statement.clone();
    if let Statement::Declare { stmts } = &mut statement {
        for query in stmts.iter_mut().filter_map(|declared| declared.for_query.as_mut()) {
            name_columns(query);
            adapt(query);
            reword::reword(&mut **query);
            using::write_out(&mut **query);
        }
    }
    statement
}

fn is_ours(statement: &Statement) -> bool {
    use Statement::*;
    matches!(
        statement,
        Discard { .. }
            | Deallocate { .. }
            | Prepare { .. }
            | Copy { .. }
            | Reset(_)
            | LISTEN { .. }
            | UNLISTEN { .. }
            | Savepoint { .. }
            | ReleaseSavepoint { .. }
    )
}

async fn answer(statement: &Statement, client: &mut dyn HookClient) -> Option<PgWireResult<Response>> {
    let done = |tag: &str| Some(Ok(Response::Execution(Tag::new(tag))));
    if let Some(zone) = zone(statement) {
        if zone.parse::<chrono_tz::Tz>().is_err() && !is_offset(&zone) {
            return Some(Err(errors::invalid(format!(
                "{zone:?} is no time zone; write one such as UTC or Europe/Berlin"
            ))));
        }
        // Days are cut in UTC whatever a client says: so it is told UTC, and reads times by that.
        let status = ParameterStatus::new("TimeZone".to_owned(), UTC.to_owned());
        return match client.send_message(PgWireBackendMessage::ParameterStatus(status)).await {
            Ok(()) => done("SET"),
            Err(error) => Some(Err(error)),
        };
    }
    if let Some(told) = statement_timeout(statement) {
        let Some(millis) = told.as_deref().map_or(Some(0), millis) else {
            let text = told.unwrap_or_default();
            return Some(Err(errors::invalid(format!(
                "statement_timeout: {text:?} is no time; write milliseconds, or 30s, 5min, 1h"
            ))));
        };
        match millis {
            0 => drop(client.metadata_mut().remove(TIMEOUT)),
            _ => drop(client.metadata_mut().insert(TIMEOUT.to_owned(), millis.to_string())),
        }
        return done("SET");
    }
    if let Some(path) = search_path(statement) {
        client.metadata_mut().insert(SEARCH_PATH.to_owned(), path);
        return done("SET");
    }
    match statement {
        // What pools send before they give a connection to somebody else (Npgsql, pgbouncer, pgAdmin).
        Statement::Discard { object_type: DiscardObject::ALL } => {
            client.portal_store().clear_portals();
            prepared::forget_all(client.metadata_mut());
            forget_settings(client.metadata_mut(), |_| true);
            done("DISCARD ALL")
        }
        Statement::Discard { .. } => done("DISCARD"),
        Statement::Deallocate { name, .. } => {
            client.portal_store().rm_statement(&name.value);
            if let Err(error) = prepared::note(statement, client.metadata_mut()) {
                return Some(Err(error));
            }
            done("DEALLOCATE")
        }
        Statement::Reset(reset) => {
            forget_settings(client.metadata_mut(), |setting| match &reset.reset {
                ast::Reset::ALL => true,
                ast::Reset::ConfigurationParameter(name) => name.to_string().eq_ignore_ascii_case(setting),
            });
            done("RESET")
        }
        // Upstream gives all rows for none.
        Statement::Fetch {
            name,
            direction: FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) },
            ..
        } if limit.to_string() == "0" => {
            let portal = Arc::clone(client.portal_store().get_portal(&name.value)?.value()?);
            let fields = begun(&*portal.state.lock().await).unwrap_or_default();
            Some(Ok(Response::Query(QueryResponse::new(Arc::new(fields), futures::stream::empty()))))
        }
        // Nobody ever notifies.
        Statement::LISTEN { .. } => done("LISTEN"),
        Statement::UNLISTEN { .. } => done("UNLISTEN"),
        // Nothing is ever written, so there is nothing to go back to.
        Statement::Savepoint { .. } => done("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => done("RELEASE"),
        Statement::ShowVariable { variable } if is_timezone(variable) => Some(row("TimeZone", UTC)),
        _ => variable(statement).map(|(name, value)| {
            let set = client.metadata().get(name).filter(|_| name == SEARCH_PATH);
            row(name, set.map_or(value, String::as_str))
        }),
    }
}

const TIMEZONE: &str = "timezone";
/// The only one in which anything is shown and cut.
const UTC: &str = "UTC";

/// Where datafusion-postgres keeps a connection's `statement_timeout`, in milliseconds; nothing: none.
pub(super) const TIMEOUT: &str = "statement_timeout_ms";

/// Where it keeps the schemas that need not be said. JDBC's `currentSchema` comes with the connection's start.
pub(super) const SEARCH_PATH: &str = "search_path";

/// `SET search_path = marts` (Superset, before what is written in its SQL Lab); upstream takes texts alone.
/// Settings that are kept, back to what they are where nobody set them.
fn forget_settings(held: &mut HashMap<String, String>, which: impl Fn(&str) -> bool) {
    for (_, key) in [("statement_timeout", TIMEOUT), (SEARCH_PATH, SEARCH_PATH)].iter().filter(|(name, _)| which(name))
    {
        held.remove(*key);
    }
}

fn search_path(statement: &Statement) -> Option<String> {
    let Statement::Set(ast::Set::SingleAssignment { variable, values, .. }) = statement else { return None };
    let is_ours = variable.to_string().eq_ignore_ascii_case(SEARCH_PATH);
    let names = values.iter().map(|name| name.to_string().trim_matches(['\'', '"']).to_owned());
    is_ours.then(|| names.collect::<Vec<_>>().join(", "))
}

fn is_timezone(variable: &[ast::Ident]) -> bool {
    matches!(variable, [ast::Ident { value, .. }] if value.eq_ignore_ascii_case(TIMEZONE))
}

/// The zone of `SET timezone = '…'` (psycopg, Grafana) and `SET TIME ZONE '…'`.
fn zone(statement: &Statement) -> Option<String> {
    match statement {
        Statement::Set(ast::Set::SetTimeZone { value, .. }) => Some(unquoted(value)),
        _ => set_to(statement, TIMEZONE).map(|value| value.unwrap_or_else(|| UTC.to_owned())),
    }
}

/// What `SET statement_timeout` says; the inner nothing: the default again.
fn statement_timeout(statement: &Statement) -> Option<Option<String>> {
    set_to(statement, "statement_timeout")
}

/// The time that a statement sets as limit; the inner nothing: none. What is no time is told where it is run.
pub(super) fn timeout_set(statement: &Statement) -> Option<Option<Duration>> {
    let told = statement_timeout(statement)?;
    let millis = told.as_deref().map_or(Some(0), millis)?;
    Some((millis > 0).then(|| Duration::from_millis(millis)))
}

/// The value that a statement sets this variable to; the inner nothing: its default.
fn set_to(statement: &Statement, name: &str) -> Option<Option<String>> {
    let Statement::Set(ast::Set::SingleAssignment { variable, values, .. }) = statement else { return None };
    let value = values.first().filter(|_| variable.to_string().eq_ignore_ascii_case(name))?;
    let is_default = matches!(value, ast::Expr::Identifier(word) if word.value.eq_ignore_ascii_case("default"));
    Some((!is_default).then(|| unquoted(value)))
}

fn unquoted(value: &ast::Expr) -> String {
    value.to_string().trim_matches(['\'', '"']).to_owned()
}

/// An offset from UTC, or a word that stands for the server's own zone.
fn is_offset(zone: &str) -> bool {
    let hours = zone.trim_start_matches(['+', '-']);
    ["default", "local", "utc"].contains(&zone.to_ascii_lowercase().as_str())
        || (!hours.is_empty() && hours.bytes().all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.'))
}

/// A time as PostgreSQL's settings have it, in milliseconds; nothing if it is none.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (text[..digits].parse::<u64>().ok()?, text[digits..].trim());
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `SHOW name`, if it is one of ours.
fn variable(statement: &Statement) -> Option<(&'static str, &'static str)> {
    let Statement::ShowVariable { variable } = statement else { return None };
    let [ast::Ident { value, .. }] = variable.as_slice() else { return None };
    VARIABLES.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name))
}

/// The shape of one text.
fn one_text(name: &str) -> Result<LogicalPlan, DataFusionError> {
    let schema = Schema::new(vec![Field::new(name, DataType::Utf8, false)]).to_dfschema_ref()?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema }))
}

fn row(name: &str, value: &str) -> PgWireResult<Response> {
    let field = FieldInfo::new(name.to_owned(), None, None, Type::VARCHAR, FieldFormat::Text);
    let fields = Arc::new(vec![field]);
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    encoder.encode_field(&Some(value))?;
    let row = encoder.take_row();
    Ok(Response::Query(QueryResponse::new(fields, futures::stream::once(async move { Ok(row) }))))
}

/// An error of the guard, for where no plan is made.
impl From<QueryError> for PgWireError {
    fn from(error: QueryError) -> PgWireError {
        errors::of_query(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_settings() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1500", Some(1_500)),
            ("1500ms", Some(1_500)),
            ("2 s", Some(2_000)),
            ("5min", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("abc", None),
            ("-1", None),
            ("1.5s", None),
            ("", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn arrays_of_catalog_queries_are_reworded() {
        for (sql, expected) in [
            ("SELECT ARRAY(SELECT a FROM calls)", "SELECT ARRAY(SELECT a FROM calls)"),
            (
                "SELECT x, array ( select ')' || f(a) from pg_catalog.b ) as c, array_to_string(d) FROM e",
                "SELECT x, NULL::text as c, array_to_string(d) FROM e",
            ),
            (
                "SELECT pg_catalog.array_to_string(c.x || array(select 'y' from pg_catalog.z), ', '), array (select 1)",
                "SELECT NULL::text, NULL::text",
            ),
            (
                "SELECT a FROM pg_catalog.b WHERE a NOT LIKE $1 || '%' ESCAPE '/'",
                "SELECT a FROM pg_catalog.b WHERE a NOT LIKE $1 || '%'",
            ),
            ("SELECT my_array(select 1) FROM pg_catalog.a", "SELECT my_array(select 1) FROM pg_catalog.a"),
            ("SELECT array(select ((1) FROM pg_catalog.a", "SELECT array(select ((1) FROM pg_catalog.a"),
        ] {
            assert_eq!(without_arrays(sql), expected);
        }
    }
}
