//! Where results go: standard output, or a file that appears only when it is whole.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt;

use super::error::QueryError;
use super::format::{Encoder, Format, TABLE_ROWS_MAX};
use super::session::Answer;

/// How much of an answer to write, and how.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub format: Format,
    pub arrow_file: bool,
    pub rows_max: Option<usize>,
}

impl Shape {
    pub fn new(format: Format, output: Option<&Path>, rows_max: Option<usize>) -> Shape {
        let arrow_file =
            output.and_then(Path::extension).is_some_and(|extension| extension == "arrow" || extension == "feather");
        let rows_max = if format == Format::Table { rows_max.or(Some(TABLE_ROWS_MAX)) } else { rows_max };
        Shape { format, arrow_file, rows_max }
    }
}

/// What was written of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub rows: usize,
    /// There were more rows than were asked for.
    pub is_cut: bool,
}

/// Writes an answer as it comes. Dropping the future stops the query.
pub async fn pump<W: Write + Send>(
    mut answer: Answer,
    shape: Shape,
    sql: &str,
    to: W,
) -> Result<(Written, W), QueryError> {
    let mut encoder = Encoder::new(shape.format, shape.arrow_file, &answer.schema, to)?;
    let mut left = shape.rows_max.unwrap_or(usize::MAX);
    let mut is_cut = false;
    while let Some(batch) = answer.rows.next().await {
        let batch = batch.map_err(|error| QueryError::from_engine(error, sql))?;
        if batch.num_rows() > left {
            encoder.write(&batch.slice(0, left))?;
            is_cut = true;
            break;
        }
        left -= batch.num_rows();
        if batch.num_rows() > 0 {
            encoder.write(&batch)?;
        }
    }
    let (rows, to) = encoder.finish()?;
    Ok((Written { rows, is_cut }, to))
}

/// Standard output; a file under its final name with `.partial` behind until it is whole; or what is no file (a device, a pipe), which
/// is written to as it is and never replaced.
pub enum Output {
    Stdout(BufWriter<Stdout>),
    File { to: BufWriter<File>, partial: Partial, path: PathBuf },
    Direct { to: BufWriter<File>, path: PathBuf },
}

/// Names of standard output. Where it goes to a file, each is a link to that: it is the open file that is meant, and not its name.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Removes the unfinished file unless it was renamed.
pub struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Nothing is lost if it stays, and after the renaming it is gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Output {
    pub fn open(path: Option<&Path>) -> Result<Output, QueryError> {
        let stdout = |path: &&Path| !STDOUT.iter().any(|name| *path == Path::new(name));
        let Some(path) = path.filter(stdout) else { return Ok(Output::Stdout(BufWriter::new(io::stdout()))) };
        Output::open_path(path).map_err(|source| QueryError::Output { path: path.to_owned(), source })
    }

    fn open_path(path: &Path) -> io::Result<Output> {
        if path.metadata().is_ok_and(|about| !about.is_file()) {
            let to = BufWriter::new(File::options().write(true).open(path)?);
            return Ok(Output::Direct { to, path: path.to_owned() });
        }
        // A link stays; what it leads to is replaced, or made.
        let path = match path.is_symlink() {
            true if !path.exists() => {
                return Ok(Output::Direct { to: BufWriter::new(File::create(path)?), path: path.to_owned() });
            }
            true => path.canonicalize()?,
            false => path.to_owned(),
        };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let to = BufWriter::new(File::create(&partial)?);
        Ok(Output::File { to, partial: Partial(partial), path })
    }

    pub fn finish(self) -> Result<(), QueryError> {
        match self {
            Output::Stdout(mut to) => {
                to.flush().map_err(|source| QueryError::Output { path: "standard output".into(), source })
            }
            Output::File { to, partial, path } => {
                let finish = || {
                    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                    std::fs::rename(&partial.0, &path)
                };
                finish().map_err(|source| QueryError::Output { path: path.clone(), source })
            }
            Output::Direct { mut to, path } => to.flush().map_err(|source| QueryError::Output { path, source }),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout(to) => to.write(bytes),
            Output::File { to, .. } | Output::Direct { to, .. } => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout(to) => to.flush(),
            Output::File { to, .. } | Output::Direct { to, .. } => to.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) -> Result<(), QueryError> {
        let mut to = Output::open(Some(path))?;
        to.write_all(text.as_bytes()).map_err(|source| QueryError::Output { path: path.to_owned(), source })?;
        to.finish()
    }

    #[test]
    #[cfg(unix)]
    fn only_files_are_replaced() -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        // Links to devices, so that a machine is none the worse where this fails.
        symlink("/dev/null", at("null"))?;
        write(&at("null"), "away")?;
        assert!(at("null").metadata()?.file_type().is_char_device());
        std::fs::write(at("file"), "before")?;
        symlink("file", at("link"))?;
        write(&at("link"), "after")?;
        assert_eq!(std::fs::read_to_string(at("file"))?, "after");
        assert!(at("link").is_symlink());
        symlink("new", at("ahead"))?;
        write(&at("ahead"), "made")?;
        assert_eq!(std::fs::read_to_string(at("new"))?, "made");
        symlink("/dev/full", at("full"))?;
        assert!(write(&at("full"), "no room").is_err_and(|error| error.to_string().contains("full")));
        assert!(write(dir.path(), "a folder").is_err());
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path())?.map(|it| it.map(|it| it.file_name())).collect::<Result<_, _>>()?;
        names.sort();
        assert_eq!(names, ["ahead", "file", "full", "link", "new", "null"], "nothing unfinished stays");
        Ok(())
    }
}
