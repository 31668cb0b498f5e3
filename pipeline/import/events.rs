//! NDJSON of contract events: each line is decoded as the collector would, and passed on unchanged.

use callweave_core::event::decode;

use super::{ImportError, Run, reason};

pub(super) fn import(run: &mut Run<'_>) -> Result<(), ImportError> {
    run.each_line(|run, number, line| match decode(line, None) {
        Ok(_) => {
            run.lines.line(line);
            run.counts.events += 1;
            run.written()
        }
        Err(rejected) => run.reject(number, &reason(&rejected), line),
    })
}
