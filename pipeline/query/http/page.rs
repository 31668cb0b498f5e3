//! An answer as bytes, part by part, made where queries are worked on.

use std::io::Write;
use std::sync::{Arc, Mutex};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::query::bounds::Bounds;
use crate::query::error::QueryError;
use crate::query::format::{Encoder, Format, plain_schema};
use crate::query::logins::{Reader, lock};
use crate::query::session::Answer;

/// Parts of an answer that wait for a slow reader.
const PARTS_MAX: usize = 4;

/// What is asked for, and in which shape.
pub(super) struct Asked {
    pub statement: Statement,
    pub sql: String,
    pub format: Format,
    pub max_rows: u64,
}

pub(super) enum Part {
    Bytes(Vec<u8>),
    End { is_cut: bool },
}

/// The parts of an answer, within the bounds of its query; dropped, it is given up.
pub(super) struct Parts {
    made: mpsc::Receiver<Result<Part, QueryError>>,
    bounds: Arc<Bounds>,
    _work: AbortOnDropHandle<()>,
}

impl Parts {
    pub fn of(reader: &Arc<Reader>, asked: Asked, bounds: Arc<Bounds>) -> Parts {
        let (to, made) = mpsc::channel(PARTS_MAX);
        let (reader, within) = (Arc::clone(reader), Arc::clone(&bounds));
        let work = bounds.begin(async move {
            let end = match make(&reader, asked, within, &to).await {
                Ok(is_cut) => Ok(Part::End { is_cut }),
                Err(error) => Err(error),
            };
            drop(to.send(end).await);
        });
        Parts { made, bounds, _work: work }
    }

    pub async fn next(&mut self) -> Result<Part, QueryError> {
        self.bounds.wait(self.made.recv()).await?.unwrap_or(Err(QueryError::Panicked))
    }
}

/// Sends all parts but the end; whether rows were left out.
async fn make(
    reader: &Reader,
    asked: Asked,
    bounds: Arc<Bounds>,
    to: &mpsc::Sender<Result<Part, QueryError>>,
) -> Result<bool, QueryError> {
    let answer = reader.session.answer_within(asked.statement, &asked.sql, Some(bounds)).await?;
    let mut page = Page::new(answer, asked.format, asked.max_rows, asked.sql)?;
    while let Some(part) = page.next().await? {
        // Nobody reads any more.
        if to.send(Ok(Part::Bytes(part))).await.is_err() {
            break;
        }
    }
    Ok(page.is_cut)
}

pub(super) struct Page {
    answer: Answer,
    format: Format,
    encoder: Option<Encoder<Shared>>,
    made: Shared,
    left: u64,
    rows: u64,
    pub is_cut: bool,
    sql: String,
    /// Members of a JSON answer behind those of every answer, with a comma before each.
    pub tail: String,
}

/// What the encoder has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Page {
    pub fn new(answer: Answer, format: Format, max_rows: u64, sql: String) -> Result<Page, QueryError> {
        let mut made = Shared::default();
        if format == Format::Json {
            let head = serde_json::json!(columns(&plain_schema(&answer.schema))).to_string();
            let _ = write!(made, "{{\"columns\":{head},\"rows\":");
        }
        let encoder = Encoder::new(format, false, &answer.schema, made.clone())?;
        Ok(Page {
            answer,
            format,
            encoder: Some(encoder),
            made,
            left: max_rows,
            rows: 0,
            is_cut: false,
            sql,
            tail: String::new(),
        })
    }

    /// The next bytes; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, QueryError> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        match self.answer.rows.next().await {
            Some(Ok(batch)) => {
                let rows = (batch.num_rows() as u64).min(self.left);
                self.is_cut |= rows < batch.num_rows() as u64;
                (self.left, self.rows) = (self.left - rows, self.rows + rows);
                encoder.write(&batch.slice(0, rows as usize))?;
                if self.is_cut { self.finish().map(Some) } else { Ok(Some(self.made.take())) }
            }
            Some(Err(error)) => match QueryError::from_engine(error, &self.sql) {
                // The bound of the login lies where the asker wanted the answer to be cut.
                QueryError::TooManyRows { .. } if self.left == 0 => {
                    self.is_cut = true;
                    self.finish().map(Some)
                }
                error => Err(error),
            },
            None => self.finish().map(Some),
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, QueryError> {
        if let Some(encoder) = self.encoder.take() {
            encoder.finish()?;
        }
        let mut made = self.made.take();
        if self.format == Format::Json {
            while made.last() == Some(&b'\n') {
                made.pop();
            }
            made.extend_from_slice(
                format!(",\"row_count\":{},\"truncated\":{}{}}}\n", self.rows, self.is_cut, self.tail).as_bytes(),
            );
        }
        Ok(made)
    }
}

fn columns(schema: &SchemaRef) -> Vec<serde_json::Value> {
    let column = |field: &Arc<datafusion::arrow::datatypes::Field>| serde_json::json!({ "name": field.name(), "type": field.data_type().to_string() });
    schema.fields().iter().map(column).collect()
}
