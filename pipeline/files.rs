//! Input files: plain, gzip or zstd by their first bytes, or standard input. [`outputs`] are written beside them.

pub mod outputs;

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

/// Whether a file can be read a second time: a pipe gives what it has once.
pub fn is_kept(path: &Path) -> bool {
    !is_stdin(path) && std::fs::metadata(path).is_ok_and(|about| about.is_file())
}

/// Looks whether all files are there. What is no file, such as a pipe, is not opened: its writer would take that for the reader.
///
/// # Errors
/// The first that is not, and why it cannot be opened.
pub fn find(files: &[PathBuf]) -> Result<(), (&Path, io::Error)> {
    for path in files.iter().filter(|path| !is_stdin(path)) {
        let look = || {
            let about = std::fs::metadata(path)?;
            match about.is_dir() {
                true => Err(io::ErrorKind::IsADirectory.into()),
                false if about.is_file() => File::open(path).map(drop),
                false => Ok(()),
            }
        };
        look().map_err(|error| (path.as_path(), error))?;
    }
    Ok(())
}

/// Makes a folder whose files hold secrets, unless it is there: others of this machine do not see into it (mode 0700). The folders above it
/// are as usual.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => Err(error),
        _ => Ok(()),
    }
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

/// Some programs on Windows begin a text with it.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Unpacks what the first bytes say is packed, and passes over a byte order mark; `progress` counts the bytes as they lie there.
pub fn unpack<'a>(raw: impl Read + 'a, progress: &'a Progress) -> io::Result<Box<dyn BufRead + 'a>> {
    let mut raw = Counted { inner: raw, progress };
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(raw));
    let mut text: Box<dyn BufRead + 'a> = if gzip {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(whole)))
    } else if zstd {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::stream::read::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    };
    if text.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        text.consume(BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn read(bytes: &[u8]) -> String {
        let progress = Progress::silent();
        let mut text = String::new();
        unpack(bytes, &progress).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_are_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (there, gone) = (folder.path().join("there"), folder.path().join("gone"));
        std::fs::write(&there, "x").unwrap();
        assert!(find(&["-".into(), there.clone(), "/dev/null".into()]).is_ok());
        for wrong in [gone, folder.path().to_owned()] {
            assert_eq!(find(&[there.clone(), wrong.clone()]).map_err(|(path, _)| path), Err(wrong.as_path()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_sees_into_a_private_folder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("data/log");
        private_folder(&log).unwrap();
        private_folder(&log).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&log), 0o700);
        assert_ne!(mode(&folder.path().join("data")), 0o700, "what lies beside it is for others, too");
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(private_folder(&folder.path().join("file")).is_err());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all("\u{feff}{}\n".as_bytes()).unwrap();
        assert_eq!(read(&packed.finish().unwrap()), "{}\n");
        for (bytes, expected) in
            [("\u{feff}{}", "{}"), ("\u{feff}", ""), ("\u{feff}\u{feff}", "\u{feff}"), ("", ""), ("{", "{")]
        {
            assert_eq!(read(bytes.as_bytes()), expected);
        }
    }
}
