//! Files, gzip or zstd or neither, and their lines, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{ImportError, Progress, Run};

/// A line of more bytes than this is no line that anybody wrote on purpose.
pub(super) const LINE_BYTES_MOST: usize = 1024 * 1024;
const BUFFER_BYTES: usize = 128 * 1024;

pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The bytes of all files; nothing if one of them does not tell.
pub(super) fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    let mut total = 0;
    for file in files {
        let about = std::fs::metadata(file).ok().filter(|about| about.is_file() && !is_stdin(file))?;
        total += about.len();
    }
    Some(total)
}

struct Counted<'a, R> {
    inner: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.advance(read as u64);
        Ok(read)
    }
}

/// Opens a file and unpacks it by its first bytes.
pub(super) fn open<'a>(path: &Path, progress: &'a Progress) -> io::Result<Box<dyn BufRead + 'a>> {
    let raw: Box<dyn Read> = if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut raw = Counted { inner: raw, progress };
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(raw));
    Ok(if gzip {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
    } else if zstd {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::stream::read::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

/// Reads a line into `line`, without its end. False at the end of the file; a line that is too long is cut off, and
/// its rest skipped: then it has one byte more than allowed.
pub(super) fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        any = true;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (LINE_BYTES_MOST + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(any)
}

impl Run<'_> {
    /// Gives the lines of all files, with their numbers, to `each`. Empty lines are skipped, and those that are too
    /// long rejected.
    pub(super) fn each_line(
        &mut self,
        mut each: impl FnMut(&mut Self, u64, &[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let (options, progress) = (self.options, self.progress);
        let mut line = Vec::new();
        for path in &options.files {
            self.turn_to(path);
            let file = self.file.clone();
            let mut reader = open(path, progress).map_err(|source| ImportError::Open { file: file.clone(), source })?;
            let mut number = 0;
            loop {
                match read_line(&mut *reader, &mut line) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(source) => return Err(ImportError::Read { file, line: number, source }),
                }
                number += 1;
                if line.is_empty() {
                    continue;
                }
                self.counts.lines += 1;
                if line.len() > LINE_BYTES_MOST {
                    self.reject(number, "the line is longer than 1 MiB", &line)?;
                } else {
                    each(self, number, &line)?;
                }
            }
        }
        Ok(())
    }
}
