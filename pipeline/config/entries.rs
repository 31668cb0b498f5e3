//! What was said, by whom and where: the three layers, flattened to dotted names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::Mistake;
use super::members;

/// What the command line says. Each member is read like the variable of the same name.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config FILE`; absent: `callweave.toml` in the working folder, if it is there.
    pub config: Option<PathBuf>,
    pub data: Option<String>,
    pub lake: Option<String>,
    pub nats: Option<String>,
    pub partitions: Option<String>,
    pub listen: Option<String>,
    pub admin: Option<String>,
    pub postgres: Option<String>,
    pub flight: Option<String>,
    pub worker: Option<String>,
    pub workers: Option<String>,
    pub log: Option<String>,
    pub log_format: Option<String>,
    pub places: Option<String>,
}

/// Who said something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
    Flag(&'static str),
    /// Nobody: it holds where nothing is said.
    Default,
}

/// One thing that was said.
#[derive(Debug, Clone)]
pub struct Entry {
    pub origin: Origin,
    pub value: Value,
}

/// By dotted name; what a later layer says replaces what an earlier one said.
pub type Entries = BTreeMap<String, Entry>;

pub const PREFIX: &str = "CALLWEAVE_";
const DEFAULT_FILE: &str = "callweave.toml";
/// Longer files are no configuration.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Names of flags that may stand for their members: `nats = "nats://…"`, `CALLWEAVE_NATS`, `--nats`.
pub const SHORT: [(&str, &str); 8] = [
    ("nats", "nats.url"),
    ("listen", "listen.collect"),
    ("log", "log.level"),
    ("log_format", "log.format"),
    ("admin", "listen.admin"),
    ("postgres", "listen.postgres"),
    ("flight", "listen.flight"),
    ("workers", "query.workers"),
];

/// The variables of this process that are ours.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0 } => write!(f, "{}", path.display()),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Default => f.write_str("defaults"),
        }
    }
}

impl Origin {
    /// What a relative path is relative to: a file's own folder, else the working folder.
    pub fn base(&self) -> &Path {
        match self {
            Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")),
            Origin::Variable(_) | Origin::Flag(_) | Origin::Default => Path::new(""),
        }
    }
}

/// The file to read, who named it, and whether it must be there.
pub fn file_of(flags: &Flags, variables: &[(String, String)]) -> (PathBuf, Option<Origin>) {
    if let Some(path) = &flags.config {
        return (path.clone(), Some(Origin::Flag("--config")));
    }
    match variables.iter().find(|(name, _)| name == "CALLWEAVE_CONFIG") {
        Some((name, path)) => (path.into(), Some(Origin::Variable(name.clone()))),
        None => (DEFAULT_FILE.into(), None),
    }
}

/// Reads the file. Gives its path if there was one.
pub fn read_file(
    flags: &Flags,
    variables: &[(String, String)],
    entries: &mut Entries,
    mistakes: &mut Vec<Mistake>,
) -> Option<PathBuf> {
    let (path, named_by) = file_of(flags, variables);
    let text = match std::fs::metadata(&path).and_then(|about| {
        if about.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "it has {} bytes; at most {FILE_BYTES_MAX} are read",
                about.len()
            )));
        }
        std::fs::read_to_string(&path)
    }) {
        Ok(text) => text,
        Err(error) if named_by.is_none() && error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            let origin = named_by.unwrap_or(Origin::File { path: path.clone(), line: 0 });
            let mend = "give the path of a TOML file that this user may read";
            mistakes.push(Mistake::new(origin, "", format!("{} cannot be read: {error}", path.display()), mend));
            return None;
        }
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    let lines = Lines::of(&text);
    let at = |offset: usize| Origin::File { path: path.clone(), line: lines.line_of(offset) };
    for error in &errors {
        let origin = at(error.span().map_or(0, |span| span.start));
        let message = error.message().trim().replace('\n', ", ");
        mistakes.push(Mistake::new(origin, "", format!("not TOML: {message}"), "see https://toml.io for the syntax"));
    }
    if errors.is_empty() {
        flatten("", table.get_ref(), &at, entries);
    }
    Some(path)
}

/// Reads the variables: `CALLWEAVE_LIMITS__BODY_BYTES` is `limits.body_bytes`.
pub fn read_variables(variables: &[(String, String)], entries: &mut Entries) {
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let member = rest.to_ascii_lowercase().replace("__", ".");
        if foreign(&member) {
            continue;
        }
        let entry = Entry { origin: Origin::Variable(name.clone()), value: Value::String(value.clone()) };
        entries.insert(long(&member), entry);
    }
}

pub fn read_flags(flags: &Flags, entries: &mut Entries) {
    let said = [
        ("--data", "data", &flags.data),
        ("--lake", "lake", &flags.lake),
        ("--nats", "nats.url", &flags.nats),
        ("--partitions", "partitions", &flags.partitions),
        ("--listen", "listen.collect", &flags.listen),
        ("--admin", "listen.admin", &flags.admin),
        ("--postgres", "listen.postgres", &flags.postgres),
        ("--flight", "listen.flight", &flags.flight),
        ("--listen", "listen.worker", &flags.worker),
        ("--workers", "query.workers", &flags.workers),
        ("--log", "log.level", &flags.log),
        ("--log-format", "log.format", &flags.log_format),
        ("--places", "places", &flags.places),
    ];
    for (flag, member, value) in said {
        if let Some(value) = value {
            let entry = Entry { origin: Origin::Flag(flag), value: Value::String(value.clone()) };
            entries.insert(member.to_owned(), entry);
        }
    }
}

/// Variables that bear our prefix and are not ours to read: the program's own switches, and what Kubernetes sets in
/// every pod beside a service named `callweave`.
fn foreign(member: &str) -> bool {
    matches!(member, "config" | "bless" | "port" | "service_host")
        || ["test_", "service_port", "port_"].iter().any(|start| member.starts_with(start))
}

fn long(member: &str) -> String {
    SHORT.iter().find(|(short, _)| *short == member).map_or(member, |(_, long)| long).to_owned()
}

/// Where each line of a text begins, in bytes: every member asks for its line, and a file may have a hundred thousand.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let behind_feeds = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Lines(std::iter::once(0).chain(behind_feeds).collect())
    }

    /// The line that the byte at `offset` stands in, from 1 on. A line feed belongs to the line that it ends.
    fn line_of(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

fn flatten(prefix: &str, table: &DeTable<'_>, at: &dyn Fn(usize) -> Origin, entries: &mut Entries) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !members::is_leaf(&name) => {
                // A table with nothing in it is still a name that may be unknown.
                if inner.is_empty() && !members::is_table(&name) {
                    entries.insert(name.clone(), Entry { origin: at(key.span().start), value: Value::Null });
                }
                flatten(&name, inner, at, entries);
            }
            _ => {
                let entry = Entry { origin: at(key.span().start), value: plain(value) };
                entries.insert(long(&name), entry);
            }
        }
    }
}

fn plain(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => Value::String(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => Value::String(number.as_str().to_owned()),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(plain).collect()),
        DeValue::Table(table) => {
            let members = table.iter().map(|(key, value)| (key.get_ref().to_string(), plain(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// A whole TOML text as JSON, for settings that stand in a file of their own.
///
/// # Errors
/// What is wrong with the text.
pub fn toml_to_json(text: &str) -> Result<Value, String> {
    let value = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    Ok(Value::Object(value.get_ref().iter().map(|(key, value)| (key.get_ref().to_string(), plain(value))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_any_byte_of_it() {
        for (text, offset, line) in [
            ("", 0, 1),
            ("a = 1\nb = 2\n", 0, 1),
            ("a = 1\nb = 2\n", 5, 1),
            ("a = 1\nb = 2\n", 6, 2),
            ("a = 1\nb = 2\n", 11, 2),
            ("a = 1\nb = 2\n", 12, 3),
            ("a = 1\nb = 2", 6, 2),
            ("a = 1\nb = 2", 11, 2),
            ("a = 1\r\nb = 2\r\n", 5, 1),
            ("a = 1\r\nb = 2\r\n", 6, 1),
            ("a = 1\r\nb = 2\r\n", 7, 2),
            ("\n\na = 1", 2, 3),
        ] {
            assert_eq!(Lines::of(text).line_of(offset), line, "byte {offset} of {text:?}");
        }
    }
}
