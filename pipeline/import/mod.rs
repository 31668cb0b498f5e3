//! Files that others wrote become contract events: web-server access logs, calls and advertising costs as CSV, and
//! NDJSON of events, and call records of telephone systems.
//!
//! A line that cannot be used is reported with its file and number, counted, and written to the rejects file if there
//! is one; the rest goes on. The same file gives the same events with the same ids every time, so importing it twice
//! changes nothing. Memory does not grow with the input.

mod agents;
mod columns;
mod combined;
mod csv;
mod events;
mod page;
mod read;
mod repeats;
mod telephony;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use callweave_core::event::{Rejected, decode, is_account};
use callweave_core::limits::ACCOUNT_BYTES_MAX;
use callweave_core::settings::Settings;
use chrono_tz::Tz;
use phonenumber::country;

pub use crate::telemetry::progress::Progress;

use crate::files::{self, outputs::Late};
use crate::line::{Envelope, Lines};
use repeats::Repeats;

/// What the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Access logs of Apache or nginx, in the combined or common log format.
    Combined,
    /// Calls or advertising costs, told apart by the header.
    Csv,
    CallsCsv,
    AdCostsCsv,
    /// NDJSON of contract events: checked, and passed on unchanged.
    Events,
    /// Asterisk's call records (`Master.csv`).
    Asterisk,
    /// Asterisk's channel events.
    AsteriskCel,
    /// Records of FreeSWITCH's `mod_json_cdr`, in any of its encodings: one a file or a line.
    FreeSwitch,
    /// 3CX's call records.
    ThreeCx,
}

/// What to import, and how to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    pub format: Format,
    /// `-` is standard input. Gzip and zstd are recognised by their first bytes.
    pub files: Vec<PathBuf>,
    /// The account that the events belong to; not for [`Format::Events`], which name theirs.
    pub account: String,
    /// Scheme and host of the web site, such as `https://example.com`: an access log holds paths only.
    pub site: Option<String>,
    /// Goes into the hash that visitors are known by, so that addresses cannot be found by trying them all.
    pub salt: String,
    /// ISO 3166-1 alpha-2 code of the country in which numbers without a country code are.
    pub country: Option<String>,
    /// The zone of times that name none.
    pub timezone: Tz,
    /// ISO 4217 code of costs whose line names no currency.
    pub currency: Option<String>,
    /// Columns of a CSV under other names: (column, member).
    pub columns: Vec<(String, String)>,
    /// Members of a CSV that a line does not tell: (member, value).
    pub values: Vec<(String, String)>,
    /// Columns of call records, where they are not the usual ones.
    pub record_columns: Option<String>,
    /// Whose numbers are whose in call records.
    pub settings: Option<Settings>,
    /// Where lines that cannot be used are written as they came.
    pub rejects: Option<PathBuf>,
}

impl ImportOptions {
    pub fn new(format: Format, files: Vec<PathBuf>, account: &str) -> ImportOptions {
        ImportOptions {
            format,
            files,
            account: account.to_owned(),
            site: None,
            salt: String::new(),
            country: None,
            timezone: Tz::UTC,
            currency: None,
            columns: Vec::new(),
            values: Vec::new(),
            record_columns: None,
            settings: None,
            rejects: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(
        "--format {0} is unknown: it is one of combined, csv, calls-csv, ad-costs-csv, events, asterisk, asterisk-cel, freeswitch, 3cx"
    )]
    Format(String),
    #[error("--account {0} is not an account's name: 1 to {max} letters, digits, dots, dashes and underscores", max = ACCOUNT_BYTES_MAX)]
    Account(String),
    #[error("an access log holds paths only: name the web site with --site, such as --site https://example.com")]
    NoSite,
    #[error("--site {0} is not a scheme and a host, such as https://example.com")]
    Site(String),
    #[error("--country {0} is not a country's two letters (ISO 3166-1), such as US")]
    Country(String),
    #[error("--currency {0} is not a currency's three letters (ISO 4217), such as USD")]
    Currency(String),
    #[error("{flag}: there is no member {member}; there are {known}")]
    Member { flag: String, member: String, known: String },
    #[error("{flag} {name} stands twice: once is enough, and only one can be meant")]
    Twice { flag: &'static str, name: String },
    #[error("{file}: the header has no column {column}, which --map names; it has {header}")]
    MappedColumn { file: String, column: String, header: String },
    #[error(
        "{file}: the header has no column for {missing}; it has {header}. Name the column with --map COLUMN=MEMBER, or \
         say what holds for all lines with --set MEMBER=VALUE"
    )]
    Columns { file: String, missing: String, header: String },
    #[error("{file}: the header: {reason}")]
    Header { file: String, reason: String },
    #[error("{file} is in UTF-16: save it as UTF-8, such as with `iconv -f UTF-16 -t UTF-8`")]
    Utf16 { file: String },
    #[error("--columns: {0}")]
    RecordColumns(String),
    #[error("{file}:{line}: a record of more than {most} bytes; is a quotation mark missing before it?")]
    Record { file: String, line: u64, most: usize },
    #[error("{file}: cannot be opened")]
    Open {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("{file}: cannot be read after line {line}")]
    Read {
        file: String,
        line: u64,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the events")]
    Write(#[source] io::Error),
    #[error("cannot write the rejected lines to {file}")]
    Rejects {
        file: String,
        #[source]
        source: io::Error,
    },
}

impl ImportError {
    /// What was asked for is wrong, whatever the files hold.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            ImportError::Format(_)
                | ImportError::Account(_)
                | ImportError::NoSite
                | ImportError::Site(_)
                | ImportError::Country(_)
                | ImportError::Currency(_)
                | ImportError::Member { .. }
                | ImportError::Twice { .. }
                | ImportError::RecordColumns(_)
        )
    }
}

/// What became of the lines. Each line read is one of: unreadable, an event, or one of what was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub lines: u64,
    pub unreadable: u64,
    pub page_views: u64,
    pub calls: u64,
    pub ad_costs: u64,
    /// Events that were passed on.
    pub events: u64,
    /// Left out: requests by bots, link previews, feed readers and tools.
    pub bots: u64,
    /// Left out: the server's own requests, health checks, previews, and pages' requests for data.
    pub internal: u64,
    /// Left out: anything but GET.
    pub other_methods: u64,
    /// Left out: answers of 3xx but 304.
    pub redirects: u64,
    /// Left out: answers of 4xx and 5xx.
    pub errors: u64,
    /// Left out: images, scripts, downloads, feeds.
    pub static_files: u64,
}

impl Counts {
    /// Events written.
    pub fn written(&self) -> u64 {
        self.page_views + self.calls + self.ad_costs + self.events
    }

    /// Whether there were lines, and none could be read: the files are likely of another format.
    pub fn nothing_was_read(&self) -> bool {
        self.lines > 0 && self.unreadable == self.lines
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines: {} events", self.lines, self.written())?;
        for (count, what) in [
            (self.page_views, "page views"),
            (self.calls, "calls"),
            (self.ad_costs, "ad costs"),
            (self.static_files, "static files left out"),
            (self.bots, "of bots left out"),
            (self.internal, "internal left out"),
            (self.other_methods, "other methods left out"),
            (self.redirects, "redirects left out"),
            (self.errors, "errors left out"),
            (self.unreadable, "unreadable"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Combined => "combined",
            Format::Csv => "csv",
            Format::CallsCsv => "calls-csv",
            Format::AdCostsCsv => "ad-costs-csv",
            Format::Events => "events",
            Format::Asterisk => "asterisk",
            Format::AsteriskCel => "asterisk-cel",
            Format::FreeSwitch => "freeswitch",
            Format::ThreeCx => "3cx",
        }
    }
}

impl FromStr for Format {
    type Err = ImportError;
    fn from_str(name: &str) -> Result<Format, ImportError> {
        let csv = [Format::Csv, Format::CallsCsv, Format::AdCostsCsv];
        let records = [Format::Asterisk, Format::AsteriskCel, Format::FreeSwitch, Format::ThreeCx];
        [Format::Combined, Format::Events]
            .into_iter()
            .chain(csv)
            .chain(records)
            .find(|format| format.name() == name)
            .ok_or_else(|| ImportError::Format(name.to_owned()))
    }
}

impl ImportOptions {
    /// Looks over what can be told before any file is read.
    fn check(&self) -> Result<(), ImportError> {
        if self.format != Format::Events && !is_account(&self.account) {
            return Err(ImportError::Account(self.account.clone()));
        }
        self.home()?;
        match self.format {
            Format::Combined => combined::site(self.site.as_deref()).map(drop),
            Format::Csv | Format::CallsCsv | Format::AdCostsCsv => csv::check(self),
            _ => Ok(()),
        }
    }

    fn home(&self) -> Result<Option<country::Id>, ImportError> {
        let read = |code: &String| values::home(code).ok_or_else(|| ImportError::Country(code.clone()));
        self.country.as_ref().map(read).transpose()
    }
}

/// Reads the files in their order and writes their events, one a line. Nothing is written before what is asked for was looked over
/// and all files are there.
pub fn import(options: &ImportOptions, out: &mut dyn Write, progress: &Progress) -> Result<Counts, ImportError> {
    options.check()?;
    files::find(&options.files)
        .map_err(|(path, source)| ImportError::Open { file: path.display().to_string(), source })?;
    let mut run = Run {
        options,
        out,
        progress,
        counts: Counts::default(),
        lines: Lines::default(),
        line_start: 0,
        repeats: Repeats::default(),
        rejects: options.rejects.as_deref().map(Late::new),
        reported: 0,
        file: String::new(),
        source: String::new(),
    };
    progress.start(files::total_bytes(&options.files));
    let done = match options.format {
        Format::Combined => combined::import(&mut run),
        Format::Csv | Format::CallsCsv | Format::AdCostsCsv => csv::import(&mut run),
        Format::Events => events::import(&mut run),
        Format::Asterisk | Format::AsteriskCel | Format::FreeSwitch | Format::ThreeCx => telephony::import(&mut run),
    };
    let closed = done.and_then(|()| run.close());
    let counts = run.counts;
    progress.finish();
    closed.map(|()| counts)
}

/// Reports of unusable lines at most; of the others only the number is told.
const REPORTS_MOST: u64 = 20;
/// Bytes of events that are gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// What is wrong, and with which member.
fn reason(rejected: &Rejected) -> String {
    let told = rejected.path.is_empty() || rejected.reason.starts_with(&rejected.path);
    if told { rejected.reason.clone() } else { format!("{}: {}", rejected.path, rejected.reason) }
}

/// One run of [`import`].
struct Run<'a> {
    options: &'a ImportOptions,
    out: &'a mut dyn Write,
    progress: &'a Progress,
    counts: Counts,
    lines: Lines,
    /// Where in `lines` the event begins that is being written.
    line_start: usize,
    repeats: Repeats,
    rejects: Option<Late>,
    reported: u64,
    /// The file that is being read, as messages name it …
    file: String,
    /// … and as its events do.
    source: String,
}

impl Run<'_> {
    /// Turns to a file.
    fn turn_to(&mut self, path: &Path) {
        self.file = if files::is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.filter(|_| !files::is_stdin(path)).unwrap_or_else(|| "stdin".to_owned());
        self.source = format!("import/{name}");
    }

    /// Starts an event whose id follows from the bytes that it was made of.
    fn begin(&mut self, kind: &str, time: callweave_core::time::Time, id: &str) {
        let account = &*self.options.account;
        self.line_start = self.lines.bytes().len();
        let envelope = Envelope { account, source: &self.source, kind, time, recorded: None };
        self.lines.begin(&envelope, &[id]);
    }

    /// Ends the event. What the collector would not take is taken back, and the reason returned: a URL that is too
    /// long, a time before 2000.
    fn finish(&mut self) -> Option<String> {
        self.lines.end();
        let line = &self.lines.bytes()[self.line_start..];
        let rejected = decode(line.trim_ascii_end(), None).err()?;
        self.lines.truncate(self.line_start);
        Some(reason(&rejected))
    }

    /// To be called after a whole line was added to `lines`.
    fn written(&mut self) -> Result<(), ImportError> {
        if self.lines.bytes().len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.out.write_all(self.lines.bytes()).map_err(ImportError::Write)?;
        self.lines.clear();
        Ok(())
    }

    /// Reports a line that cannot be used, and keeps it among the rejects.
    fn reject(&mut self, line: u64, reason: &str, raw: &[u8]) -> Result<(), ImportError> {
        self.counts.unreadable += 1;
        self.reported += 1;
        if self.reported <= REPORTS_MOST {
            self.progress.say(&format!("{}:{line}: {reason}", self.file));
        }
        if let Some(out) = &mut self.rejects {
            let written = out.write_all(raw).and_then(|()| out.write_all(b"\n"));
            let file = self.options.rejects.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            written.map_err(|source| ImportError::Rejects { file, source })?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), ImportError> {
        self.flush()?;
        self.out.flush().map_err(ImportError::Write)?;
        if let Some(mut out) = self.rejects.take() {
            let file = self.options.rejects.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            out.flush().map_err(|source| ImportError::Rejects { file, source })?;
        }
        if self.reported > REPORTS_MOST {
            self.progress.say(&format!("{} more lines could not be used", self.reported - REPORTS_MOST));
        }
        Ok(())
    }
}
