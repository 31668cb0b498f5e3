//! Snapshots of the join's state: `_state/NAME/SEQUENCE` under the lake's root.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::error::StateError;
use super::limits::SNAPSHOTS_KEPT;

pub(super) const FOLDER: &str = "_state";

/// Keeps the newest [`SNAPSHOTS_KEPT`] snapshots of each name: one that cannot be read has others before it.
#[derive(Debug, Clone)]
pub struct StateStore {
    /// Rooted at the lake's folder.
    store: Arc<dyn ObjectStore>,
}

impl StateStore {
    pub fn new(store: Arc<dyn ObjectStore>) -> StateStore {
        StateStore { store }
    }

    /// Keeps a snapshot. It is durable when this returns; then those of before are deleted but for the last ones.
    pub async fn put(&self, name: &str, sequence: u64, snapshot: Bytes) -> Result<(), StateError> {
        self.put_as(PutMode::Overwrite, name, sequence, snapshot).await
    }

    /// [`put`](StateStore::put), but only where nobody has put one of this sequence.
    ///
    /// # Errors
    /// Somebody has: [`StateError::Taken`].
    pub async fn put_next(&self, name: &str, sequence: u64, snapshot: Bytes) -> Result<(), StateError> {
        self.put_as(PutMode::Create, name, sequence, snapshot).await
    }

    /// Keeps a note that stays for good, only where nobody has put one of this sequence.
    ///
    /// # Errors
    /// As [`put_next`](StateStore::put_next).
    pub async fn note(&self, name: &str, sequence: u64, note: Bytes) -> Result<(), StateError> {
        self.write(PutMode::Create, &path(name, sequence)?, note).await
    }

    async fn write(&self, mode: PutMode, path: &Path, bytes: Bytes) -> Result<(), StateError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(StateError::Taken { path: path.clone() }),
            Err(source) => Err(StateError::Store { path: path.clone(), source }),
        }
    }

    async fn put_as(&self, mode: PutMode, name: &str, sequence: u64, snapshot: Bytes) -> Result<(), StateError> {
        self.write(mode, &path(name, sequence)?, snapshot).await?;
        for old in self.sequences(name).await?.into_iter().skip(SNAPSHOTS_KEPT) {
            self.delete(name, old).await?;
        }
        Ok(())
    }

    /// The sequences of all snapshots of `name`, newest first.
    pub async fn sequences(&self, name: &str) -> Result<Vec<u64>, StateError> {
        let folder = folder(name)?;
        let found: Result<Vec<_>, _> = self.store.list(Some(&folder)).try_collect().await;
        let found = found.map_err(|source| StateError::Store { path: folder, source })?;
        let mut sequences: Vec<u64> = found.iter().filter_map(|meta| meta.location.filename()?.parse().ok()).collect();
        sequences.sort_unstable_by(|a, b| b.cmp(a));
        Ok(sequences)
    }

    pub async fn get(&self, name: &str, sequence: u64) -> Result<Bytes, StateError> {
        let path = path(name, sequence)?;
        let read = async { self.store.get(&path).await?.bytes().await };
        read.await.map_err(|source| StateError::Store { path, source })
    }

    /// The first bytes of a snapshot, so many at most.
    pub async fn beginning(&self, name: &str, sequence: u64, bytes: u64) -> Result<Bytes, StateError> {
        let path = path(name, sequence)?;
        let read = async {
            // Of an empty one no range can be had.
            match self.store.head(&path).await?.size.min(bytes) {
                0 => Ok(Bytes::new()),
                bytes => self.store.get_range(&path, 0..bytes).await,
            }
        };
        read.await.map_err(|source| StateError::Store { path, source })
    }

    /// Where a snapshot lies below the lake's folder, for people.
    pub fn path_of(name: &str, sequence: u64) -> String {
        format!("{FOLDER}/{name}/{sequence:020}")
    }

    /// Deletes a snapshot; one that is not there is deleted already.
    pub async fn delete(&self, name: &str, sequence: u64) -> Result<(), StateError> {
        let path = path(name, sequence)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(StateError::Store { path, source }),
        }
    }

    /// The newest snapshot that `read` accepts. One that it refuses is reported, and the one before is taken; it
    /// stays where it is, for whoever wants to look into it, until newer ones push it out.
    pub async fn newest<T, E: std::fmt::Display>(
        &self,
        name: &str,
        mut read: impl FnMut(u64, Bytes) -> Result<T, E>,
    ) -> Result<Option<(u64, T)>, StateError> {
        for sequence in self.sequences(name).await? {
            match read(sequence, self.get(name, sequence).await?) {
                Ok(state) => return Ok(Some((sequence, state))),
                Err(error) => {
                    tracing::warn!(name, sequence, %error, "a snapshot cannot be used, and the one before is taken");
                }
            }
        }
        Ok(None)
    }
}

fn folder(name: &str) -> Result<Path, StateError> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if good { Ok(Path::from_iter([FOLDER, name])) } else { Err(StateError::Name { name: name.to_owned() }) }
}

fn path(name: &str, sequence: u64) -> Result<Path, StateError> {
    Ok(folder(name)?.join(format!("{sequence:020}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_good_snapshot_is_taken() -> Result<(), StateError> {
        let state = StateStore::new(Arc::new(object_store::memory::InMemory::new()));
        let read = |_, bytes: Bytes| if bytes.starts_with(b"bad") { Err("its hash differs") } else { Ok(bytes) };
        assert_eq!(state.newest("p0", read).await?, None);
        for (sequence, bytes) in [(5, "a"), (9, "b"), (10, "c"), (200, "d"), (1000, "bad")] {
            state.put("p0", sequence, bytes.into()).await?;
        }
        state.put("p1", 7, "other".into()).await?;
        assert_eq!(state.sequences("p0").await?, [1000, 200, 10]);
        assert_eq!(state.newest("p0", read).await?, Some((200, "d".into())));
        state.delete("p0", 200).await?;
        state.delete("p0", 200).await?;
        assert_eq!(state.newest("p0", read).await?, Some((10, "c".into())));
        let again = state.put_next("p0", 10, "theirs".into()).await;
        assert!(matches!(again, Err(StateError::Taken { .. })), "{again:?}");
        assert!(again.is_err_and(|error| error.to_string().contains(&StateStore::path_of("p0", 10))));
        assert_eq!(state.get("p0", 10).await?, "c");
        assert_eq!(state.beginning("p0", 1000, 2).await?, "ba");
        assert_eq!(state.beginning("p0", 1000, 20).await?, "bad");
        state.put_next("p0", 1001, "e".into()).await?;
        for number in 0..5 {
            state.note("logs", number, "n".into()).await?;
        }
        assert!(matches!(state.note("logs", 3, "m".into()).await, Err(StateError::Taken { .. })));
        assert_eq!(state.sequences("logs").await?, [4, 3, 2, 1, 0]);
        assert_eq!(state.newest("p0", read).await?, Some((1001, "e".into())));
        assert!(matches!(state.get("../p0", 1).await, Err(StateError::Name { .. })));
        Ok(())
    }
}
