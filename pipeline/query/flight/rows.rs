//! Batches on their way to a client.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt, TryStreamExt};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Response, Status};

use super::kept::Kept;

pub(super) type Rows = Pin<Box<dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send>>;
pub(super) type Reply = Result<Response<Rows>, Status>;

/// Rows of a query that is cancelled when nobody reads them any more.
pub(super) struct Guarded {
    pub rows: Pin<Box<dyn Stream<Item = Result<RecordBatch, Status>> + Send>>,
    pub _guard: DropGuard,
    pub _running: Running,
}

impl Stream for Guarded {
    type Item = Result<RecordBatch, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.rows.poll_next_unpin(context)
    }
}

/// A statement that runs, by name: as long as this is held.
pub(super) struct Running {
    all: Arc<Kept<CancellationToken>>,
    name: String,
}

impl Running {
    pub fn enter(all: &Arc<Kept<CancellationToken>>, name: String, cancel: CancellationToken) -> Running {
        all.put(name.clone(), cancel);
        Running { all: Arc::clone(all), name }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.take(&self.name);
    }
}

pub(super) fn encoded(
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> Rows {
    let rows = rows.map_err(|status| FlightError::Tonic(Box::new(status)));
    let data = FlightDataEncoderBuilder::new().with_schema(schema).build(rows);
    Box::pin(data.map_err(Status::from))
}

pub(super) fn one_batch(batch: RecordBatch) -> Reply {
    let schema = batch.schema();
    Ok(Response::new(encoded(schema, futures::stream::once(async move { Ok(batch) }))))
}
