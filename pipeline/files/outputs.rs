//! Files that results are written to: none of them is one that is read, and no two are one. They are opened with their first
//! bytes, so that what ends earlier (a wrong flag, an input that is not there) leaves them as they were.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::is_stdin;

#[derive(Debug, thiserror::Error)]
#[error("{second} and {first} are one file, {path}, and it would be lost: name another file for {second}")]
pub struct Clash {
    first: String,
    second: String,
    path: PathBuf,
}

const STDOUT: &str = "/dev/stdout";

/// What is written to where `path` is given: `-` is standard output.
pub fn of(path: &Path) -> &Path {
    if path.as_os_str() == "-" { Path::new(STDOUT) } else { path }
}

/// Links to a file that is not there yet are followed so far.
const LINKS_MAX: usize = 40;

/// What makes a file the same as another, whatever paths lead to it.
#[derive(Debug, PartialEq)]
enum Identity {
    /// Device and inode.
    #[cfg(unix)]
    There(u64, u64),
    /// Its folder and its name there.
    NotYet(PathBuf, std::ffi::OsString),
    #[cfg(not(unix))]
    There(PathBuf),
}

#[cfg(unix)]
fn there(_: &Path, about: &fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity::There(about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn there(path: &Path, _: &fs::Metadata) -> Option<Identity> {
    path.canonicalize().ok().map(Identity::There)
}

/// Nothing for what is no file (a device, a pipe, a folder): it may be named twice. Nor where it cannot be told.
fn identity(path: &Path) -> Option<Identity> {
    if let Ok(about) = fs::metadata(path) {
        return about.is_file().then(|| there(path, &about)).flatten();
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Some(Identity::NotYet(folder.canonicalize().ok()?, path.file_name()?.to_owned())),
        }
    }
    None
}

/// Looks whether an output, each with what it is called by, is an input or another output. No path is standard output, as
/// `-` is, and `-` among the inputs standard input.
///
/// # Errors
/// Two are one file.
pub fn apart<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    outputs: &[(&str, Option<&'a Path>)],
) -> Result<(), Clash> {
    let input = |path: &'a Path| match is_stdin(path) {
        true => ("standard input".to_owned(), Path::new("/dev/stdin")),
        false => (format!("the input {}", path.display()), path),
    };
    let mut held: Vec<(String, Identity)> = Vec::new();
    held.extend(inputs.into_iter().map(input).filter_map(|(name, path)| Some((name, identity(path)?))));
    for (name, given) in outputs {
        let path = given.map_or(Path::new(STDOUT), of);
        let Some(found) = identity(path) else { continue };
        if let Some((first, _)) = held.iter().find(|(_, other)| *other == found) {
            return Err(Clash { first: first.clone(), second: (*name).to_owned(), path: path.to_owned() });
        }
        held.push(((*name).to_owned(), found));
    }
    Ok(())
}

/// A file that is made, or emptied, with the first bytes that are written, or where nothing comes when it is flushed.
pub struct Late {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Late {
    pub fn new(path: &Path) -> Late {
        Late { path: of(path).to_owned(), file: None }
    }

    fn file(&mut self) -> io::Result<&mut BufWriter<File>> {
        if self.file.is_none() {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
            self.file = Some(BufWriter::new(File::create(&self.path).map_err(named)?));
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() { Ok(0) } else { self.file()?.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_what_they_are() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "")?;
        fs::write(at("b"), "")?;
        fs::create_dir(at("folder"))?;
        fs::hard_link(at("a"), at("hard"))?;
        #[cfg(unix)]
        for (target, link) in [("a", "soft"), ("new", "dangling"), ("loop", "loop")] {
            std::os::unix::fs::symlink(target, at(link))?;
        }
        for (inputs, outputs, clash) in [
            (&["a"][..], &["b"][..], None),
            (&["b", "a"], &["folder/../a"], Some(("out0", "the input"))),
            (&["a"], &["hard"], Some(("out0", "the input"))),
            (&["a"], &["soft"], Some(("out0", "the input"))),
            (&["a"], &["new", "other"], None),
            (&["a"], &["new", "./new"], Some(("out1", "out0"))),
            (&["a"], &["new", "folder/../dangling"], Some(("out1", "out0"))),
            (&["a"], &["new", "folder/new"], None),
            (&["a"], &["nowhere/new", "nowhere/new", "loop", "loop"], None),
            (&["a", "a"], &["b"], None),
            (&["/dev/null"], &["/dev/null", "/dev/null"], None),
        ] {
            let inputs: Vec<PathBuf> = inputs.iter().map(|name| at(name)).collect();
            let paths: Vec<(String, PathBuf)> =
                outputs.iter().enumerate().map(|(place, name)| (format!("out{place}"), at(name))).collect();
            let outputs: Vec<(&str, Option<&Path>)> =
                paths.iter().map(|(name, path)| (name.as_str(), Some(path.as_path()))).collect();
            let found = apart(inputs.iter().map(PathBuf::as_path), &outputs).err();
            let found = found.as_ref().map(|it| (it.second.as_str(), it.first.as_str()));
            let as_told = match (found, clash) {
                (Some((second, first)), Some((out, of))) => second == out && first.starts_with(of),
                (found, clash) => found == clash,
            };
            assert!(as_told, "{inputs:?} {outputs:?}: {found:?}");
        }
        Ok(())
    }

    #[test]
    fn a_late_file_stays_as_it_was_until_there_is_something_to_write() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("out");
        fs::write(&path, "before")?;
        let mut late = Late::new(&path);
        late.write_all(b"")?;
        drop(late);
        assert_eq!(fs::read(&path)?, b"before");
        let mut late = Late::new(&path);
        late.write_all(b"after")?;
        late.flush()?;
        assert_eq!(fs::read(&path)?, b"after");
        Late::new(&path).flush()?;
        assert_eq!(fs::read(&path)?, b"", "nothing came, and all went well");
        let lost = Late::new(&dir.path().join("none/out")).flush().expect_err("no folder");
        assert!(lost.to_string().contains("none/out"), "{lost}");
        Ok(())
    }
}
