//! Rows -> files of a table, one or more a day. Files belong to the table only once a commit names them.

use std::sync::Arc;

use callweave_core::time::Date;
use deltalake_core::arrow::array::RecordBatch;
use deltalake_core::arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use deltalake_core::parquet::errors::ParquetError;
use deltalake_core::parquet::file::metadata::ParquetMetaData;
use futures::future::try_join_all;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::batch::{DayBatch, conform};
use super::encode::FileEncoder;
use super::limits::{FILE_BYTES_MAX, OPEN_FILES_MAX, PART_BYTES, PENDING_BYTES_MAX, QUEUED_BATCHES_MAX};
use super::stats::statistics;
use super::table::{DATE, Definition, TableName};

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("table {table}: cannot write {path}: {source}; {}", super::error::advice(source))]
    Store { table: TableName, path: Path, source: object_store::Error },
    #[error("table {table}: cannot encode rows of {date}: {source}")]
    Encode { table: TableName, date: Date, source: ParquetError },
    #[error("table {table}: the writer has stopped")]
    Stopped { table: TableName },
}

/// What a writer needs to know of its table.
#[derive(Debug, Clone)]
pub struct Target {
    pub definition: Arc<Definition>,
    /// What stands in a file; as the table has it, which may be more than this program knows.
    pub schema: SchemaRef,
    /// Rooted at the table's folder.
    pub store: Arc<dyn ObjectStore>,
    /// Whether the rows are new to the table (a compaction's are not).
    pub data_change: bool,
}

/// Collects a table's rows by day and puts them into files. What it holds is bounded, whatever is pushed.
pub struct Sink {
    target: Target,
    /// The day that was written to last is last.
    files: Vec<OpenFile>,
    done: Vec<Add>,
}

struct OpenFile {
    encoder: FileEncoder,
    path: Path,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Sink {
    pub fn new(target: Target) -> Sink {
        Sink { target, files: Vec::new(), done: Vec::new() }
    }

    pub async fn push(&mut self, batch: DayBatch) -> Result<(), WriteError> {
        let open = self.files.iter().position(|file| file.encoder.date == batch.date);
        let mut file = match open {
            Some(at) => self.files.remove(at),
            None => {
                if self.files.len() == OPEN_FILES_MAX {
                    let oldest = self.files.remove(0);
                    self.done.push(self.target.close(oldest).await?);
                }
                self.target.open(batch.date)?
            }
        };
        file.encoder.push(self.target.conform(batch)?);
        if file.encoder.row_group_is_full() {
            file = self.target.encode(file).await?;
        }
        if file.encoder.encoded_bytes() >= FILE_BYTES_MAX {
            self.done.push(self.target.close(file).await?);
            return Ok(());
        }
        self.files.push(file);
        self.relieve().await
    }

    /// Encodes the largest waiting rows while there are too many of them.
    async fn relieve(&mut self) -> Result<(), WriteError> {
        while self.files.iter().map(|file| file.encoder.waiting_bytes()).sum::<usize>() > PENDING_BYTES_MAX {
            let largest = (0..self.files.len()).max_by_key(|at| self.files[*at].encoder.waiting_bytes());
            let Some(at) = largest else { break };
            let file = self.files.remove(at);
            let file = self.target.encode(file).await?;
            self.files.insert(at, file);
        }
        Ok(())
    }

    /// Ends all files. They are durable when this returns.
    pub async fn finish(mut self) -> Result<Vec<Add>, WriteError> {
        let target = &self.target;
        // All at once: each waits for the disk at its end.
        self.done.extend(try_join_all(self.files.into_iter().map(|file| target.close(file))).await?);
        Ok(self.done)
    }
}

/// What is done to one file. (Not a matter of [`Sink`]: an upload cannot be looked at by two threads at once.)
impl Target {
    fn conform(&self, batch: DayBatch) -> Result<RecordBatch, WriteError> {
        conform(&batch.rows, &self.schema).map_err(|source| WriteError::Encode {
            table: self.definition.table,
            date: batch.date,
            source: source.into(),
        })
    }

    fn open(&self, date: Date) -> Result<OpenFile, WriteError> {
        let failed = |source| WriteError::Encode { table: self.definition.table, date, source };
        let encoder = FileEncoder::new(date, Arc::clone(&self.schema), &self.definition).map_err(failed)?;
        // Names are never used twice: a file that a failed attempt left behind is never mistaken for another.
        let name = format!("part-{}.zstd.parquet", uuid::Uuid::now_v7());
        let path = Path::from_iter([format!("{DATE}={date}"), name]);
        Ok(OpenFile { encoder, path, upload: None })
    }

    async fn encode(&self, mut file: OpenFile) -> Result<OpenFile, WriteError> {
        (file.encoder, _) = self.off_thread(file.encoder, FileEncoder::encode).await?;
        if file.encoder.encoded_bytes() >= PART_BYTES {
            self.upload(&mut file).await?;
        }
        Ok(file)
    }

    async fn upload(&self, file: &mut OpenFile) -> Result<(), WriteError> {
        let bytes = file.encoder.take_bytes();
        let failed = |source| WriteError::Store { table: self.definition.table, path: file.path.clone(), source };
        let upload = match &mut file.upload {
            Some(upload) => upload,
            None => file.upload.insert(self.store.put_multipart(&file.path).await.map_err(failed)?),
        };
        upload.put_part(bytes.into()).await.map_err(failed)
    }

    async fn close(&self, file: OpenFile) -> Result<Add, WriteError> {
        let OpenFile { encoder, path, upload } = file;
        let (encoder, (metadata, rows)) = self.off_thread(encoder, FileEncoder::finish).await?;
        let mut file = OpenFile { encoder, path, upload };
        let failed =
            |path: &Path, source| WriteError::Store { table: self.definition.table, path: path.clone(), source };
        if file.upload.is_some() {
            self.upload(&mut file).await?;
        }
        match &mut file.upload {
            Some(upload) => {
                upload.complete().await.map_err(|source| failed(&file.path, source))?;
            }
            None => {
                let bytes = file.encoder.take_bytes();
                let put = self.store.put(&file.path, bytes.into()).await;
                put.map_err(|source| failed(&file.path, source))?;
            }
        }
        Ok(self.add(&file, &metadata, rows))
    }

    fn add(&self, file: &OpenFile, metadata: &ParquetMetaData, rows: usize) -> Add {
        Add {
            path: file.path.to_string(),
            size: file.encoder.encoded_bytes() as i64,
            partition_values: [(DATE.to_owned(), Some(file.encoder.date.to_string()))].into(),
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: self.data_change,
            stats: Some(statistics(&self.definition, metadata, rows)),
            ..Add::default()
        }
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        mut encoder: FileEncoder,
        work: fn(&mut FileEncoder) -> Result<T, ParquetError>,
    ) -> Result<(FileEncoder, T), WriteError> {
        let table = self.definition.table;
        let date = encoder.date;
        let done = tokio::task::spawn_blocking(move || work(&mut encoder).map(|value| (encoder, value))).await;
        done.map_err(|_| WriteError::Stopped { table })?.map_err(|source| WriteError::Encode { table, date, source })
    }
}

/// A [`Sink`] in a task of its own: it encodes and writes while its owner makes the next rows. At most
/// [`QUEUED_BATCHES_MAX`] batches wait; then `push` does.
pub struct TableWriter {
    table: TableName,
    batches: mpsc::Sender<DayBatch>,
    task: JoinHandle<Result<Vec<Add>, WriteError>>,
}

impl TableWriter {
    pub fn start(target: Target) -> TableWriter {
        let table = target.definition.table;
        let (batches, mut queue) = mpsc::channel::<DayBatch>(QUEUED_BATCHES_MAX);
        let task = tokio::spawn(async move {
            let mut sink = Sink::new(target);
            while let Some(batch) = queue.recv().await {
                sink.push(batch).await?;
            }
            sink.finish().await
        });
        TableWriter { table, batches, task }
    }

    /// Fails only if the writer has; [`TableWriter::finish`] then tells why.
    pub async fn push(&self, batch: DayBatch) -> Result<(), WriteError> {
        self.batches.send(batch).await.map_err(|_| WriteError::Stopped { table: self.table })
    }

    /// [`TableWriter::push`] for a thread that is not async.
    pub fn push_blocking(&self, batch: DayBatch) -> Result<(), WriteError> {
        self.batches.blocking_send(batch).map_err(|_| WriteError::Stopped { table: self.table })
    }

    /// The files that were written; they are durable, and belong to nobody until they are committed.
    pub async fn finish(self) -> Result<Vec<Add>, WriteError> {
        drop(self.batches);
        self.task.await.map_err(|_| WriteError::Stopped { table: self.table })?
    }
}
