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

/// Standard output, or a file under its final name with `.partial` behind until it is whole.
pub enum Output {
    Stdout(BufWriter<Stdout>),
    File { to: BufWriter<File>, partial: Partial, path: PathBuf },
}

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
        let Some(path) = path else { return Ok(Output::Stdout(BufWriter::new(io::stdout()))) };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|source| QueryError::Output { path: path.to_owned(), source })?;
        Ok(Output::File { to: BufWriter::new(file), partial: Partial(partial), path: path.to_owned() })
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
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout(to) => to.write(bytes),
            Output::File { to, .. } => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout(to) => to.flush(),
            Output::File { to, .. } => to.flush(),
        }
    }
}
