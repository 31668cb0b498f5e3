//! Files that stay: bytes and names are on disk (fsync) before anybody is told so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::state::FOLDER;

/// Whether a file may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fails with `AlreadyExists` where there is a file.
    Create,
    Overwrite,
}

/// A file under a name that nobody reads (`NAME#DIGITS`: object_store's listings leave such names out), until its
/// bytes are on disk and it can have its own. So no torn file ever stands under a name that means something.
#[derive(Debug)]
pub struct Staged {
    file: Option<File>,
    path: PathBuf,
    dest: PathBuf,
}

impl Staged {
    pub fn new(dest: &Path) -> io::Result<Staged> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let mut path = dest.as_os_str().to_owned();
            path.push(format!("#{}{:09}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed) % 1_000_000_000));
            let path = PathBuf::from(path);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Staged { file: Some(file), path, dest: dest.to_owned() }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let parent = dest.parent().ok_or(error)?;
                    create_folders(parent)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("the file was closed")),
        }
    }

    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
        }
        self.write(bytes)
    }

    /// Gives the file its name. When this returns, it and its name survive a power cut.
    pub fn publish(mut self, mode: Mode) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.sync_all()?;
        }
        match mode {
            Mode::Overwrite => fs::rename(&self.path, &self.dest)?,
            // Unlike a rename, a link never takes the place of another file.
            Mode::Create => fs::hard_link(&self.path, &self.dest)?,
        }
        self.dest.parent().map_or(Ok(()), sync_folder)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is none; after a crash, maintenance removes it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a folder and those above it; when this returns, they survive a power cut.
pub fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent();
    if let Some(parent) = parent {
        create_folders(parent)?;
    }
    // Snapshots hold accounts' settings.
    let made = match path.file_name().is_some_and(|name| name == FOLDER) {
        true => crate::files::private_folder(path),
        false => fs::create_dir(path),
    };
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
        _ => {}
    }
    parent.map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_whole() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let dest = dir.path().join("a/b/file");
        let mut staged = Staged::new(&dest)?;
        staged.write(b"one")?;
        assert!(!dest.exists());
        staged.publish(Mode::Create)?;
        assert_eq!(fs::read(&dest)?, b"one");

        let mut second = Staged::new(&dest)?;
        second.write(b"two")?;
        assert_eq!(second.publish(Mode::Create).map_err(|error| error.kind()), Err(ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&dest)?, b"one");

        let mut third = Staged::new(&dest)?;
        third.write(b"three")?;
        third.publish(Mode::Overwrite)?;
        assert_eq!(fs::read(&dest)?, b"three");
        drop(Staged::new(&dest)?);
        assert_eq!(fs::read_dir(dir.path().join("a/b"))?.count(), 1, "staged files are gone");
        Ok(())
    }
}
