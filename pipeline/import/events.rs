//! NDJSON of contract events: each line is decoded as the collector would, and passed on unchanged.

use callweave_core::event::decode;

use super::{ImportError, Run};

pub(super) fn import(run: &mut Run<'_>) -> Result<(), ImportError> {
    run.each_line(|run, number, line| match decode(line, None) {
        Ok(_) => {
            run.lines.line(line);
            run.counts.events += 1;
            run.written()
        }
        Err(rejected) if rejected.path.is_empty() => run.reject(number, &rejected.reason, line),
        Err(rejected) => run.reject(number, &format!("{}: {}", rejected.path, rejected.reason), line),
    })
}
