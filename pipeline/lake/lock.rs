//! Who alone may go on from a state: a lock that the kernel lets go when its process ends, however it does.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::Lake;
use super::state::FOLDER;

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "another `callweave {name}`{} works on this lake, and both would go on from the same state: wait until it is over, then \
         start this one again (it holds {path})", holder(.pid)
    )]
    Held { name: String, path: PathBuf, pid: Option<u32> },
    #[error("the lock {path} cannot be taken: {source}; check who may write to the lake")]
    Io { path: PathBuf, source: io::Error },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lake {
    /// Takes the lock of a state, `_state/NAME.lock`. Nothing where the lake is no folder of this machine, or its file system has
    /// no locks: then states are only kept from each other when they are written ([`super::StateStore::put_next`]).
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self, name: &str) -> Result<Option<Lock>, LockError> {
        let Ok(root) = self.url().to_file_path() else { return Ok(None) };
        let folder = root.join(FOLDER);
        let path = folder.join(format!("{name}.lock"));
        let failed = |source| LockError::Io { path: path.clone(), source };
        super::durable::create_folders(&folder).map_err(failed)?;
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // It only makes the message clearer.
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Held { name: name.to_owned(), path, pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, path = %path.display(), "no locks here: see that no two bounded jobs run at once");
                return Ok(None);
            }
        }
        let told = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        if let Err(error) = told.and_then(|_| write!(file, "{}", std::process::id())) {
            tracing::warn!(%error, path = %path.display(), "a second process will not be told who holds the lock");
        }
        Ok(Some(Lock { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_by_one_and_let_go() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let lake = Lake::open(&folder.path().to_string_lossy()).await?;
        let held = lake.lock("run")?;
        assert!(held.is_some());
        let refused = lake.lock("run").expect_err("held");
        assert!(matches!(&refused, LockError::Held { pid, .. } if *pid == Some(std::process::id())), "{refused}");
        assert!(refused.to_string().contains("wait until it is over"), "{refused}");
        assert!(lake.lock("other")?.is_some());
        assert!(lake.state().sequences("run").await?.is_empty(), "no state");
        drop(held);
        assert!(lake.lock("run")?.is_some());
        Ok(())
    }
}
