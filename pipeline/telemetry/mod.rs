//! What the program tells about itself: [`logs`] for people, [`metrics`] for machines, [`troubles`] for whoever sends it work.

use std::io::Write;

pub mod logs;
pub mod metrics;
pub mod progress;
pub mod troubles;

mod exposition;

/// Says a line to people on stderr, written as for `format!`. Whoever closed stderr does not want to know, and nothing ends for it.
macro_rules! say {
    ($($told:tt)*) => {
        $crate::telemetry::say_line(format_args!($($told)*))
    };
}
pub(crate) use say;

/// What `say!` does.
pub(crate) fn say_line(told: std::fmt::Arguments<'_>) {
    // In one write: lines of several threads do not mix.
    let _ = std::io::stderr().write_all(format!("{told}\n").as_bytes());
}
