//! The lake's storage on a local disk: an [`ObjectStore`] that acknowledges only what survives a power cut.
//! (object_store's own local store never calls fsync.)

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::durable::{Mode, Staged, sync_folder};

/// Rooted at `/`, as deltalake wants the store of a `file://` URL. Reads are object_store's own.
#[derive(Debug, Default)]
pub struct DurableStore {
    local: LocalFileSystem,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
struct Failed {
    path: PathBuf,
    source: io::Error,
}

fn failed(path: PathBuf, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: path.to_string_lossy().into_owned(), source: source.into() }
        }
        _ => Error::Generic { store: "DurableStore", source: Box::new(Failed { path, source }) },
    }
}

/// Runs what blocks off the async threads, where there are any.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?,
        Err(_) => work(),
    }
}

fn refuse_attributes(empty: bool) -> Result<()> {
    if empty {
        return Ok(());
    }
    Err(Error::NotImplemented { operation: "a put with attributes".into(), implementer: "DurableStore".into() })
}

impl fmt::Display for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableStore({})", self.local)
    }
}

#[async_trait]
impl ObjectStore for DurableStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        refuse_attributes(opts.attributes.is_empty())?;
        let mode = match opts.mode {
            PutMode::Create => Mode::Create,
            PutMode::Overwrite => Mode::Overwrite,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "a put with PutMode::Update".into(),
                    implementer: "DurableStore".into(),
                });
            }
        };
        let path = self.local.path_to_filesystem(location)?;
        blocking(move || {
            let put = || {
                if mode == Mode::Create && path.exists() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                let mut staged = Staged::new(&path)?;
                payload.iter().try_for_each(|chunk| staged.write(chunk))?;
                staged.publish(mode)
            };
            put().map_err(|error| failed(path.clone(), error))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refuse_attributes(opts.attributes.is_empty())?;
        let path = self.local.path_to_filesystem(location)?;
        let staged = blocking({
            let path = path.clone();
            move || Staged::new(&path).map_err(|error| failed(path, error))
        })
        .await?;
        Ok(Box::new(Upload { path, staged: Arc::new(Mutex::new(Some(staged))), offset: 0 }))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.local.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.local.rename_opts(from, to, options).await?;
        self.sync(to).await?;
        self.sync_parent(from).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.local.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.local.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.local.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.local.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.local.list_with_delimiter(prefix).await
    }
}

impl DurableStore {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.local.path_to_filesystem(location)?;
        blocking(move || std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(|e| failed(path, e)))
            .await?;
        self.sync_parent(location).await
    }

    async fn sync_parent(&self, location: &Path) -> Result<()> {
        let path = self.local.path_to_filesystem(location)?;
        blocking(move || path.parent().map_or(Ok(()), sync_folder).map_err(|error| failed(path.clone(), error))).await
    }
}

/// A file that is written in parts; they may be written at once.
#[derive(Debug)]
struct Upload {
    path: PathBuf,
    /// Nothing once published, given up or failed.
    staged: Arc<Mutex<Option<Staged>>>,
    offset: u64,
}

impl Upload {
    fn closed() -> io::Error {
        io::Error::other("the upload has ended, or a part of it failed")
    }

    fn take(staged: &Mutex<Option<Staged>>) -> Option<Staged> {
        staged.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (shared, path, mut offset) = (Arc::clone(&self.staged), self.path.clone(), self.offset);
        self.offset += data.content_length() as u64;
        Box::pin(blocking(move || {
            let mut staged = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let mut write = || {
                let file = staged.as_mut().ok_or_else(Upload::closed)?;
                for chunk in data.iter() {
                    file.write_at(offset, chunk)?;
                    offset += chunk.len() as u64;
                }
                Ok(())
            };
            let result = write();
            if result.is_err() {
                *staged = None;
            }
            result.map_err(|error| failed(path, error))
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (shared, path) = (Arc::clone(&self.staged), self.path.clone());
        blocking(move || {
            let staged = Upload::take(&shared).ok_or_else(Upload::closed);
            staged.and_then(|staged| staged.publish(Mode::Overwrite)).map_err(|error| failed(path, error))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.staged);
        blocking(move || {
            drop(Upload::take(&shared));
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn what_is_put_is_read_and_created_once() -> Result<()> {
        let dir = tempfile::tempdir().map_err(|error| failed(PathBuf::new(), error))?;
        let store = DurableStore::default();
        let at = |name: &str| Path::from_filesystem_path(dir.path()).map(|root| root.join(name));
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };

        store.put_opts(&at("log")?, "one".into(), create.clone()).await?;
        let again = store.put_opts(&at("log")?, "two".into(), create).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        store.put(&at("log")?, "three".into()).await?;
        assert_eq!(store.get(&at("log")?).await?.bytes().await?, "three");

        let mut upload = store.put_multipart(&at("data")?).await?;
        let (first, second) = (upload.put_part("abc".into()), upload.put_part("defg".into()));
        second.await?;
        first.await?;
        assert!(store.head(&at("data")?).await.is_err(), "not visible before it is complete");
        upload.complete().await?;
        assert_eq!(store.get(&at("data")?).await?.bytes().await?, "abcdefg");

        store.copy_if_not_exists(&at("data")?, &at("copy")?).await?;
        store.rename(&at("copy")?, &at("moved")?).await?;
        let names = store.list_with_delimiter(Some(&at("")?)).await?.objects;
        assert_eq!(names.len(), 3, "{names:?}");
        Ok(())
    }
}
