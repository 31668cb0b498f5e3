//! The statements of one connection. datafusion-postgres answers them from one session; before each of them that session gets
//! the lake as it then is, as far as the login goes, with the login's bounds.

use std::sync::{Arc, Mutex};

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::hooks::cursor::CursorStatementHook;
use datafusion_postgres::hooks::set_show::SetShowHook;
use datafusion_postgres::hooks::transactions::TransactionStatementHook;
use datafusion_postgres::pgwire::api::portal::{Format, Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use datafusion_postgres::pgwire::api::results::{
    DescribePortalResponse, DescribeStatementResponse, FieldInfo, Response,
};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, METADATA_USER, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::Execute;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::messages::simplequery::Query as PgQuery;
use datafusion_postgres::{DfSessionService, QueryHook};
use futures::future::BoxFuture;
use futures::{FutureExt, Sink};

use super::answers::{Shown, plan, rows, settled};
use super::holder::{Holder, no_login};
use super::mend::{Mend, reworded};
use super::names::{told_answer, told_fields};
use super::numbers::as_numerics;
use super::questions::{default_schema, is_declare, named_in, questions, time_of, timeout};
use super::savepoint::BackToSavepoint;
use super::{Current, Postgres, copy, declared, errors, functions, prepared};
use crate::query::QueryError;
use crate::query::guard;
use crate::query::logins::{Reader, lock};

/// A statement as datafusion-postgres keeps it.
type Prepared = (String, Option<(Statement, LogicalPlan)>);

pub(super) struct Service {
    server: Arc<Postgres>,
    current: Arc<Current>,
    holder: Arc<Holder>,
    /// Who asked last.
    asked: Arc<Mutex<Option<Arc<Reader>>>>,
    context: Arc<SessionContext>,
    inner: Arc<DfSessionService>,
}

impl Service {
    pub fn new(server: Arc<Postgres>, current: Arc<Current>, holder: Arc<Holder>) -> Service {
        let context = Arc::new(SessionContext::new_with_state(server.idle.clone()));
        let hooks: Vec<Arc<dyn QueryHook>> = vec![
            Arc::new(BackToSavepoint),
            Arc::new(TransactionStatementHook),
            Arc::new(Mend),
            Arc::new(CursorStatementHook),
            Arc::new(SetShowHook),
        ];
        let inner = Arc::new(DfSessionService::new_with_hooks(Arc::clone(&context), hooks));
        Service { server, current, holder, asked: Arc::default(), context, inner }
    }

    /// Who asks: whoever logged in on this connection. They are looked up for each statement: whose login is taken away, or has another
    /// password by then, asks no more.
    async fn reader(&self) -> PgWireResult<Arc<Reader>> {
        let entry = self.holder.entry().ok_or_else(no_login)?;
        let reader = self.server.logins.still(&entry).await;
        Ok(reader.map_err(|why| QueryError::Login(why.to_string()))?)
    }

    /// Whether the login is another than the last time, in its role perhaps: what was opened with the old one gives no more rows.
    async fn is_another(&self) -> PgWireResult<bool> {
        let reader = self.reader().await?;
        let before = lock(&self.asked).replace(Arc::clone(&reader));
        Ok(before.is_some_and(|before| !Arc::ptr_eq(&before, &reader)))
    }

    /// Sets the scene for the statements of `sql`; `runs`: they are run, and not only looked at.
    async fn set_scene<C: ClientInfo>(&self, client: &C, sql: &str, runs: bool) -> PgWireResult<()> {
        let reader = self.reader().await?;
        let statements = self.parse(sql)?;
        let time = time_of(&statements).unwrap_or_else(|| timeout(client));
        let mut asked: Vec<DfStatement> = statements.into_iter().flat_map(questions).collect();
        let bounds = match runs && !asked.is_empty() {
            true => reader.bounds(time, self.current.next()).await?,
            false => reader.bounds_of_plan(self.current.gone.child_token()),
        };
        let schema = default_schema(client);
        if let Some(schema) = schema {
            asked.extend(named_in(schema, &asked, &self.server.idle));
        }
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        let (within, is_asked) = (Arc::clone(&bounds), !asked.is_empty());
        let made = async move {
            let scene = reader.session.scene_within(&asked.iter().collect::<Vec<_>>(), Some(within)).await?;
            let mut state = scene.context().state();
            if let Some(schema) = schema {
                state.config_mut().options_mut().catalog.default_schema = schema.to_owned();
            }
            state.register_udf(Arc::new(functions::user(&user))).map_err(QueryError::engine)?;
            Ok::<_, QueryError>(state)
        };
        // Nothing is looked up for what asks nothing: it waits for no thread.
        let state = if is_asked { bounds.work(made).await? } else { made.await? };
        *self.context.state_ref().write() = state;
        Ok(())
    }

    fn parse(&self, sql: &str) -> PgWireResult<Vec<Statement>> {
        self.server.parser.parse(sql).map_err(|error| PgWireError::ApiError(Box::new(error)))
    }

    /// The `COPY … TO STDOUT` that a text is.
    fn copying(&self, sql: &str) -> PgWireResult<Option<Statement>> {
        if !sql.to_ascii_lowercase().contains("copy") {
            return Ok(None);
        }
        let mut statements = self.parse(sql)?;
        match statements.iter().any(|statement| copy::question(statement).is_some()) {
            true if statements.len() > 1 => {
                let message = "COPY … TO STDOUT stands alone: send it apart from other statements";
                Err(errors::info(errors::NOT_SUPPORTED, message.to_owned()))
            }
            true => Ok(statements.pop()),
            false => Ok(None),
        }
    }

    /// Answers a `COPY … TO STDOUT`: the rows that its question gives this login, within its bounds.
    async fn copy<C>(&self, client: &mut C, sql: &str, statement: &Statement) -> PgWireResult<Response>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        guard::admit_of_client(statement)?;
        let shape = copy::Shape::of(statement)?;
        let Some(query) = copy::question(statement) else { return Ok(Response::EmptyQuery) };
        self.set_scene(client, sql, true).await?;
        let answer = rows(&Statement::Query(query), &self.context, client.metadata()).await;
        self.clear();
        match told_answer(answer?) {
            Response::Query(rows) => copy::send(client, rows, &shape).await,
            other => Ok(other),
        }
    }

    /// Gives up what was taken for a statement and not used.
    fn clear(&self) {
        *self.context.state_ref().write() = self.server.idle.clone();
    }
}

impl SimpleQueryHandler for Service {
    // As `async_trait` has it: see `query`.
    fn on_query<'a, 'b, 'f, C>(&'a self, client: &'b mut C, query: PgQuery) -> BoxFuture<'f, PgWireResult<()>>
    where
        'a: 'f,
        'b: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.on_text(client, query)
    }

    // As `async_trait` has it: see `query`.
    fn do_query<'a, 'b, 'c, 'f, C>(
        &'a self,
        client: &'b mut C,
        query: &'c str,
    ) -> BoxFuture<'f, PgWireResult<Vec<Response>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.answer_text(client, query)
    }
}

impl ExtendedQueryHandler for Service {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser {
            service: Service {
                server: Arc::clone(&self.server),
                current: Arc::clone(&self.current),
                holder: Arc::clone(&self.holder),
                asked: Arc::clone(&self.asked),
                context: Arc::clone(&self.context),
                inner: Arc::clone(&self.inner),
            },
        })
    }

    // As `async_trait` has it: see `query`.
    fn on_execute<'a, 'b, 'f, C>(&'a self, client: &'b mut C, message: Execute) -> BoxFuture<'f, PgWireResult<()>>
    where
        'a: 'f,
        'b: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.execute(client, message)
    }

    // As `async_trait` has it: see `query`.
    fn do_query<'a, 'b, 'c, 'f, C>(
        &'a self,
        client: &'b mut C,
        portal: &'c Portal<Prepared>,
        max_rows: usize,
    ) -> BoxFuture<'f, PgWireResult<Response>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.answer_portal(client, portal, max_rows)
    }

    // As `async_trait` has it: see `query`.
    fn do_describe_statement<'a, 'b, 'c, 'f, C>(
        &'a self,
        client: &'b mut C,
        target: &'c StoredStatement<Prepared>,
    ) -> BoxFuture<'f, PgWireResult<DescribeStatementResponse>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.describe_statement(client, target)
    }

    // As `async_trait` has it: see `query`.
    fn do_describe_portal<'a, 'b, 'c, 'f, C>(
        &'a self,
        client: &'b mut C,
        target: &'c Portal<Prepared>,
    ) -> BoxFuture<'f, PgWireResult<DescribePortalResponse>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync + 'f,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.describe_portal(client, target)
    }
}

/// What the traits of pgwire ask.
impl Service {
    fn on_text<'f, C>(&'f self, client: &'f mut C, query: PgQuery) -> BoxFuture<'f, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            if self.is_another().await? {
                client.portal_store().clear_portals();
            }
            if client.transaction_status() == TransactionStatus::Error && BackToSavepoint::begins(&query.query) {
                client.set_transaction_status(TransactionStatus::Transaction);
            }
            self._on_query(client, query).await
        }
        .boxed()
    }

    fn answer_text<'f, C>(&'f self, client: &'f mut C, query: &'f str) -> BoxFuture<'f, PgWireResult<Vec<Response>>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            guard::admit_text(query)?;
            let query = &*reworded(query, &[]);
            let executed = match prepared::is_named_in(query) {
                true => prepared::resolved(&self.server.parser, &self.parse(query)?, client.metadata_mut())?,
                false => None,
            };
            if let Some(executed) = &executed {
                guard::admit_text(executed)?;
            }
            let query = executed.as_deref().unwrap_or(query);
            if let Some(statement) = self.copying(query)? {
                return Ok(vec![self.copy(client, query, &statement).await?]);
            }
            self.set_scene(client, query, true).await?;
            let answers = SimpleQueryHandler::do_query(&*self.inner, client, query).await;
            self.clear();
            Ok(answers?.into_iter().map(told_answer).collect())
        }
        .boxed()
    }

    /// Rows that a portal has left are given without a question to anybody else.
    fn execute<'f, C>(&'f self, client: &'f mut C, message: Execute) -> BoxFuture<'f, PgWireResult<()>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            if self.is_another().await? {
                let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
                let named = client.portal_store().get_portal(name).and_then(|entry| entry.value().cloned());
                client.portal_store().clear_portals();
                // What has given no row yet is planned anew.
                let is_new = match &named {
                    Some(portal) => matches!(*portal.state.lock().await, PortalExecutionState::Initial),
                    None => false,
                };
                if let Some(portal) = named.filter(|_| is_new) {
                    client.portal_store().put_portal(portal);
                }
            }
            self._on_execute(client, message).await
        }
        .boxed()
    }

    /// Plans anew: a prepared statement sees the lake as it is when it is run, too.
    fn answer_portal<'f, C>(
        &'f self,
        client: &'f mut C,
        portal: &'f Portal<Prepared>,
        max_rows: usize,
    ) -> BoxFuture<'f, PgWireResult<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            let (sql, prepared) = &portal.statement.statement;
            if let Some((statement @ Statement::Copy { .. }, _)) = prepared {
                return self.copy(client, sql, statement).await;
            }
            self.set_scene(client, sql, true).await?;
            let fresh = match prepared {
                Some((statement, _)) if !questions(statement.clone()).is_empty() && !is_declare(statement) => {
                    let plan = plan(&self.context.state(), statement.clone()).await?;
                    Some((statement.clone(), plan))
                }
                other => other.clone(),
            };
            let fresh = (sql.clone(), fresh);
            let inferred = ExtendedQueryHandler::query_parser(&*self.inner).get_parameter_types(&fresh)?;
            let mut types = known_types(portal, &inferred);
            let (parameters, formats) = as_numerics(portal, &inferred, &mut types);
            let stored = StoredStatement::new(portal.statement.id.clone(), fresh, types);
            let mut now = Portal::new_cursor(portal.name.clone(), Arc::new(stored));
            // The hook that answers is not told it.
            self.context
                .state_ref()
                .write()
                .config_mut()
                .set_extension(Arc::new(Shown(portal.result_column_format.clone())));
            (now.parameter_format, now.parameters) = (formats, parameters);
            now.result_column_format = portal.result_column_format.clone();
            let answer = ExtendedQueryHandler::do_query(&*self.inner, client, &now, max_rows).await;
            self.clear();
            answer.map(told_answer)
        }
        .boxed()
    }

    fn describe_statement<'f, C>(
        &'f self,
        client: &'f mut C,
        target: &'f StoredStatement<Prepared>,
    ) -> BoxFuture<'f, PgWireResult<DescribeStatementResponse>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            let (parser, statement) = (ExtendedQueryHandler::query_parser(self), &target.statement);
            let fields = match fetched(client, statement).await {
                Some(fields) => fields,
                None => parser.get_result_schema(statement, None)?,
            };
            let inferred = parser.get_parameter_types(statement)?;
            let given = |at: usize| target.parameter_types.get(at).cloned().flatten();
            let parameters = (0..target.parameter_types.len().max(inferred.len()))
                .map(|at| given(at).or_else(|| inferred.get(at).cloned()).unwrap_or(Type::UNKNOWN))
                .collect();
            Ok(DescribeStatementResponse::new(parameters, fields))
        }
        .boxed()
    }

    fn describe_portal<'f, C>(
        &'f self,
        client: &'f mut C,
        target: &'f Portal<Prepared>,
    ) -> BoxFuture<'f, PgWireResult<DescribePortalResponse>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        async move {
            let statement = &target.statement.statement;
            // A cursor's portal has its rows, and no plan (psycopg describes it by its name).
            let begun = begun(&*target.state.lock().await);
            let fields = match begun.or(fetched(client, statement).await) {
                Some(fields) => fields,
                None => ExtendedQueryHandler::query_parser(self)
                    .get_result_schema(statement, Some(&target.result_column_format))?,
            };
            Ok(DescribePortalResponse::new(fields))
        }
        .boxed()
    }
}

/// The types of parameters, with one for each that is nothing and of which nobody knows a type: upstream leaves those out, and takes the
/// values behind them for theirs.
fn known_types(portal: &Portal<Prepared>, inferred: &[Type]) -> Vec<Option<Type>> {
    let told = &portal.statement.parameter_types;
    let is_known = |kind: Option<&Type>| kind.is_some_and(|kind| *kind != Type::UNKNOWN);
    let known = |at: usize| {
        let kind = told.get(at).cloned().flatten();
        match portal.parameters.get(at) {
            Some(None) if !is_known(kind.as_ref()) => (!is_known(inferred.get(at))).then_some(Type::TEXT),
            _ => kind,
        }
    };
    (0..told.len().max(portal.parameters.len())).map(known).collect()
}

/// The columns that a FETCH will give: those of its cursor.
async fn fetched<C>(client: &C, (_, statement): &Prepared) -> Option<Vec<FieldInfo>>
where
    C: ClientPortalStore + Sync,
    C::PortalStore: PortalStore<Statement = Prepared>,
{
    let Some((Statement::Fetch { name, .. }, _)) = statement else { return None };
    let portal = Arc::clone(client.portal_store().get_portal(&name.value)?.value()?);
    let state = portal.state.lock().await;
    begun(&state)
}

/// The columns of a portal that has begun to give rows.
pub(super) fn begun(state: &PortalExecutionState) -> Option<Vec<FieldInfo>> {
    match state {
        PortalExecutionState::Suspended(rows) => Some(told_fields(&rows.row_schema)),
        _ => None,
    }
}

/// Parses and plans for datafusion-postgres, with the scene set.
pub(super) struct Parser {
    service: Service,
}

impl QueryParser for Parser {
    type Statement = Prepared;

    // As `async_trait` has it: see `query`.
    fn parse_sql<'a, 'b, 'c, 'd, 'f, C>(
        &'a self,
        client: &'b C,
        sql: &'c str,
        types: &'d [Option<Type>],
    ) -> BoxFuture<'f, PgWireResult<Option<Prepared>>>
    where
        'a: 'f,
        'b: 'f,
        'c: 'f,
        'd: 'f,
        C: ClientInfo + Unpin + Send + Sync + 'f,
    {
        self.parsed(client, sql, types)
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        ExtendedQueryHandler::query_parser(&*self.service.inner).get_parameter_types(statement)
    }

    fn get_result_schema(&self, statement: &Prepared, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let (_, Some((_, plan))) = statement else { return Ok(Vec::new()) };
        let plan = settled(&self.service.server.idle, plan.clone());
        let fields = arrow_schema_to_pg_fields(plan.schema().as_arrow(), format.unwrap_or(&Format::UnifiedText), None)?;
        Ok(told_fields(&fields))
    }
}

impl Parser {
    fn parsed<'f, C>(
        &'f self,
        client: &'f C,
        sql: &'f str,
        types: &'f [Option<Type>],
    ) -> BoxFuture<'f, PgWireResult<Option<Prepared>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        async move {
            self.service.reader().await?;
            guard::admit_text(sql)?;
            let sql = &*reworded(sql, types);
            let executed = match prepared::is_named_in(sql) {
                true => self
                    .service
                    .parse(sql)?
                    .first()
                    .map(|first| prepared::executed(&self.service.server.parser, first, client.metadata())),
                false => None,
            };
            let executed = executed.transpose()?.flatten().map(|query| query.to_string());
            if let Some(executed) = &executed {
                guard::admit_text(executed)?;
            }
            let sql = executed.as_deref().unwrap_or(sql);
            self.service.set_scene(client, sql, false).await?;
            let upstream = ExtendedQueryHandler::query_parser(&*self.service.inner);
            let mut parsed = upstream.parse_sql(client, sql, types).await;
            if types.iter().any(Option::is_some) {
                // What cannot be planned without them may be with them.
                let supposed = match &parsed {
                    Ok(Some(prepared)) => upstream.get_parameter_types(prepared).unwrap_or_default(),
                    _ => vec![Type::UNKNOWN; types.len()],
                };
                if let Some(written) = declared::written(sql, types, &supposed) {
                    let again = upstream.parse_sql(client, &written, types).await;
                    if parsed.is_ok() || again.is_ok() {
                        parsed = again;
                    }
                }
            }
            self.service.clear();
            parsed
        }
        .boxed()
    }
}
