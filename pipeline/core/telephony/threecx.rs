//! 3CX: one line a call, over TCP or from a file, with the columns that its CDR page was told to write.

use chrono_tz::Tz;

use super::draft::{Draft, label, record, step};
use super::leg::Callee;
use super::line::cells;
use super::number::{Book, Digits};
use super::outcome::Legs;
use super::{Pass, Taken, Terms, when};
use crate::event::{CallStatus, HangupBy, Outcome};
use crate::limits::COLUMNS_MAX;
use crate::time::Time;

/// The columns of 3CX as it comes (version 18, "CDR output fields").
pub const STANDARD: &str = "historyid,callid,duration,time-start,time-answered,time-end,reason-terminated,from-no,to-no,\
                            from-dn,to-dn,dial-no,reason-changed,final-number,final-dn,bill-code,bill-rate,bill-cost,\
                            bill-name,chain";

const NAMES: [&str; 28] = [
    "historyid",
    "callid",
    "duration",
    "time-start",
    "time-answered",
    "time-end",
    "reason-terminated",
    "from-no",
    "to-no",
    "from-dn",
    "to-dn",
    "dial-no",
    "reason-changed",
    "final-number",
    "final-dn",
    "bill-code",
    "bill-rate",
    "bill-cost",
    "bill-name",
    "chain",
    "from-type",
    "to-type",
    "final-type",
    "from-dispname",
    "to-dispname",
    "final-dispname",
    "missed-queue-calls",
    "-",
];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    #[error(
        "{0:?} is no column of 3CX: take its names as they stand on its page, such as time-start, or - to pass one over"
    )]
    Unknown(String),
    #[error("the column {0} is missing: without it no call can be made of a line")]
    Missing(&'static str),
    #[error("there are {0} columns, and at most 64 are read")]
    TooMany(usize),
}

/// Reads lines. It holds nothing between two of them.
pub struct ThreeCx {
    source: String,
    columns: Vec<String>,
    zone: Tz,
}

impl ThreeCx {
    /// `columns` as they are configured, separated by commas; `zone` is the server's.
    ///
    /// # Errors
    /// For a name that is no column, and where one is missing without which there is no call.
    pub fn new(source: String, columns: &str, zone: Tz) -> Result<ThreeCx, ColumnsError> {
        let columns: Vec<String> = columns.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        if columns.len() > COLUMNS_MAX {
            return Err(ColumnsError::TooMany(columns.len()));
        }
        if let Some(unknown) = columns.iter().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(ColumnsError::Unknown(crate::time::shortened(unknown).to_owned()));
        }
        for name in ["time-start", "time-end", "from-no", "to-no"] {
            if !columns.iter().any(|column| column == name) {
                return Err(ColumnsError::Missing(name));
            }
        }
        Ok(ThreeCx { source, columns, zone })
    }

    /// Takes a line, without its end. `received` is nothing where it may be old.
    pub fn push(&self, line: &[u8], terms: &Terms<'_>, received: Option<Time>) -> Taken {
        let mut draft = Draft::line(line, received, terms, &self.source);
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return draft.taken();
        }
        match cells(trimmed) {
            Err(reason) => draft.reject("", reason),
            Ok(cells) => {
                let get = |name: &str| {
                    let at = self.columns.iter().position(|column| column == name)?;
                    // A list in the last column may have commas of its own; nothing else does.
                    cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
                };
                self.call(&mut draft, &get, terms);
            }
        }
        draft.taken()
    }

    fn call<'c>(&self, draft: &mut Draft<'_>, get: &dyn Fn(&str) -> Option<&'c str>, terms: &Terms<'_>) {
        let time = |name: &str, from| {
            let local = |text| when::local_from(text, self.zone, from);
            get(name).and_then(|text| if text.ends_with('Z') { when::rfc(text) } else { local(text) })
        };
        let started_at = time("time-start", None);
        let (Some(started_at), Some(ended_at)) = (started_at, time("time-end", started_at)) else {
            return draft
                .reject("time-start", "time-start or time-end is no time such as 2026/11/20 09:00:00".to_owned());
        };
        let id = get("callid").or(get("historyid")).map(|id| id.trim_start_matches("Call ").to_owned());
        let Some(id) = id else { return draft.missing("callid") };
        let book = Book::new(terms.rules);
        let side =
            |names: &[&str]| book.side(names.iter().find_map(|name| get(name)).unwrap_or_default(), Digits::National);
        // What was dialled is the number from outside; where the call went first is a queue or an extension.
        let from = side(&["from-no", "from-dn"]);
        let (to, dialled) = (side(&["to-no", "to-dn"]), side(&["dial-no", "to-no"]));
        let own = matches!(dialled, super::number::Side::Own(_));
        let Some(parties) = book.parties(from, if own { dialled } else { to }, None) else {
            return draft.pass(Pass::Internal);
        };
        let answered_at = time("time-answered", Some(started_at));
        let legs = legs(get, answered_at.is_some());
        let mut record = record(&id, &parties, started_at, ended_at);
        record.answered_at = answered_at.filter(|_| legs.bridged);
        record.outcome = legs.told();
        record.cause = get("reason-terminated").and_then(label);
        record.hangup_by = match (get("reason-terminated"), parties.direction) {
            (Some("TerminatedBySrc"), crate::event::Direction::Outbound) => Some(HangupBy::Agent),
            (Some("TerminatedByDst"), crate::event::Direction::Outbound) => Some(HangupBy::Caller),
            (Some("TerminatedBySrc"), _) => Some(HangupBy::Caller),
            (Some("TerminatedByDst"), _) => Some(HangupBy::Agent),
            _ => None,
        };
        let callee = Callee::of_call(&book, &parties, get("final-number").or(get("to-no")));
        record.agent = callee.agent.and_then(label);
        record.destination = callee.at.and_then(label);
        if legs.outcome() == Some(Outcome::AbandonedMenu) {
            let at = draft.near(answered_at.unwrap_or(started_at));
            draft.call(format!("{id}/menu"), at, step(&id, CallStatus::Menu, &parties));
        }
        draft.record(format!("{id}/{}", get("historyid").unwrap_or("record")), 0, record);
    }
}

/// A call that was answered at a queue or a menu and ended there met nobody.
fn legs<'c>(get: &dyn Fn(&str) -> Option<&'c str>, answered: bool) -> Legs {
    let kind = get("final-type").or(get("to-type")).unwrap_or_default().to_ascii_lowercase();
    let last = get("final-number").or(get("to-no")).unwrap_or_default().to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| kind.contains(word) || last.starts_with(word));
    let reason = get("reason-terminated").unwrap_or_default().to_ascii_lowercase();
    let mut legs = Legs::default();
    match (answered, is(&["vmail", "voicemail"]), is(&["ivr", "dr."]), is(&["queue", "q.", "ringgroup"])) {
        (_, true, ..) => legs.voicemail = true,
        (true, _, true, _) => legs.menu = true,
        (true, _, _, true) => legs.missed = true,
        (true, ..) => legs.bridged = true,
        (false, ..) if reason.contains("busy") => legs.busy = true,
        (false, ..) if reason.contains("fail") || reason.contains("notfound") => legs.failed = true,
        (false, ..) => legs.missed = true,
    }
    legs
}
