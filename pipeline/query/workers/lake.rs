//! The lake under a name that every machine knows: where it lies on each is that machine's own.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::query::QueryError;

/// Plans name files below it, and so can name nothing outside of the lake.
pub(in crate::query) const LAKE: &str = "callweave-lake://lake";

/// The files below `root`, a `file://` URL.
pub(in crate::query) fn of_lake(root: &Url) -> Result<Arc<dyn ObjectStore>, QueryError> {
    let folder = root.to_file_path().map_err(|()| DataFusionError::Plan(format!("{root} is no folder")));
    let store = folder.and_then(|folder| Ok(LocalFileSystem::new_with_prefix(folder)?));
    Ok(Arc::new(store.map_err(QueryError::engine)?))
}

/// What a worker can read: the lake, and no other file of its machine.
#[derive(Debug)]
pub(super) struct OnlyLake(pub Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OnlyLake {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match url.as_str().trim_end_matches('/') {
            LAKE => Ok(Arc::clone(&self.0)),
            other => exec_err!("a worker reads its lake alone, not {other}"),
        }
    }
}
