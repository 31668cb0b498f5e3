//! Input files: plain, gzip or zstd by their first bytes, or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::telemetry::progress::Progress;

const BUFFER_BYTES: usize = 128 * 1024;

/// `-` stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The bytes of all files; nothing if one of them does not tell.
pub fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    let mut total = 0;
    for file in files {
        let about = std::fs::metadata(file).ok().filter(|about| about.is_file() && !is_stdin(file))?;
        total += about.len();
    }
    Some(total)
}

/// The bytes as they lie there.
pub fn raw(path: &Path) -> io::Result<Box<dyn Read>> {
    Ok(if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path)?) })
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

/// Unpacks what the first bytes say is packed; `progress` counts the bytes as they lie there.
pub fn unpack<'a>(raw: impl Read + 'a, progress: &'a Progress) -> io::Result<Box<dyn BufRead + 'a>> {
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
