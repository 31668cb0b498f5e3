//! A storage that fails: before it did what it was asked, or after.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use callweave::lake::{CommitError, Committed};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions,
};

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Nothing was put.
    Before,
    /// It was put, and nobody was told.
    After,
}

/// Fails the next `left` puts into a table's log.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn ObjectStore>,
    when: When,
    left: AtomicUsize,
}

impl Failing {
    fn new(when: When) -> Arc<Failing> {
        Arc::new(Failing { inner: local(), when, left: AtomicUsize::new(0) })
    }

    fn fails(&self, location: &Path) -> bool {
        location.as_ref().contains("_delta_log")
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

fn full() -> object_store::Error {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    object_store::Error::Generic { store: "Failing", source: Box::new(source) }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, to: &Path, bytes: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        if !self.fails(to) {
            return self.inner.put_opts(to, bytes, opts).await;
        }
        if self.when == When::After {
            self.inner.put_opts(to, bytes, opts).await?;
        }
        Err(full())
    }
    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, opts).await
    }
    async fn get_opts(&self, from: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(from, options).await
    }
    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(from, ranges).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// Ten rows, with a log that fails `failures` times; then the same call again.
async fn check(when: When, failures: usize, first: Result<Committed, ()>, second: Committed) -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Failing::new(when);
    let lake = open_in(&dir, store.clone()).await?;
    let table = rejected(&lake);
    let adds = table.write(rows("acme", 0, 10)?).await?;
    let marks = [mark("p0", None, 10)];
    store.left.store(failures, Ordering::SeqCst);
    let outcome = table.commit(&adds, &marks).await;
    if let Err(error) = &outcome {
        assert!(matches!(error, CommitError::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
    assert_eq!(outcome.map_err(|_| ()), first, "{when:?} {failures}");
    store.left.store(0, Ordering::SeqCst);
    assert_eq!(table.commit(&adds, &marks).await?, second, "{when:?} {failures}");
    assert_eq!(count(table).await?, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_shows_as_our_own_commit() -> Outcome {
    let before = Committed::Before { version: 1 };
    check(When::After, 1, Ok(before), before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_put_is_tried_again() -> Outcome {
    check(When::Before, 2, Ok(Committed::Now { version: 1 }), Committed::Before { version: 1 }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_stays_away_is_told_and_loses_nothing() -> Outcome {
    check(When::Before, usize::MAX, Err(()), Committed::Now { version: 1 }).await
}
