//! Every metric of the program: its name, unit, labels and meaning stand here and nowhere else.
//!
//! Labels only ever hold values from fixed, short lists (routes, types, tables, partitions) or from settings (accounts
//! and their pools), so that no sender can make the memory behind them grow.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::registry::Registry;

use super::exposition::{self, Labels};
pub use super::exposition::{About, Durations, DurationsBy, Level, Levels, Total, Totals};

/// All metrics. A clone is the same metrics, and costs a reference count.
///
/// `metrics.log_appended_bytes.inc_by(512)`
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    families: Families,
    registry: Registry,
    abouts: Vec<About>,
    started: Instant,
}

macro_rules! labels {
    ($($(#[$about:meta])* $set:ident { $($field:ident: $type:ty = $name:literal),+ })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $set { $(pub $field: $type),+ }

        impl Labels for $set {
            const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl EncodeLabelSet for $set {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
                $(($name, self.$field).encode(encoder.encode_label())?;)+
                Ok(())
            }
        }
    )+};
}

labels! {
    /// A route of the HTTP server and the status it answered.
    Reply { route: &'static str = "route", status: u16 = "status" }
    Route { route: &'static str = "route" }
    /// An event's `type`.
    Type { event: &'static str = "type" }
    /// A class of reasons, never the reason itself.
    Reason { reason: &'static str = "reason" }
    /// A bound that something ran into.
    Limit { limit: &'static str = "limit" }
    /// Who answered a statement.
    Way { way: &'static str = "way" }
    Partition { partition: u16 = "partition" }
    Table { table: &'static str = "table" }
    /// The name of a moment, such as `call.started`.
    Moment { moment: &'static str = "moment" }
    /// A kind of thing that the join remembers: `sessions`, `leases`, `callers`, `calls`.
    Entries { partition: u16 = "partition", entry: &'static str = "entry" }
    Build { version: &'static str = "version" }
}

/// What [`Families::join_entries`] tells of.
pub const JOIN_ENTRIES: [&str; 4] = ["sessions", "leases", "calls", "callers"];

/// A pool of an account: settings bound how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OfPool {
    pub account: Arc<str>,
    pub pool: Arc<str>,
}

/// How visitors came by numbers of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    pub of: OfPool,
    pub how: &'static str,
}

impl Labels for OfPool {
    const NAMES: &'static [&'static str] = &["account", "pool"];
}

impl EncodeLabelSet for OfPool {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("account", &*self.account).encode(encoder.encode_label())?;
        ("pool", &*self.pool).encode(encoder.encode_label())
    }
}

impl Labels for Answer {
    const NAMES: &'static [&'static str] = &["account", "pool", "how"];
}

impl EncodeLabelSet for Answer {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.of.encode(encoder)?;
        ("how", self.how).encode(encoder.encode_label())
    }
}

macro_rules! families {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident $(<$labels:ty>)? = $name:literal $($unit:ident)?;)+) => {
        /// The families themselves; reached through [`Metrics`].
        pub struct Families { $($(#[doc = $help])+ pub $field: $kind $(<$labels>)?),+ }

        impl Families {
            fn enter(registry: &mut Registry, abouts: &mut Vec<About>) -> Families {
                Families {$($field: exposition::enter(
                    registry, abouts, $name, concat!($(stringify!($unit))?), &[$($help),+],
                )),+}
            }
        }
    };
}

families! {
    /// HTTP requests answered, by route and status.
    collect_requests: Totals<Reply> = "callweave_collect_requests";
    /// Time from a request's head to its answer.
    collect_request_duration: DurationsBy<Route> = "callweave_collect_request_duration" seconds;
    /// Requests being worked on.
    collect_requests_in_flight: Level = "callweave_collect_requests_in_flight";
    /// Open connections.
    collect_connections: Level = "callweave_collect_connections";
    /// Bytes of request bodies as they came, before decompression.
    collect_received: Total = "callweave_collect_received" bytes;
    /// Memory that bodies in flight hold, after decompression.
    collect_body_memory: Level = "callweave_collect_body_memory" bytes;
    /// Requests turned away by a limit: `concurrent`, `memory`, `rate`, `address_rate`, `site_rate`.
    collect_turned_away: Totals<Limit> = "callweave_collect_turned_away";
    /// Events acknowledged to their sender: the log has them.
    collect_taken: Totals<Type> = "callweave_collect_events_taken";
    /// Events refused to their sender and kept in `rejected`, by what was wrong: `syntax`, `envelope`, `data`,
    /// `account`, `size`; `telephony`: what a telephone system sent.
    collect_refused: Totals<Reason> = "callweave_collect_events_refused";

    /// What telephone systems sent that makes no event, by why: `internal` (a call between extensions, or to one of the account's own
    /// numbers), `leg` (of a call that other messages tell of), `other` (it says nothing of a call).
    telephony_passed: Totals<Reason> = "callweave_telephony_passed";

    /// Records of telephone systems that were kept on disk because the log did not take them at once.
    spool_kept: Total = "callweave_spool_kept_records";
    /// Records of the spool that the log has taken since.
    spool_delivered: Total = "callweave_spool_delivered_records";
    /// Bytes that wait in the spool.
    spool_size: Level = "callweave_spool_size" bytes;
    /// Calls back that were asked of a telephone provider, by what came of it: `started`, `failed`, `refused`.
    callbacks: Totals<Reason> = "callweave_callbacks";
    /// Lines and files of telephone systems that are followed and cannot be read or reached now.
    follow_failures: Total = "callweave_follow_failures";

    /// Lines of a pool: its numbers, or with extensions numbers times codes.
    lease_lines: Levels<OfPool> = "callweave_lease_lines";
    /// Lines that a session holds, as far as this process knows.
    lease_held: Levels<OfPool> = "callweave_lease_held_lines";
    /// Lines that rest after a session.
    lease_resting: Levels<OfPool> = "callweave_lease_resting_lines";
    /// The most lines that were held or resting at once since the process began; over three quarters of all, add numbers.
    lease_most: Levels<OfPool> = "callweave_lease_most_lines";
    /// Numbers given to visitors, by how: `leased`, `kept`, `shared`, `overflow`.
    lease_answers: Totals<Answer> = "callweave_lease_answers";
    /// Lines that another process was faster to take.
    lease_conflicts: Totals<OfPool> = "callweave_lease_conflicts";
    /// Visitors for whom no line was free.
    lease_exhausted: Totals<OfPool> = "callweave_lease_exhausted";
    /// Visitors who were given nothing because the log did not answer, or others were faster again and again.
    lease_failures: Totals<OfPool> = "callweave_lease_failures";

    /// Workers that answer this coordinator.
    query_workers: Level = "callweave_query_workers";
    /// Statements large enough for workers, by who answered: `workers`; `fewer`: those that were left when one went away;
    /// `alone`: this machine.
    query_shared: Totals<Way> = "callweave_query_shared_statements";
    /// Parts of statements that this worker took on.
    worker_tasks: Total = "callweave_worker_tasks";

    /// Events appended to the log, rejected ones included.
    log_appended: Total = "callweave_log_appended_events";
    /// Bytes appended to the log.
    log_appended_bytes: Total = "callweave_log_appended" bytes;
    /// Time from handing events over until the log has them.
    log_append_duration: Durations = "callweave_log_append_duration" seconds;
    /// Appends that the log did not confirm.
    log_append_failures: Total = "callweave_log_append_failures";
    /// Last sequence that was read, by partition.
    log_read_sequence: Levels<Partition> = "callweave_log_read_sequence";

    /// Events applied to the state, duplicates included.
    join_applied: Total = "callweave_join_events";
    /// Rows of sessions, leases and calls that the join decided, revisions included.
    join_decided: Total = "callweave_join_decided_rows";
    /// Events in the log that could not be used, by what was wrong.
    join_rejected: Totals<Reason> = "callweave_join_rejected";
    /// Events that had been applied before, and changed nothing.
    join_duplicates: Total = "callweave_join_duplicates";
    /// Things the join remembers, by partition and kind: `sessions`, `leases`, `callers`, `calls`.
    join_entries: Levels<Entries> = "callweave_join_entries";
    /// How far the join is behind the log, by partition: how long the oldest entry that is not applied has waited. 0: all is applied.
    join_watermark_lag: Levels<Partition> = "callweave_join_watermark_lag" seconds;

    /// Moments that subscribers are told, by name; what a replay leaves out is not counted.
    moments: Totals<Moment> = "callweave_moments";
    /// Attempts to deliver a moment by webhook or export, by what came of it: `delivered`, `failed`, `refused` (no such address may be
    /// reached), `gone` (the receiver wants no more), `skipped` and `rejected` (an export's provider would not, or did not, take it).
    webhook_attempts: Totals<Reason> = "callweave_webhook_attempts";
    /// Time from connecting to the end of the answer.
    webhook_duration: Durations = "callweave_webhook_duration" seconds;
    /// Deliveries that failed and will be tried again.
    webhook_waiting: Level = "callweave_webhook_waiting";
    /// Deliveries that were given up and lie among the dead letters.
    webhook_dead: Total = "callweave_webhook_dead_letters";
    /// Moments that were gone from their log before a subscriber could be told.
    webhook_lost: Total = "callweave_webhook_lost_moments";
    /// Open streams of server-sent events.
    stream_open: Level = "callweave_stream_open";

    /// Commits to a Delta table.
    lake_commits: Totals<Table> = "callweave_lake_commits";
    /// Commits that failed and are tried again.
    lake_commit_failures: Totals<Table> = "callweave_lake_commit_failures";
    /// Rows committed.
    lake_rows: Totals<Table> = "callweave_lake_rows";
    /// Bytes of Parquet committed.
    lake_written: Totals<Table> = "callweave_lake_written" bytes;
    /// Time from the start of a commit until it is in the table.
    lake_commit_duration: DurationsBy<Table> = "callweave_lake_commit_duration" seconds;
    /// Rows that wait for their commit.
    lake_waiting: Levels<Table> = "callweave_lake_waiting_rows";

    /// When the newest snapshot of the state was taken, in seconds since 1970; its age is `time()` less this.
    snapshot_time: Levels<Partition> = "callweave_snapshot_timestamp" seconds;
    /// Size of the newest snapshot.
    snapshot_size: Levels<Partition> = "callweave_snapshot_size" bytes;

    /// How long the process has been up.
    process_uptime: Level = "callweave_uptime" seconds;
    /// Always 1; the label tells the version.
    process_build: Levels<Build> = "callweave_build_info";
}

impl Metrics {
    /// A fresh set of metrics, with a registry of its own.
    pub fn new() -> Metrics {
        let (mut registry, mut abouts) = (Registry::default(), Vec::new());
        let families = Families::enter(&mut registry, &mut abouts);
        families.process_build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1.0);
        Metrics(Arc::new(Inner { families, registry, abouts, started: Instant::now() }))
    }

    /// Levels of a partition that this process no longer reads: whoever does tells of it now, and what was last known here is no longer so.
    pub fn forget_partition(&self, partition: u16) {
        let label = Partition { partition };
        for levels in [&self.log_read_sequence, &self.join_watermark_lag, &self.snapshot_time, &self.snapshot_size] {
            levels.remove(&label);
        }
        for entry in JOIN_ENTRIES {
            self.join_entries.remove(&Entries { partition, entry });
        }
    }

    /// What `/metrics` answers: the OpenMetrics text format.
    pub fn render(&self) -> String {
        self.process_uptime.set(self.0.started.elapsed().as_secs_f64());
        exposition::render(&self.0.registry)
    }

    /// Content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// What there is, in the order of this file.
    pub fn abouts(&self) -> &[About] {
        &self.0.abouts
    }

    /// The page `docs/metrics.md`.
    pub fn page(&self) -> String {
        exposition::page(self.abouts())
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Deref for Metrics {
    type Target = Families;
    fn deref(&self) -> &Families {
        &self.0.families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_out_is_what_is_described() {
        let metrics = Metrics::new();
        metrics.collect_requests.get_or_create(&Reply { route: "/v1/events", status: 207 }).inc_by(3);
        metrics.log_appended_bytes.inc_by(512);
        metrics.join_entries.get_or_create(&Entries { partition: 2, entry: "leases" }).set(7.0);
        metrics.lake_commit_duration.get_or_create(&Table { table: "calls" }).observe(0.2);
        let text = metrics.clone().render();
        for line in [
            "# HELP callweave_collect_requests HTTP requests answered, by route and status.\n",
            "callweave_collect_requests_total{route=\"/v1/events\",status=\"207\"} 3\n",
            "callweave_log_appended_bytes_total 512\n",
            "callweave_join_entries{partition=\"2\",entry=\"leases\"} 7.0\n",
            "# UNIT callweave_lake_commit_duration_seconds seconds\n",
            "callweave_lake_commit_duration_seconds_count{table=\"calls\"} 1\n",
            "callweave_uptime_seconds ",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        metrics.log_read_sequence.get_or_create(&Partition { partition: 2 }).set(1.0);
        metrics.log_read_sequence.get_or_create(&Partition { partition: 3 }).set(1.0);
        metrics.forget_partition(2);
        let text = metrics.clone().render();
        assert!(!text.contains("partition=\"2\"") && text.contains("partition=\"3\""), "{text}");
        let mut names: Vec<_> = metrics.abouts().iter().map(|about| &about.name).collect();
        assert!(names.iter().any(|name| *name == "callweave_log_appended_bytes_total"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), metrics.abouts().len(), "two metrics share a name");
    }

    #[test]
    fn the_page_is_in_step() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
        let page = Metrics::new().page();
        if std::env::var_os("CALLWEAVE_BLESS").is_some() {
            std::fs::write(&path, &page).expect("docs/metrics.md can be written");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == page, "docs/metrics.md is out of step: run CALLWEAVE_BLESS=1 cargo test the_page_is_in_step");
    }

    /// Pages and alerts name no metric that there is not.
    #[test]
    fn what_is_told_of_metrics_is_true() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("deploy/prometheus.yml")];
        let pages = std::fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("a page").path());
        files.extend(pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
        let metrics = Metrics::new();
        let known: Vec<_> = metrics.abouts().iter().map(|about| about.name.clone()).collect();
        // A property that exports set in a CRM.
        let others = ["callweave_call_id"];
        let mut told = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a page");
            let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            for word in words.filter(|word| word.starts_with("callweave_") && !others.contains(word)) {
                assert!(known.iter().any(|name| **name == *word), "{} tells of {word}", file.display());
                told += 1;
            }
        }
        assert!(told > 50, "{told}");
    }
}
