//! Structured logs on stderr. Phone numbers and visitor ids appear at `debug` and `trace` only.

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: time, level, place, message, fields. Coloured on a terminal.
    #[default]
    Text,
    /// For log collectors: one JSON object a line.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error(
        "{text:?} is not a log level: {reason}. Give off, error, warn, info, debug or trace, or a filter such as \
         info,callweave::collect=debug"
    )]
    Filter { text: String, reason: String },
    #[error("logs are set up already")]
    Twice,
}

/// How logs are written, once they were started.
static STARTED: OnceLock<Format> = OnceLock::new();

/// Where the engines below us only repeat what we report ourselves, they are heard from `warn` on.
const ENGINES: &str = "warn";

/// The PostgreSQL server below us repeats each `SET` that it does not know word for word, at `warn`: what clients say there may be a
/// password or a phone number, and may hold line ends that look like lines of ours. It has nothing to tell that we do not.
const UNHEARD: &str = "datafusion_postgres::hooks=error";

/// The engine below the lake calls it an error where another process's commit came first, which is ordinary with several of them.
/// Each such error comes back to us, who try again and tell (`lake/commit.rs`), or hand it to who asked. From `debug` on it is
/// heard, as the other engines are.
const REPEATED: &str = "deltalake_core::kernel::transaction=off,buoyant_kernel::snapshot=off";

/// Reads `log.level`: one word is our own level, with the engines at `warn`; anything longer is a filter in the syntax
/// of `RUST_LOG`, taken as it is. What clients say word for word is heard only where a filter names its target.
///
/// # Errors
/// The text is neither.
pub fn filter(text: &str) -> Result<EnvFilter, LogsError> {
    let text = text.trim();
    let wrong = |reason: String| LogsError::Filter { text: text.to_owned(), reason };
    let directives = match text {
        "" => return Err(wrong("it is empty".to_owned())),
        _ if text.contains([',', '=']) => format!("{UNHEARD},{text}"),
        _ if text.eq_ignore_ascii_case("off") => text.to_owned(),
        _ => {
            let ours = format!("{ENGINES},{UNHEARD},callweave={text},callweave_core={text}");
            match text.parse::<LevelFilter>() {
                // EnvFilter takes an unknown word for a target, and then logs nothing at all.
                Err(_) => return Err(wrong("no such level".to_owned())),
                Ok(level) if level < LevelFilter::DEBUG => format!("{REPEATED},{ours}"),
                Ok(_) => ours,
            }
        }
    };
    EnvFilter::try_new(directives).map_err(|error| wrong(error.to_string()))
}

/// Starts logging to stderr for the whole process.
///
/// # Errors
/// The level cannot be read, or logging was started before.
pub fn start(level: &str, format: Format) -> Result<(), LogsError> {
    start_to(level, format, std::io::stderr)
}

/// As [`start`], to somewhere else: a progress bar that must not be torn, for one.
///
/// # Errors
/// As [`start`].
pub fn start_to<W>(level: &str, format: Format, writer: W) -> Result<(), LogsError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)?).with_writer(writer);
    // What cannot be written would be told by `eprintln!`, which panics where stderr cannot be written either.
    let builder = builder.log_internal_errors(false);
    let started = match format {
        Format::Text => builder.with_ansi(colour).finish().try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).finish().try_init(),
    };
    started.map_err(|_| LogsError::Twice)?;
    let _ = STARTED.set(format);
    Ok(())
}

/// Says why the program ends: as a log line where logs are JSON, for whoever collects them reads nothing else, and to people where not.
pub fn last_words(why: impl std::fmt::Display) {
    match STARTED.get() {
        Some(Format::Json) if tracing::enabled!(tracing::Level::ERROR) => tracing::error!("{why}"),
        _ => super::say!("callweave: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_levels_and_filters() {
        let table = [
            (
                "info",
                Ok("buoyant_kernel::snapshot=off,callweave=info,callweave_core=info,datafusion_postgres::hooks=error,\
                    deltalake_core::kernel::transaction=off,warn"),
            ),
            ("DEBUG", Ok("callweave=debug,callweave_core=debug,datafusion_postgres::hooks=error,warn")),
            ("off", Ok("off")),
            ("info,callweave::collect=trace", Ok("callweave::collect=trace,datafusion_postgres::hooks=error,info")),
            ("info,datafusion_postgres::hooks=warn", Ok("datafusion_postgres::hooks=warn,info")),
            ("loud", Err("no such level")),
            ("", Err("it is empty")),
            ("callweave=loud", Err("error parsing level filter")),
        ];
        for (text, expected) in table {
            match (filter(text), expected) {
                (Ok(got), Ok(expected)) => {
                    let mut parts: Vec<_> = got.to_string().split(',').map(str::to_owned).collect();
                    parts.sort();
                    assert_eq!(parts.join(","), expected, "{text}");
                }
                (Err(got), Err(expected)) => assert!(got.to_string().contains(expected), "{text}: {got}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }
}
