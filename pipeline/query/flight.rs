//! Arrow Flight SQL: logins by handshake and bearer token, what there is ([`about`]), queries and prepared statements.
//!
//! Text is sent as `Utf8`: not every client knows views and dictionaries.

mod about;
mod kept;
mod options;
mod placeholders;
mod rows;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc,
    Ticket,
};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::ipc::writer::IpcWriteOptions;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::sql::parser::Statement;
use futures::future::{self, BoxFuture};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::bounds::Bounds;
use super::error::QueryError;
use super::format::{plain_batch, plain_schema};
use super::logins::{Entry, Logins, NoEntry, Reader, basic};
use super::session::Scene;
use kept::Kept;
use rows::{Guarded, Reply, Running, encoded, one_batch};

/// `ActionCancelQueryResult.CancelResult` of Flight SQL's definition.
const CANCELLED: i32 = 1;
const NOT_CANCELLABLE: i32 = 3;
/// Values of one prepared statement.
const PARAMETERS_BYTES_MAX: usize = 4 << 20;

/// How often is looked, at a stop, whether anything runs still.
const LOOKED_AT_EACH: Duration = Duration::from_millis(20);

/// The server.
pub struct Flight {
    logins: Arc<Logins>,
    /// Who a token is of. The login is looked up whenever it is used.
    tokens: Kept<Entry>,
    prepared: Kept<Prepared>,
    running: Arc<Kept<CancellationToken>>,
}

#[derive(Clone)]
struct Prepared {
    sql: String,
    account: Arc<str>,
    user: String,
    values: Option<Vec<ScalarValue>>,
}

/// Returns once nothing runs any more after `stop`, or `drain` later.
async fn drained(running: &Kept<CancellationToken>, stop: &CancellationToken, drain: Duration) {
    stop.cancelled().await;
    let all_ended = async {
        while !running.is_empty() {
            tokio::time::sleep(LOOKED_AT_EACH).await;
        }
    };
    if tokio::time::timeout(drain, all_ended).await.is_err() {
        tracing::warn!("stopped before all statements over flight sql had ended");
    }
}

impl Flight {
    pub fn new(logins: Arc<Logins>) -> Flight {
        Flight { logins, tokens: Kept::new(), prepared: Kept::new(), running: Arc::new(Kept::new()) }
    }

    /// Serves until `shutdown`; what runs then has `drain` to end. `tls`: certificates and key, as PEM.
    ///
    /// # Errors
    /// The certificate cannot be used, or the socket broke.
    pub async fn serve(
        self,
        socket: TcpListener,
        tls: Option<(Vec<u8>, Vec<u8>)>,
        shutdown: CancellationToken,
        drain: Duration,
    ) -> Result<(), tonic::transport::Error> {
        let (running, stop) = (Arc::clone(&self.running), shutdown.clone());
        let mut server = Server::builder();
        if let Some((certificate, key)) = tls {
            server = server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)))?;
        }
        let service = FlightServiceServer::new(self);
        let server = server.add_service(service);
        let serving = server.serve_with_incoming_shutdown(TcpIncoming::from(socket), shutdown.cancelled());
        // Tonic waits for as long as anybody has a connection open, be it idle.
        tokio::select! {
            ended = serving => ended,
            () = drained(&running, &stop, drain) => Ok(()),
        }
    }

    /// Who asks: by a token of the handshake, or by name and password with each call.
    async fn reader(&self, metadata: &MetadataMap) -> Result<Arc<Reader>, Status> {
        let none =
            || Status::unauthenticated("log in by handshake, or with `authorization: Basic`, as USER@ACCOUNT or USER");
        let value = metadata.get("authorization").and_then(|value| value.to_str().ok()).ok_or_else(none)?;
        let (scheme, rest) = value.split_once(' ').ok_or_else(none)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            let over = || Status::unauthenticated("the token is unknown or too old: log in again");
            let entry = self.tokens.get(rest.trim()).ok_or_else(over)?;
            return self.logins.still(&entry).await.map_err(|why| Status::unauthenticated(why.to_string()));
        }
        let (user, password) = basic(value).ok_or_else(none)?;
        self.logins.enter(&user, &password).await.map_err(|why| match why {
            NoEntry::Wrong => Status::unauthenticated(why.to_string()),
            NoEntry::Wait(_) => Status::resource_exhausted(why.to_string()),
        })
    }

    /// Plans one statement in a scene of its own.
    async fn plan(&self, reader: &Arc<Reader>, sql: &str, bounds: Arc<Bounds>) -> Result<(Scene, DataFrame), Status> {
        let statement = one(reader.session.admit(sql).map_err(status)?).map_err(status)?;
        let (reader, text, within) = (Arc::clone(reader), sql.to_owned(), Arc::clone(&bounds));
        let planned = bounds.work(async move {
            let scene = reader.session.scene_within(&[&statement], Some(within)).await?;
            let frame = scene.plan(statement, &text).await?;
            Ok((scene, frame))
        });
        planned.await.map_err(status)
    }

    /// The same of one that is not run now.
    async fn look(&self, reader: &Arc<Reader>, sql: &str) -> Result<DataFrame, Status> {
        Ok(self.plan(reader, sql, reader.bounds_of_plan(CancellationToken::new())).await?.1)
    }

    async fn answer(&self, reader: &Arc<Reader>, sql: &str, values: Option<Vec<ScalarValue>>, name: String) -> Reply {
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let running = Running::enter(&self.running, name, cancel.clone());
        let bounds = reader.bounds(None, cancel).await.map_err(status)?;
        let (scene, frame) = self.plan(reader, sql, Arc::clone(&bounds)).await?;
        let text = sql.to_owned();
        let begun = bounds.work(async move {
            let frame = match values {
                Some(values) => frame.with_param_values(ParamValues::from(values)),
                None => Ok(frame),
            };
            scene.run(frame.map_err(|error| QueryError::from_engine(error, &text))?, &text).await
        });
        let answer = begun.await.map_err(status)?;
        let schema = plain_schema(&answer.schema);
        let (to, text) = (Arc::clone(&schema), sql.to_owned());
        let rows = answer.rows.map(move |batch| {
            let batch = batch.map_err(|error| status(QueryError::from_engine(error, &text)))?;
            plain_batch(&batch, &to).map_err(|error| Status::internal(error.to_string()))
        });
        let rows = Guarded { rows: Box::pin(rows), _guard: guard, _running: running };
        Ok(Response::new(encoded(schema, rows)))
    }

    /// The way to one batch about what there is.
    fn about_info(
        &self,
        ticket: Ticket,
        batch: Result<RecordBatch, Status>,
        request: Request<FlightDescriptor>,
    ) -> BoxFuture<'_, Result<Response<FlightInfo>, Status>> {
        async move {
            self.reader(request.metadata()).await?;
            info(ticket, &batch?.schema(), request.into_inner())
        }
        .boxed()
    }

    fn about(&self, batch: Result<RecordBatch, Status>, request: Request<Ticket>) -> BoxFuture<'_, Reply> {
        async move {
            self.reader(request.metadata()).await?;
            one_batch(batch?)
        }
        .boxed()
    }

    /// A prepared statement, if it is this login's.
    fn prepared_of(&self, reader: &Reader, handle: &[u8]) -> Result<(String, Prepared), Status> {
        let name = String::from_utf8_lossy(handle).into_owned();
        let prepared = self.prepared.get(&name);
        let prepared = prepared.filter(|it| it.account == reader.account && it.user == reader.login.name);
        Ok((name, prepared.ok_or_else(|| Status::not_found("there is no such prepared statement: prepare it again"))?))
    }
}

fn one(mut statements: Vec<Statement>) -> Result<Statement, QueryError> {
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(QueryError::NoQuery),
        (_, more) => Err(QueryError::OneStatement { count: more + 1, format: "Flight SQL" }),
    }
}

/// An error as gRPC has it.
fn status(error: QueryError) -> Status {
    let told = error.to_string();
    match error.bound().unwrap_or(&error) {
        QueryError::Sql(_)
        | QueryError::NoQuery
        | QueryError::OneStatement { .. }
        | QueryError::TooDeep { .. }
        | QueryError::Wrong { .. } => Status::invalid_argument(told),
        QueryError::Refused { .. } => Status::permission_denied(told),
        QueryError::TimeUp { .. } => Status::deadline_exceeded(told),
        QueryError::Cancelled => Status::cancelled(told),
        QueryError::Memory { .. } | QueryError::TooManyRows { .. } | QueryError::TooLong { .. } => {
            Status::resource_exhausted(told)
        }
        QueryError::Busy { .. } | QueryError::WorkerLost => Status::unavailable(told),
        QueryError::Data { .. } => Status::invalid_argument(told),
        _ => Status::internal(told),
    }
}

fn ticket(command: &impl ProstMessageExt) -> Ticket {
    Ticket { ticket: command.as_any().encode_to_vec().into() }
}

/// The way to what a command asks for: it is asked again with its ticket.
fn info(ticket: Ticket, schema: &Schema, descriptor: FlightDescriptor) -> Result<Response<FlightInfo>, Status> {
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| Status::internal(error.to_string()))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    Ok(message.map_err(|error: datafusion::arrow::error::ArrowError| Status::internal(error.to_string()))?.0)
}

/// Nothing that is admitted changes rows, so there is nothing to count.
fn no_update() -> Status {
    Status::permission_denied(
        "the lake is read-only here, and an update (`executemany`) gives no rows: ask with `execute`, once for each set of values",
    )
}

/// A name of its own before the text, so that the same text asked twice can be cancelled apart.
fn handle(sql: &str) -> Bytes {
    format!("{}:{sql}", uuid::Uuid::new_v4().simple()).into()
}

fn of_handle(handle: &[u8]) -> Result<(String, String), Status> {
    let text = std::str::from_utf8(handle).ok().and_then(|text| text.split_once(':'));
    let (name, sql) = text.ok_or_else(|| Status::invalid_argument("the ticket is not one of this server's"))?;
    Ok((name.to_owned(), sql.to_owned()))
}

/// Methods of the trait, as `async_trait` has them (see `query`), that do what those of the same name do.
macro_rules! handed_on {
    ($($name:ident($($given:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        fn $name<'a, 'f>(&'a self, $($given: $kind),*) -> BoxFuture<'f, $answer>
        where
            'a: 'f,
        {
            fn boxed<'f>(flight: &'f Flight, $($given: $kind),*) -> BoxFuture<'f, $answer> {
                Flight::$name(flight, $($given),*).boxed()
            }
            boxed(self, $($given),*)
        }
    )*};
}

/// The way to a batch about what there is, and the batch itself.
macro_rules! about {
    ($($info:ident, $get:ident: $command:ty => $batch:path;)*) => {$(
        fn $info<'a, 'f>(
            &'a self,
            command: $command,
            request: Request<FlightDescriptor>,
        ) -> BoxFuture<'f, Result<Response<FlightInfo>, Status>>
        where
            'a: 'f,
        {
            self.about_info(ticket(&command), $batch(command), request)
        }

        fn $get<'a, 'f>(&'a self, command: $command, request: Request<Ticket>) -> BoxFuture<'f, Reply>
        where
            'a: 'f,
        {
            self.about($batch(command), request)
        }
    )*};
}

impl FlightSqlService for Flight {
    type FlightService = Flight;

    handed_on! {
        do_handshake(request: Request<Streaming<HandshakeRequest>>) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status>;
        get_flight_info_statement(query: CommandStatementQuery, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status>;
        do_get_statement(ticket: TicketStatementQuery, request: Request<Ticket>) -> Reply;
        do_action_create_prepared_statement(query: ActionCreatePreparedStatementRequest, request: Request<Action>) -> Result<ActionCreatePreparedStatementResult, Status>;
        do_put_prepared_statement_query(query: CommandPreparedStatementQuery, request: Request<PeekableFlightDataStream>) -> Result<DoPutPreparedStatementResult, Status>;
        do_put_statement_update(query: CommandStatementUpdate, request: Request<PeekableFlightDataStream>) -> Result<i64, Status>;
        do_put_prepared_statement_update(update: CommandPreparedStatementUpdate, request: Request<PeekableFlightDataStream>) -> Result<i64, Status>;
        do_action_fallback(request: Request<Action>) -> Result<Response<<Flight as FlightService>::DoActionStream>, Status>;
        get_flight_info_prepared_statement(query: CommandPreparedStatementQuery, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status>;
        do_get_prepared_statement(query: CommandPreparedStatementQuery, request: Request<Ticket>) -> Reply;
        do_action_close_prepared_statement(query: ActionClosePreparedStatementRequest, request: Request<Action>) -> Result<(), Status>;
        do_action_cancel_query(query: ActionCancelQueryRequest, request: Request<Action>) -> Result<ActionCancelQueryResult, Status>;
        get_flight_info_tables(query: CommandGetTables, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status>;
        do_get_tables(query: CommandGetTables, request: Request<Ticket>) -> Reply;
    }

    about! {
        get_flight_info_catalogs, do_get_catalogs: CommandGetCatalogs => about::catalogs;
        get_flight_info_schemas, do_get_schemas: CommandGetDbSchemas => about::schemas;
        get_flight_info_table_types, do_get_table_types: CommandGetTableTypes => about::table_types;
        get_flight_info_sql_info, do_get_sql_info: CommandGetSqlInfo => about::sql_info;
        get_flight_info_primary_keys, do_get_primary_keys: CommandGetPrimaryKeys => about::primary_keys;
        get_flight_info_exported_keys, do_get_exported_keys: CommandGetExportedKeys => about::exported_keys;
        get_flight_info_imported_keys, do_get_imported_keys: CommandGetImportedKeys => about::imported_keys;
        get_flight_info_cross_reference, do_get_cross_reference: CommandGetCrossReference => about::cross_reference;
        get_flight_info_xdbc_type_info, do_get_xdbc_type_info: CommandGetXdbcTypeInfo => about::types;
    }

    fn register_sql_info<'a, 'b, 'f>(&'a self, _: i32, _: &'b SqlInfo) -> BoxFuture<'f, ()>
    where
        'a: 'f,
        'b: 'f,
    {
        future::ready(()).boxed()
    }
}

/// What the trait asks.
impl Flight {
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let reader = self.reader(request.metadata()).await?;
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        self.tokens.put(token.clone(), reader.entry());
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let mut response: Response<Pin<Box<dyn Stream<Item = _> + Send>>> =
            Response::new(Box::pin(futures::stream::once(async move { Ok(answer) })));
        let value = format!("Bearer {token}").parse().map_err(|_| Status::internal("a token that is no header"))?;
        response.metadata_mut().insert("authorization", value);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let reader = self.reader(request.metadata()).await?;
        let frame = self.look(&reader, &query.query).await?;
        let statement = TicketStatementQuery { statement_handle: handle(&query.query) };
        info(ticket(&statement), &plain_schema(frame.schema().inner()), request.into_inner())
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Reply {
        let reader = self.reader(request.metadata()).await?;
        let (name, sql) = of_handle(&ticket.statement_handle)?;
        self.answer(&reader, &sql, None, name).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let reader = self.reader(request.metadata()).await?;
        let sql = placeholders::numbered(&query.query)?.into_owned();
        let frame = self.look(&reader, &sql).await?;
        let types = frame.logical_plan().get_parameter_types();
        let types = types.map_err(|error| status(QueryError::from_engine(error, &sql)))?;
        let mut names: Vec<(usize, String, DataType)> = types
            .into_iter()
            .map(|(name, kind)| {
                (name.trim_start_matches('$').parse().unwrap_or(0), name, kind.unwrap_or(DataType::Utf8))
            })
            .collect();
        names.sort_by_key(|(at, ..)| *at);
        let parameters: Vec<Field> = names.into_iter().map(|(_, name, kind)| Field::new(name, kind, true)).collect();
        let name = uuid::Uuid::new_v4().simple().to_string();
        let prepared =
            Prepared { sql, account: Arc::clone(&reader.account), user: reader.login.name.clone(), values: None };
        self.prepared.put(name.clone(), prepared);
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: name.into(),
            dataset_schema: schema_bytes(&plain_schema(frame.schema().inner()))?,
            parameter_schema: schema_bytes(&plain_schema(&Arc::new(Schema::new(parameters))))?,
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let reader = self.reader(request.metadata()).await?;
        let (name, mut prepared) = self.prepared_of(&reader, &query.prepared_statement_handle)?;
        let data = request.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
        let mut batches = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(data);
        let mut values = None;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(Status::from)?;
            let is_second = values.is_some() && batch.num_rows() > 0;
            if is_second || batch.num_rows() > 1 {
                return Err(Status::invalid_argument("give one row of values: a statement is run once for each call"));
            }
            if batch.get_array_memory_size() > PARAMETERS_BYTES_MAX {
                return Err(Status::resource_exhausted("the values take more than 4 MiB: give shorter ones"));
            }
            if batch.num_rows() == 1 {
                let row: Result<Vec<ScalarValue>, _> =
                    batch.columns().iter().map(|column| ScalarValue::try_from_array(column, 0)).collect();
                values = Some(row.map_err(|error| Status::invalid_argument(error.to_string()))?);
            }
        }
        prepared.values = values;
        self.prepared.put(name.clone(), prepared);
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(name.into()) })
    }

    async fn do_put_statement_update(
        &self,
        query: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let reader = self.reader(request.metadata()).await?;
        one(reader.session.admit(&query.query).map_err(status)?).map_err(status)?;
        Err(no_update())
    }

    /// What ADBC's `executemany` does.
    async fn do_put_prepared_statement_update(
        &self,
        _update: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        self.reader(request.metadata()).await?;
        Err(no_update())
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Flight as FlightService>::DoActionStream>, Status> {
        self.reader(request.metadata()).await?;
        let answer = arrow_flight::Result { body: options::act(request.get_ref())?.into() };
        Ok(Response::new(Box::pin(futures::stream::once(async move { Ok(answer) }))))
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let reader = self.reader(request.metadata()).await?;
        let (_, prepared) = self.prepared_of(&reader, &query.prepared_statement_handle)?;
        let frame = self.look(&reader, &prepared.sql).await?;
        info(ticket(&query), &plain_schema(frame.schema().inner()), request.into_inner())
    }

    async fn do_get_prepared_statement(&self, query: CommandPreparedStatementQuery, request: Request<Ticket>) -> Reply {
        let reader = self.reader(request.metadata()).await?;
        let (name, prepared) = self.prepared_of(&reader, &query.prepared_statement_handle)?;
        self.answer(&reader, &prepared.sql, prepared.values, name).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let reader = self.reader(request.metadata()).await?;
        if let Ok((name, _)) = self.prepared_of(&reader, &query.prepared_statement_handle) {
            self.prepared.take(&name);
        }
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        self.reader(request.metadata()).await?;
        let unknown = || Status::invalid_argument("the query is not one of this server's");
        let info = FlightInfo::decode(query.info).map_err(|_| unknown())?;
        let mut result = NOT_CANCELLABLE;
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let any = arrow_flight::sql::Any::decode(ticket.ticket).map_err(|_| unknown())?;
            let name = match any.unpack::<TicketStatementQuery>() {
                Ok(Some(ticket)) => of_handle(&ticket.statement_handle)?.0,
                _ => continue,
            };
            if let Some(running) = self.running.get(&name) {
                running.cancel();
                result = CANCELLED;
            }
        }
        Ok(ActionCancelQueryResult { result })
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.reader(request.metadata()).await?;
        info(ticket(&query), &query.clone().into_builder().schema(), request.into_inner())
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Reply {
        let reader = self.reader(request.metadata()).await?;
        one_batch(about::tables(&reader.session, query).await?)
    }
}
