//! A file that another program writes: its lines as they come, also across rotation and restarts.
//!
//! What was read is remembered as the file's identity (device and inode), how far it was read, and a hash of its
//! beginning. A file that was renamed is read to its end before the new one of its name; one that was emptied in place
//! (`copytruncate`), or replaced by another with the same inode, is known by its beginning and read from there.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that are read at once; a line that is longer is no line of a call record, and comes in parts.
const CHUNK_BYTES: usize = 1 << 20;
/// A file is known by so many bytes of its beginning, or as many as were read.
const HEAD_BYTES: u64 = 1024;
/// Bytes before a position that are read again after a restart: calls of hours, on all but the busiest systems.
const BEFORE_BYTES: u64 = 256 << 10;
/// Files of the folder that are looked through for one that was renamed.
const SIBLINGS_MAX: usize = 10_000;

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    device: u64,
    inode: u64,
    offset: u64,
    head_bytes: u64,
    head_hash: u64,
}

/// Lines that were read.
#[derive(Debug)]
pub struct Chunk {
    /// Without their ends.
    pub lines: Vec<Vec<u8>>,
    /// Where reading goes on once they are taken.
    pub next: Position,
    /// The file of these lines has ended: it was renamed, and the next lines are of another.
    pub ended: bool,
}

pub struct Tail {
    path: PathBuf,
    memory: PathBuf,
    position: Option<Position>,
    file: Option<File>,
}

impl Tail {
    /// Follows `path`; `memory` is the file that remembers how far it was read.
    ///
    /// # Errors
    /// What is remembered cannot be read.
    pub fn open(path: PathBuf, memory: PathBuf) -> io::Result<Tail> {
        let position = match fs::read(&memory) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(io::Error::other)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Tail { path, memory, position, file: None })
    }

    /// The next lines; nothing where there are none yet.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn next(&mut self) -> io::Result<Option<Chunk>> {
        // Looked at before the file is read to its end: what is written until then is read, too.
        let current = fs::metadata(&self.path);
        let current = match current {
            Ok(about) => Some((about.dev(), about.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some((file, position)) = self.file()? else { return Ok(None) };
        let mut bytes = vec![0; CHUNK_BYTES];
        let read = read_at(&file, &mut bytes, position.offset)?;
        bytes.truncate(read);
        let replaced = current.is_some_and(|current| current != (position.device, position.inode));
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (taken, ended) = match whole {
            // Nobody ends a last line any more whose file has a successor.
            0 if replaced => (bytes.len(), true),
            0 if bytes.len() == CHUNK_BYTES => (bytes.len(), false),
            0 => {
                // Where it is renamed next, it is still at hand.
                self.file = Some(file);
                return Ok(None);
            }
            whole => (whole, false),
        };
        bytes.truncate(taken);
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        let offset = position.offset + taken as u64;
        let next = match (ended, current) {
            (true, Some((device, inode))) => Position { device, inode, offset: 0, head_bytes: 0, head_hash: 0 },
            _ => {
                let head_bytes = offset.min(HEAD_BYTES);
                Position { offset, head_bytes, head_hash: head_of(&file, head_bytes)?, ..position }
            }
        };
        self.file = (!ended).then_some(file);
        Ok(Some(Chunk { lines, next, ended }))
    }

    /// The last lines before what comes next, of a file that was read before: who puts calls together of lines needs
    /// them to go on in the midst of a call.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn before(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let Some((file, position)) = self.file()? else { return Ok(Vec::new()) };
        let from = position.offset.saturating_sub(BEFORE_BYTES);
        let mut bytes = vec![0; (position.offset - from) as usize];
        let read = read_at(&file, &mut bytes, from)?;
        self.file = Some(file);
        bytes.truncate(read);
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        if from > 0 && !lines.is_empty() {
            // The first begins somewhere before.
            lines.remove(0);
        }
        let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The lines up to here are taken, and never come again.
    ///
    /// # Errors
    /// That cannot be remembered: after a restart they come again, with the same ids.
    pub fn done(&mut self, next: Position) -> io::Result<()> {
        self.position = Some(next);
        let text = serde_json::to_vec(&next).map_err(io::Error::other)?;
        let partial = self.memory.with_extension("partial");
        if let Some(folder) = self.memory.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&partial, text)?;
        fs::rename(&partial, &self.memory)
    }

    /// The file to read, and from where.
    fn file(&mut self) -> io::Result<Option<(File, Position)>> {
        if let Some(position) = self.position {
            let open = match self.file.take() {
                Some(file) => Some(file),
                None => self.found(position)?,
            };
            if let Some(file) = open {
                let about = file.metadata()?;
                let same = about.len() >= position.offset && head_of(&file, position.head_bytes)? == position.head_hash;
                let position = if same { position } else { beginning(&file)? };
                self.position = Some(position);
                return Ok(Some((file, position)));
            }
        }
        match File::open(&self.path) {
            Ok(file) => {
                let position = beginning(&file)?;
                self.position = Some(position);
                Ok(Some((file, position)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that was read last, under its name or the one it has now.
    fn found(&self, position: Position) -> io::Result<Option<File>> {
        let is_it = |path: &Path| {
            fs::metadata(path).is_ok_and(|about| (about.dev(), about.ino()) == (position.device, position.inode))
        };
        if is_it(&self.path) {
            return File::open(&self.path).map(Some);
        }
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(None) };
        for entry in fs::read_dir(folder)?.take(SIBLINGS_MAX) {
            let entry = entry?;
            // Those who rotate put something behind the name.
            let related = entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes());
            if related && is_it(&entry.path()) {
                return File::open(entry.path()).map(Some);
            }
        }
        Ok(None)
    }
}

fn beginning(file: &File) -> io::Result<Position> {
    let about = file.metadata()?;
    Ok(Position { device: about.dev(), inode: about.ino(), offset: 0, head_bytes: 0, head_hash: head_of(file, 0)? })
}

fn head_of(file: &File, bytes: u64) -> io::Result<u64> {
    let mut head = vec![0; bytes.min(HEAD_BYTES) as usize];
    let read = read_at(file, &mut head, 0)?;
    if bytes == 0 { Ok(0) } else { Ok(xxh3_64(&head[..read])) }
}

/// Fills `to` as far as the file reaches.
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < to.len() {
        match file.read_at(&mut to[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Place {
        folder: tempfile::TempDir,
        tail: Tail,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().expect("a folder");
            let tail = Tail::open(folder.path().join("Master.csv"), folder.path().join("memory/x.json"));
            Place { tail: tail.expect("nothing is remembered"), folder }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("Master.csv")
        }

        fn write(&self, text: &str) {
            let mut file = File::options().append(true).create(true).open(self.path()).expect("a file");
            file.write_all(text.as_bytes()).expect("room");
        }

        fn restart(&mut self) {
            let tail = Tail::open(self.path(), self.folder.path().join("memory/x.json"));
            self.tail = tail.expect("what is remembered");
        }

        /// All lines that are there now.
        fn lines(&mut self) -> Vec<String> {
            let mut lines = Vec::new();
            while let Some(chunk) = self.tail.next().expect("it can be read") {
                lines.extend(chunk.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
                self.tail.done(chunk.next).expect("it can be remembered");
            }
            lines
        }
    }

    #[test]
    fn lines_come_once_whatever_happens_to_the_file() {
        for restarting in [false, true] {
            let mut place = Place::new();
            let lines = |place: &mut Place| {
                if restarting {
                    place.restart();
                }
                place.lines()
            };
            assert!(lines(&mut place).is_empty(), "there is no file yet");
            place.write("one\r\ntwo\nthr");
            assert_eq!(lines(&mut place), ["one", "two"], "a last line that is not whole waits");
            place.write("ee\n\nfour");
            assert_eq!(lines(&mut place), ["three"]);
            // Renamed, and more written to it before the new one begins.
            fs::rename(place.path(), place.folder.path().join("Master.csv.1")).expect("a new name");
            assert!(lines(&mut place).is_empty());
            place.write("five\n");
            assert_eq!(lines(&mut place), ["four", "five"], "what has a successor is whole");
            // Emptied in place, and already longer than before.
            fs::copy(place.path(), place.folder.path().join("Master.csv.2")).expect("a copy");
            fs::write(place.path(), "six\nseven\n").expect("the same file");
            assert_eq!(lines(&mut place), ["six", "seven"]);
            fs::write(place.path(), "").expect("the same file");
            assert!(lines(&mut place).is_empty());
            place.write("eight\n");
            assert_eq!(lines(&mut place), ["eight"]);
        }
    }

    #[test]
    fn what_was_not_taken_comes_again() {
        let mut place = Place::new();
        place.write("one\ntwo\n");
        let chunk = place.tail.next().expect("a file").expect("lines");
        assert_eq!((chunk.lines.len(), chunk.ended), (2, false));
        place.restart();
        assert!(place.tail.before().expect("a file").is_empty());
        assert_eq!(place.lines(), ["one", "two"]);
        place.restart();
        place.write("three\n");
        assert_eq!(place.tail.before().expect("a file"), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(place.lines(), ["three"]);
    }

    #[test]
    fn long_files_come_in_parts() {
        let mut place = Place::new();
        let line = "x".repeat(99) + "\n";
        place.write(&line.repeat(30_000));
        assert_eq!(place.lines().len(), 30_000);
        place.write(&"y".repeat(2 * CHUNK_BYTES + 7));
        assert_eq!(place.lines().iter().map(String::len).collect::<Vec<_>>(), [CHUNK_BYTES, CHUNK_BYTES]);
    }
}
