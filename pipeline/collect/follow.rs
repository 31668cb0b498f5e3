//! Telephone systems that are read from: files that they write, connections that they take or make. What they say goes the
//! way of hooks, so that nothing is lost while the log is away.

mod ami;
mod lines;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callweave_core::telephony::asterisk::{Ami as AmiParser, Cel, Layout, Master};
use callweave_core::telephony::threecx::ThreeCx;
use callweave_core::telephony::{Taken, Terms, source_is};
use callweave_core::time::Time;
use chrono_tz::Tz;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::ami::Ami;
use self::lines::Lines;
use self::tail::Tail;
use super::events::Events;
use super::outbox::{Outbox, Told};
use super::server::{BindError, Listener};
use crate::config::{Follow, How};
use crate::log;
use crate::telemetry::metrics::Metrics;

/// Between two looks at a file that has not grown.
const LOOK: Duration = Duration::from_millis(250);
/// After a failure to read, or to keep what was read.
const PAUSE: Duration = Duration::from_secs(5);
/// A line that has no end by then is none, and its parts are lines (as in `callweave_core::limits`).
const LINE_BYTES_MAX: usize = callweave_core::limits::RECORD_LINE_BYTES_MAX;

/// A telephone system to follow, ready to run.
pub struct Follower {
    account: Arc<str>,
    name: String,
    reader: Reader,
}

enum Reader {
    File { path: PathBuf, memory: PathBuf, parser: FileParser },
    Ami { ami: Ami, source: String },
    Lines { lines: Lines, parser: Arc<ThreeCx> },
}

/// Makes events of a file's lines.
enum FileParser {
    Master(Master),
    Cel(Cel),
}

/// Where followers put what they read. Clones share it.
#[derive(Clone)]
pub struct Sink {
    outbox: Outbox,
    events: Arc<Events>,
    account: Arc<str>,
    origin: Arc<str>,
}

/// Makes events of the bytes of a connection, and puts them into the sink.
pub struct Feed {
    sink: Sink,
    parser: StreamParser,
}

enum StreamParser {
    Ami { parser: AmiParser },
    Lines { parser: Arc<ThreeCx>, line: Vec<u8> },
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("accounts.{account}.follow: {name}: {reason}")]
    Format { account: String, name: String, reason: String },
}

impl Follower {
    /// Gets ready to follow; `data` is this machine's own folder.
    ///
    /// # Errors
    /// An address cannot be listened on, or columns are not known.
    pub async fn new(account: &str, follow: &Follow, data: &Path) -> Result<Follower, FollowError> {
        let format =
            |reason: String| FollowError::Format { account: account.to_owned(), name: follow.name.clone(), reason };
        let zone: Tz = follow.timezone.parse().map_err(|_| format(format!("no zone {}", follow.timezone)))?;
        // One of its kind needs no name: its events are those of an import.
        let source = |system: &str| {
            let own = if follow.name == follow.how.format() { "" } else { follow.name.as_str() };
            source_is(system, own)
        };
        let memory = data.join("follow").join(account).join(format!("{}.json", follow.name));
        let reader = match &follow.how {
            How::AsteriskCdr { file, columns } => {
                let layout = columns.as_deref().map(Layout::parse).transpose();
                let layout = layout.map_err(|error| format(error.to_string()))?;
                let parser = FileParser::Master(Master::new(source("asterisk"), layout, zone));
                Reader::File { path: file.clone(), memory, parser }
            }
            How::AsteriskCel { file, columns } => {
                let parser = FileParser::Cel(Cel::new(source("asterisk"), columns.as_deref(), zone));
                Reader::File { path: file.clone(), memory, parser }
            }
            How::Ami { address, user, secret } => {
                let ami = Ami { address: address.clone(), user: user.clone(), secret: secret.clone() };
                Reader::Ami { ami, source: source("asterisk") }
            }
            How::ThreeCx { listen, allow, columns } => {
                let parser = ThreeCx::new(source("3cx"), columns, zone).map_err(|error| format(error.to_string()))?;
                let listener = Listener::bind("accounts.NAME.follow", *listen).await?;
                tracing::info!(account, follow = follow.name, address = %listener.address, "waiting for a telephone system");
                Reader::Lines { lines: Lines { listener, allow: allow.clone() }, parser: Arc::new(parser) }
            }
        };
        Ok(Follower { account: account.into(), name: follow.name.clone(), reader })
    }

    /// Follows until `shutdown`.
    pub async fn run(self, outbox: Outbox, events: Arc<Events>, shutdown: CancellationToken) {
        let origin: Arc<str> = format!("follow/{}", self.name).into();
        let sink = Sink { outbox, events, account: self.account, origin };
        match self.reader {
            Reader::File { path, memory, parser } => file(path, memory, parser, sink, shutdown).await,
            Reader::Ami { ami, source } => {
                let parser = StreamParser::Ami { parser: AmiParser::new(source) };
                ami.run(Feed { sink, parser }, shutdown).await;
            }
            Reader::Lines { lines, parser } => {
                let feed = || Feed {
                    sink: sink.clone(),
                    parser: StreamParser::Lines { parser: parser.clone(), line: Vec::new() },
                };
                lines.run(feed, shutdown).await;
            }
        }
    }
}

/// Runs followers until `shutdown`.
pub async fn run(followers: Vec<Follower>, outbox: &Outbox, events: &Arc<Events>, shutdown: &CancellationToken) {
    let tasks = TaskTracker::new();
    for follower in followers {
        tasks.spawn(follower.run(outbox.clone(), events.clone(), shutdown.clone()));
    }
    tasks.close();
    tasks.wait().await;
}

/// Follows one file.
async fn file(path: PathBuf, memory: PathBuf, mut parser: FileParser, sink: Sink, shutdown: CancellationToken) {
    let mut tail = match Tail::open(path.clone(), memory.clone()) {
        Ok(tail) => tail,
        Err(error) => {
            sink.failed();
            let memory = memory.display();
            return tracing::error!(%memory, %error, "how far a followed file was read cannot be read; remove that file to begin anew");
        }
    };
    tracing::info!(account = %sink.account, path = %path.display(), "following a file");
    let mut known = false;
    loop {
        // Files are read in the midst of other work: a chunk is small, and on a disk that is slow everything is.
        let read = tokio::task::spawn_blocking(move || {
            let before = if known { Ok(Vec::new()) } else { tail.before() };
            let next = before.and_then(|before| Ok((before, tail.next()?)));
            (tail, next)
        });
        let Ok((back, next)) = read.await else { return };
        tail = back;
        let wait = match next {
            Ok((before, chunk)) => {
                known = true;
                // What was told already is read again for what goes on: calls in the midst of it.
                if !before.is_empty() {
                    let _ = sink.read(&before, &mut parser).await;
                }
                match chunk {
                    Some(chunk) => {
                        let taken = sink.read(&chunk.lines, &mut parser).await;
                        if sink.take(&taken, &shutdown).await.is_none() {
                            return;
                        }
                        if let Err(error) = tail.done(chunk.next) {
                            sink.failed();
                            tracing::error!(path = %memory.display(), %error, "how far a followed file was read cannot be kept");
                        }
                        Duration::ZERO
                    }
                    None => LOOK,
                }
            }
            Err(error) => {
                sink.failed();
                tracing::warn!(path = %path.display(), %error, "a followed file cannot be read");
                PAUSE
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

impl FileParser {
    fn push(&mut self, line: &[u8], terms: &Terms<'_>) -> Taken {
        // What is read may be old: its own times count.
        match self {
            FileParser::Master(parser) => parser.push(line, terms, None),
            FileParser::Cel(parser) => parser.push(line, terms, None),
        }
    }

    /// What has come so far of a call is told; it is told anew when more comes.
    fn flush(&mut self, terms: &Terms<'_>) -> Taken {
        match self {
            FileParser::Master(parser) => parser.flush(terms, None),
            FileParser::Cel(_) => Taken::default(),
        }
    }
}

impl Sink {
    fn metrics(&self) -> &Metrics {
        &self.events.metrics
    }

    fn failed(&self) {
        self.metrics().follow_failures.inc();
    }

    /// What lines come to, by the settings in force.
    async fn read(&self, lines: &[Vec<u8>], parser: &mut FileParser) -> Taken {
        let mut taken = Taken::default();
        let Some(settings) = self.events.accounts.of(&self.account).await else { return taken };
        let terms = Terms { account: &self.account, rules: &settings.rules, secret: None, base: "" };
        for line in lines {
            taken.extend(parser.push(line, &terms));
        }
        taken.extend(parser.flush(&terms));
        taken
    }

    /// Puts what was read where it is safe; nothing where it is to stop before.
    async fn take(&self, taken: &Taken, shutdown: &CancellationToken) -> Option<()> {
        let told = |received: Time| Told {
            account: &self.account,
            origin: &self.origin,
            received,
            events: &taken.events,
            rejected: &taken.rejected,
            passed: &taken.passed,
        };
        loop {
            match self.outbox.take(&told(log::now())).await {
                Ok(_) => return Some(()),
                Err(error) => {
                    self.failed();
                    tracing::error!(account = %self.account, origin = %self.origin, %error, "what a telephone system said waits for room");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = sleep(PAUSE) => {}
            }
        }
    }
}

impl Feed {
    /// A connection begins: nothing of an earlier one is in its first line.
    pub fn begins(&mut self) {
        match &mut self.parser {
            StreamParser::Lines { line, .. } => line.clear(),
            StreamParser::Ami { .. } => {}
        }
    }

    pub fn failed(&self) {
        self.sink.failed();
    }

    /// Takes bytes of the connection; nothing where it is to stop.
    pub async fn take(&mut self, bytes: &[u8], shutdown: &CancellationToken) -> Option<()> {
        let taken = {
            let settings = self.sink.events.accounts.of(&self.sink.account).await?;
            let account = self.sink.account.clone();
            let terms = Terms { account: &account, rules: &settings.rules, secret: None, base: "" };
            self.parser.push(bytes, &terms, log::now())
        };
        self.sink.take(&taken, shutdown).await
    }
}

impl StreamParser {
    fn push(&mut self, bytes: &[u8], terms: &Terms<'_>, received: Time) -> Taken {
        match self {
            StreamParser::Ami { parser } => parser.push(bytes, terms, received),
            StreamParser::Lines { parser, line } => {
                let mut taken = Taken::default();
                for byte in bytes {
                    if *byte != b'\n' && line.len() < LINE_BYTES_MAX {
                        line.push(*byte);
                        continue;
                    }
                    taken.extend(parser.push(line, terms, Some(received)));
                    line.clear();
                    if *byte != b'\n' {
                        line.push(*byte);
                    }
                }
                taken
            }
        }
    }
}
