//! Call records of telephone systems. The events are those that following the same file gives, so a file that was imported
//! and is followed then counts once.

use std::io::{BufRead, Read};

use callweave_core::event::{Body, CallStatus};
use callweave_core::settings::Rules;
use callweave_core::telephony::asterisk::{Cel, Layout, Master};
use callweave_core::telephony::threecx::{self, ThreeCx};
use callweave_core::telephony::{Pass, Taken, Terms, freeswitch};

use super::read::{LINE_BYTES_MOST, open};
use super::{Format, ImportError, Run, reason};

/// A file of FreeSWITCH's holds one record, or one a line.
const RECORD_FILE_BYTES_MOST: u64 = 1 << 30;

pub(super) fn import(run: &mut Run<'_>) -> Result<(), ImportError> {
    let (options, wrong) = (run.options, |reason: String| ImportError::RecordColumns(reason));
    let rules = Rules::new(options.settings.clone().unwrap_or_default()).at_home(options.home()?);
    let terms = Terms { account: &options.account, rules: &rules, secret: None, base: "" };
    let columns = options.record_columns.as_deref();
    match options.format {
        Format::AsteriskCel => {
            let mut parser = Cel::new("asterisk".to_owned(), columns, options.timezone);
            run.each_line(|run, number, line| run.take(number, parser.push(line, &terms, None)))
        }
        Format::ThreeCx => {
            let columns = columns.unwrap_or(threecx::STANDARD);
            let parser = ThreeCx::new("3cx".to_owned(), columns, options.timezone);
            let parser = parser.map_err(|error| wrong(error.to_string()))?;
            run.each_line(|run, number, line| run.take(number, parser.push(line, &terms, None)))
        }
        Format::FreeSwitch => records(run, &terms),
        _ => {
            let layout = columns.map(Layout::parse).transpose().map_err(|error| wrong(error.to_string()))?;
            let mut parser = Master::new("asterisk".to_owned(), layout, options.timezone);
            run.each_line(|run, number, line| run.take(number, parser.push(line, &terms, None)))?;
            run.take(0, parser.flush(&terms, None))
        }
    }
}

/// One record a file, as mod_json_cdr writes them, or one a line.
fn records(run: &mut Run<'_>, terms: &Terms<'_>) -> Result<(), ImportError> {
    let (options, progress) = (run.options, run.progress);
    for path in &options.files {
        run.turn_to(path);
        let file = run.file.clone();
        let mut reader = open(path, &file, progress)?;
        let failed = |line, source| ImportError::Read { file: file.clone(), line, source };
        let (mut number, mut record) = (0, Vec::new());
        let mut bounded = Read::take(&mut reader, RECORD_FILE_BYTES_MOST);
        loop {
            let read = bounded.read_until(b'\n', &mut record).map_err(|source| failed(number, source))?;
            number += u64::from(read > 0);
            // A record that is written over several lines ends where its brackets are closed.
            let begun = record.trim_ascii().first() == Some(&b'{');
            let whole = !begun || serde_json::from_slice::<serde::de::IgnoredAny>(&record).is_ok();
            if read > 0 && !whole && record.len() < LINE_BYTES_MOST {
                continue;
            }
            if !record.trim_ascii().is_empty() {
                run.counts.lines += 1;
                run.take(number, freeswitch::record_of(record.trim_ascii(), terms, None))?;
            }
            record.clear();
            if read == 0 {
                break;
            }
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Writes what a line came to.
    fn take(&mut self, number: u64, taken: Taken) -> Result<(), ImportError> {
        for event in &taken.events {
            self.lines.line(event.to_json().as_bytes());
            // A call is told by several events, of which one says that it is over.
            match &event.body {
                Body::CallRecord(_) => self.counts.calls += 1,
                Body::Call(call) if call.status == CallStatus::Ended => self.counts.calls += 1,
                _ => self.counts.events += 1,
            }
        }
        self.counts.internal += taken.passed.iter().filter(|pass| **pass == Pass::Internal).count() as u64;
        for rejected in &taken.rejected {
            self.reject(number, &reason(rejected), &rejected.raw)?;
        }
        self.written()
    }
}
