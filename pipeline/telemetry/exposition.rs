//! The kinds of metric there are, and how they are made, described and written out.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

/// A count that only grows.
pub type Total = Counter;
/// A value that goes up and down.
pub type Level = Gauge<f64, AtomicU64>;
/// How long things took, in seconds.
pub type Durations = Histogram;
/// As [`Total`], one for each set of labels.
pub type Totals<L> = Family<L, Total>;
/// As [`Level`], one for each set of labels.
pub type Levels<L> = Family<L, Level>;
/// As [`Durations`], one for each set of labels.
pub type DurationsBy<L> = Family<L, Durations, fn() -> Durations>;

/// 0.5 ms to 33 s, each bucket twice as wide as the one before.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 17))
}

/// A metric that can be made empty, and says what it is.
pub trait Kind: Metric + Clone {
    const KIND: &'static str;
    /// What OpenMetrics puts behind the name.
    const SUFFIX: &'static str = "";
    const LABELS: &'static [&'static str] = &[];
    fn create() -> Self;
}

/// Names of the labels of a set, as they are written out.
pub trait Labels: Clone + std::hash::Hash + Eq + std::fmt::Debug + EncodeLabelSet + Send + Sync + 'static {
    const NAMES: &'static [&'static str];
}

impl Kind for Total {
    const KIND: &'static str = "counter";
    const SUFFIX: &'static str = "_total";
    fn create() -> Self {
        Counter::default()
    }
}

impl Kind for Level {
    const KIND: &'static str = "gauge";
    fn create() -> Self {
        Gauge::default()
    }
}

impl Kind for Durations {
    const KIND: &'static str = "histogram";
    fn create() -> Self {
        durations()
    }
}

impl<L: Labels> Kind for Totals<L> {
    const KIND: &'static str = Total::KIND;
    const SUFFIX: &'static str = Total::SUFFIX;
    const LABELS: &'static [&'static str] = L::NAMES;
    fn create() -> Self {
        Family::default()
    }
}

impl<L: Labels> Kind for Levels<L> {
    const KIND: &'static str = Level::KIND;
    const LABELS: &'static [&'static str] = L::NAMES;
    fn create() -> Self {
        Family::default()
    }
}

impl<L: Labels> Kind for DurationsBy<L> {
    const KIND: &'static str = Durations::KIND;
    const LABELS: &'static [&'static str] = L::NAMES;
    fn create() -> Self {
        Family::new_with_constructor(durations)
    }
}

/// What is known of one metric: a row of `docs/metrics.md`.
#[derive(Debug, Clone)]
pub struct About {
    /// As it stands at `/metrics`.
    pub name: String,
    pub kind: &'static str,
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: String,
}

/// Makes a metric, enters it into the registry and describes it.
pub fn enter<K: Kind>(
    registry: &mut Registry,
    abouts: &mut Vec<About>,
    name: &'static str,
    unit: &'static str,
    help: &'static [&'static str],
) -> K {
    let metric = K::create();
    let help = help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    // The library ends every help text with a full stop of its own.
    let text = help.trim_end_matches('.').to_owned();
    let full = if unit.is_empty() { name.to_owned() } else { format!("{name}_{unit}") };
    abouts.push(About { name: full + K::SUFFIX, kind: K::KIND, unit, labels: K::LABELS, help });
    match unit {
        "" => registry.register(name, text, metric.clone()),
        "seconds" => registry.register_with_unit(name, text, Unit::Seconds, metric.clone()),
        "bytes" => registry.register_with_unit(name, text, Unit::Bytes, metric.clone()),
        other => registry.register_with_unit(name, text, Unit::Other(other.to_owned()), metric.clone()),
    }
    metric
}

/// All metrics in the OpenMetrics text format.
pub fn render(registry: &Registry) -> String {
    let mut out = String::new();
    // Writing to a string fails only where a label's own encoding does, and ours are plain text and numbers.
    if let Err(error) = text::encode(&mut out, registry) {
        tracing::error!(%error, "could not write the metrics out");
    }
    out
}

/// The page `docs/metrics.md`.
pub fn page(abouts: &[About]) -> String {
    let mut out = String::from(
        "# Metrics\n\nEvery role serves these at `/metrics` of its admin address (`listen.admin`), in the OpenMetrics \
         text format that Prometheus reads.\nA family appears with its first value. Phone numbers and visitors are \
         never labels; accounts only beside their pools.\n\nMade from `pipeline/telemetry/metrics.rs`; `CALLWEAVE_BLESS=1 cargo test` \
         rewrites it.\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for about in abouts {
        let labels = about.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let help = about.help.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} | {labels} | {help} |", about.name, about.kind);
    }
    out
}
