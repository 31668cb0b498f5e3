//! Files, gzip or zstd or neither, and their lines, in bounded memory.

use std::io::{self, BufRead};
use std::path::Path;

use super::{ImportError, Progress, Run};
use crate::files;

/// A line of more bytes than this is no line that anybody wrote on purpose.
pub(super) const LINE_BYTES_MOST: usize = 1024 * 1024;

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

/// What Windows begins a text in UTF-16 with, in either order of bytes.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Opens a file, which messages call `name`. One in UTF-16 is refused at once: each of its lines would be.
pub(super) fn open<'p>(path: &Path, name: &str, progress: &'p Progress) -> Result<Box<dyn BufRead + 'p>, ImportError> {
    let open = || -> io::Result<_> {
        let mut reader = files::unpack(files::raw(path)?, progress)?;
        let is_utf_16 = UTF_16_MARKS.iter().any(|mark| reader.fill_buf().is_ok_and(|begin| begin.starts_with(mark)));
        Ok((reader, is_utf_16))
    };
    match open() {
        Ok((_, true)) => Err(ImportError::Utf16 { file: name.to_owned() }),
        Ok((reader, false)) => Ok(reader),
        Err(source) => Err(ImportError::Open { file: name.to_owned(), source }),
    }
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
            let mut reader = open(path, &file, progress)?;
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
