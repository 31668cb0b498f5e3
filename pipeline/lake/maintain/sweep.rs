//! Staged files that a crash left behind.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::MaintainError;
use crate::lake::Lake;
use crate::lake::limits::STAGED_FILE_DAYS;

impl Lake {
    /// Removes staged files that nobody can be writing any more. Returns how many. A lake in an object store has none.
    pub async fn sweep(&self) -> Result<usize, MaintainError> {
        let Ok(root) = self.url().to_file_path() else { return Ok(0) };
        let failed = |source| MaintainError::Sweep { path: root.clone(), source };
        let folder = root.clone();
        let age = Duration::from_secs(STAGED_FILE_DAYS * 24 * 60 * 60);
        let swept = tokio::task::spawn_blocking(move || sweep(&folder, age)).await;
        swept.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
    }
}

fn sweep(folder: &Path, age: Duration) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            removed += sweep(&entry.path(), age)?;
        } else if is_staged(&name.to_string_lossy())
            && entry.metadata()?.modified()?.elapsed().is_ok_and(|elapsed| elapsed >= age)
        {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// `NAME#DIGITS`, as `durable::Staged` makes it.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_staged_files_go() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("date=2026-11-20"))?;
        for name in ["a.parquet", "b.parquet#12", "date=2026-11-20/c.parquet#3", "d#x"] {
            fs::write(dir.path().join(name), "")?;
        }
        assert_eq!(sweep(dir.path(), Duration::from_secs(3600))?, 0);
        assert_eq!(sweep(dir.path(), Duration::ZERO)?, 2);
        assert!(dir.path().join("d#x").exists() && dir.path().join("a.parquet").exists());
        Ok(())
    }
}
