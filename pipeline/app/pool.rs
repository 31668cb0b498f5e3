//! `callweave pool plan`.

use std::io::{self, BufWriter, Write};

use callweave_core::plan::{Load, plan as plan_of};

use super::{Failure, block_on};
use crate::plan::{self, Asked, Format, Source};
use crate::query::{self, TrafficOptions};
use crate::telemetry::progress::Progress;
use crate::telemetry::say;

/// What is planned for.
pub enum Traffic {
    Lake(TrafficOptions),
    Files(Source),
    Rate(Load),
}

/// Writes the plan to standard output.
pub fn plan(traffic: Traffic, asked: Asked, format: Format) -> Result<(), Failure> {
    let nothing = Load { visits_per_hour: 0.0, taken_seconds: 0.0 };
    let (load, visits) = match traffic {
        Traffic::Rate(load) => (load, None),
        Traffic::Lake(options) => (nothing, Some(block_on(query::traffic(&options))?)),
        Traffic::Files(source) => {
            let read = plan::visits(&source, asked.terms.hold, &Progress::on_stderr());
            let (visits, unusable) = read.map_err(Failure::failed)?;
            if unusable > 0 {
                say!("callweave: {unusable} lines are no events, and were passed over");
            }
            (nothing, Some(visits))
        }
    };
    if visits.as_ref().is_some_and(Vec::is_empty) {
        return Err(Failure::said(
            "there are no visits to plan for: look at --account and --site, or give --visits-per-hour",
        ));
    }
    let plan = plan_of(load, &visits.unwrap_or_default(), asked.terms, asked.target);
    let mut out = BufWriter::new(io::stdout().lock());
    let written = plan::write(&plan, asked, format, &mut out).and_then(|()| out.flush());
    match written {
        // A reader that goes away has had enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}
