//! How far the reading of files is: a bar on a terminal, a line every few seconds elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;

/// Tells people on stderr how far things are.
pub struct Progress {
    how: How,
    read: Cell<u64>,
    total: Cell<Option<u64>>,
    began: Cell<Instant>,
    told: Cell<Instant>,
}

enum How {
    Silent,
    Lines,
    Bar(ProgressBar),
}

/// Time between two plain lines.
const LINES_APART: Duration = Duration::from_secs(5);

impl Progress {
    /// A bar if stderr is a terminal, else plain lines.
    pub fn on_stderr() -> Progress {
        Progress::new(if std::io::stderr().is_terminal() { How::Bar(ProgressBar::hidden()) } else { How::Lines })
    }

    /// Nothing is told, not even what cannot be used.
    pub fn silent() -> Progress {
        Progress::new(How::Silent)
    }

    fn new(how: How) -> Progress {
        let now = Instant::now();
        Progress { how, read: Cell::new(0), total: Cell::new(None), began: Cell::new(now), told: Cell::new(now) }
    }

    /// Reading starts; `total` is the number of bytes, where it is known.
    pub fn start(&self, total: Option<u64>) {
        let now = Instant::now();
        self.read.set(0);
        self.total.set(total);
        self.began.set(now);
        self.told.set(now);
        if let How::Bar(bar) = &self.how {
            let template = match total {
                Some(_) => "{bar:40} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
                None => "{spinner} {bytes}, {binary_bytes_per_sec}",
            };
            bar.set_length(total.unwrap_or(0));
            // A template that cannot be read leaves the bar as it is by default.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
    }

    /// So many bytes more were read.
    pub fn advance(&self, bytes: u64) {
        self.read.set(self.read.get() + bytes);
        match &self.how {
            How::Silent => {}
            How::Bar(bar) => bar.inc(bytes),
            How::Lines => {
                if self.told.get().elapsed() >= LINES_APART {
                    self.told.set(Instant::now());
                    self.say(&self.line());
                }
            }
        }
    }

    /// Says something, above the bar where there is one.
    pub fn say(&self, text: &str) {
        match &self.how {
            How::Silent => {}
            How::Bar(bar) => bar.suspend(|| say!("{text}")),
            How::Lines => say!("{text}"),
        }
    }

    pub fn finish(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        let read = self.read.get() as f64;
        let rate = read / self.began.get().elapsed().as_secs_f64().max(1e-3);
        let megabytes = |bytes: f64| bytes / 1e6;
        let done = format!("{:.1} MB read, {:.1} MB/s", megabytes(read), megabytes(rate));
        match self.total.get() {
            Some(total) if rate > 0.0 => {
                let left = (total as f64 - read).max(0.0) / rate;
                format!(
                    "{done}, {:.0} % of {:.1} MB, {left:.0} s left",
                    100.0 * read / total as f64,
                    megabytes(total as f64)
                )
            }
            _ => done,
        }
    }
}
