//! `Master.csv`: one or more rows a call.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::layout::{Column, Layout, Row};
use super::{dialled, is_voicemail};
use crate::event::{CallStatus, Direction};
use crate::limits::{OPEN_CALLS_MAX, ROWS_PER_CALL};
use crate::telephony::draft::{Draft, label, record, step};
use crate::telephony::leg::Callee;
use crate::telephony::line::cells;
use crate::telephony::number::{Book, Digits, Parties};
use crate::telephony::outcome::{Legs, Why, asterisk};
use crate::telephony::tag::{Role, Tag};
use crate::telephony::{Pass, Taken, Terms, oldest_quarter, when};
use crate::time::Time;

/// Makes calls of rows. A call is told when the rows of another begin, and at [`Master::flush`]; rows that come later tell
/// it anew, as a whole. At most [`OPEN_CALLS_MAX`] calls with [`ROWS_PER_CALL`] rows each are held: beyond it those
/// longest untouched go, and a row of theirs makes a call by itself.
pub struct Master {
    source: String,
    layout: Option<Layout>,
    zone: Tz,
    calls: BTreeMap<String, Group>,
    /// The call of the last row, if it has not been told since.
    open: Option<String>,
    rows: u64,
}

struct Group {
    rows: Vec<Row>,
    /// The last row's line.
    raw: Vec<u8>,
    /// By the count of rows.
    touched: u64,
}

impl Master {
    /// `layout` is nothing where each line's width tells it (16, 18 or 21 columns); `zone` is UTC with `usegmtime`.
    pub fn new(source: String, layout: Option<Layout>, zone: Tz) -> Master {
        Master { source, layout, zone, calls: BTreeMap::new(), open: None, rows: 0 }
    }

    /// Takes a line, without its end. `received` is nothing where the file may be old.
    pub fn push(&mut self, line: &[u8], terms: &Terms<'_>, received: Option<Time>) -> Taken {
        let mut draft = Draft::line(line, received, terms, &self.source);
        if line.trim_ascii().is_empty() {
            return draft.taken();
        }
        let row = cells(line).and_then(|cells| {
            let layout = self.layout.clone().or_else(|| Layout::of_width(cells.len()));
            let layout = layout.ok_or_else(|| {
                format!("has {} columns: say which ones (`columns` of the provider, `import --columns`)", cells.len())
            })?;
            layout.read(cells).map_err(|error| error.to_string())
        });
        let row = match row {
            Ok(row) => row,
            Err(reason) => {
                draft.reject("", reason);
                return draft.taken();
            }
        };
        let key = key(&row);
        let told = if self.open.as_ref() == Some(&key) { Taken::default() } else { self.flush(terms, received) };
        self.add(key, row, line);
        told
    }

    /// Tells what is not told yet: at the end of a file, and where a growing one pauses.
    pub fn flush(&mut self, terms: &Terms<'_>, received: Option<Time>) -> Taken {
        let Some(key) = self.open.take() else { return Taken::default() };
        let Some(group) = self.calls.get(&key) else { return Taken::default() };
        let mut draft = Draft::line(&group.raw, received, terms, &self.source);
        tell(&mut draft, &key, &group.rows, self.zone, terms);
        draft.taken()
    }

    fn add(&mut self, key: String, row: Row, line: &[u8]) {
        self.rows += 1;
        if !self.calls.contains_key(&key) && self.calls.len() >= OPEN_CALLS_MAX {
            let oldest = oldest_quarter(self.calls.values().map(|group| group.touched));
            self.calls.retain(|_, group| group.touched > oldest);
        }
        let empty = || Group { rows: Vec::new(), raw: Vec::new(), touched: 0 };
        let group = self.calls.entry(key.clone()).or_insert_with(empty);
        group.touched = self.rows;
        group.raw = line.to_vec();
        if group.rows.len() < ROWS_PER_CALL {
            group.rows.push(row);
        }
        self.open = Some(key);
    }
}

/// Older files have neither id: each row is a call then, named by what cannot be another's.
fn key(row: &Row) -> String {
    let own = || format!("{}/{}", row.get(Column::Channel).unwrap_or("?"), row.get(Column::Start).unwrap_or("?"));
    row.get(Column::LinkedId).or(row.get(Column::UniqueId)).map_or_else(own, str::to_owned)
}

/// One call of all its rows.
fn tell(draft: &mut Draft<'_>, call_id: &str, rows: &[Row], zone: Tz, terms: &Terms<'_>) {
    let start = |row: &Row| row.get(Column::Start).and_then(|text| when::local(text, zone));
    let time = |row: &Row, column| row.get(column).and_then(|text| when::local_from(text, zone, start(row)));
    let starts = rows.iter().filter_map(start);
    let ends = rows.iter().filter_map(|row| time(row, Column::End));
    let (Some(started_at), Some(ended_at), Some(last)) = (starts.min(), ends.max(), rows.last()) else {
        return draft.reject("start", "start or end is no time such as 2026-11-20 09:00:00".to_owned());
    };
    let book = Book::new(terms.rules);
    let parties = match parties(&book, rows) {
        Ok(parties) => parties,
        Err(pass) => return draft.pass(pass),
    };
    let (legs, answered) = legs(rows, parties.direction);
    // Each further row of a call is told later than the one before, though both may end in one second.
    let later = rows.len() as i64 - 1;
    let mut record = record(call_id, &parties, started_at, ended_at);
    record.answered_at = answered.and_then(|row| time(row, Column::Answer)).filter(|_| legs.bridged);
    record.outcome = legs.told();
    record.cause = answered.unwrap_or(last).get(Column::Disposition).and_then(label);
    let callee = answered.filter(|_| legs.bridged).and_then(|row| row.get(Column::DstChannel)).map(of_channel);
    let callee = Callee::of_call(&book, &parties, callee.as_deref());
    record.agent = callee.agent.and_then(label);
    record.destination = callee.at.and_then(label);
    let identity = [Column::UniqueId, Column::Sequence].map(|column| last.get(column).unwrap_or("-"));
    if legs.outcome() == Some(crate::event::Outcome::AbandonedMenu) {
        let at = rows.iter().find_map(|row| time(row, Column::Answer)).unwrap_or(started_at);
        draft.call(format!("{call_id}/menu"), draft.near(at), step(call_id, CallStatus::Menu, &parties));
    }
    draft.record(format!("{call_id}/{}/{}/{}", identity[0], identity[1], rows.len()), later, record);
}

/// Who called whom: by the row of the caller's own channel, where its number was dialled first.
fn parties(book: &Book<'_>, rows: &[Row]) -> Result<Parties, Pass> {
    let tag = rows.iter().filter_map(|row| row.get(Column::UserField)).find_map(Tag::parse);
    if let Some(tag) = tag {
        return Ok(tag.parties);
    }
    let sides = |row: &Row| {
        let to = row.get(Column::Dst).and_then(dialled).unwrap_or_default();
        (book.side(row.get(Column::Src).unwrap_or_default(), Digits::National), book.side(to, Digits::National))
    };
    // A row that names one of the account's numbers says more than one of a queue's member.
    let of = |row: &Row| {
        let (from, to) = sides(row);
        book.parties(from, to, None)
    };
    let found: Vec<Parties> = rows.iter().filter_map(of).collect();
    let own = |parties: &&Parties| {
        let numbers = [parties.from, parties.to];
        numbers.iter().any(|it| it.number().is_some_and(|number| book.rules().number(number).is_some()))
    };
    found.iter().find(own).or(found.first()).cloned().ok_or(Pass::Internal)
}

/// How the call went, and the row in which it was answered.
fn legs(rows: &[Row], direction: Direction) -> (Legs, Option<&Row>) {
    let mut legs = Legs::default();
    let mut answered = None;
    let dialled = rows.iter().any(|row| row.get(Column::DstChannel).is_some());
    for row in rows {
        let why = row.get(Column::Disposition).and_then(asterisk);
        let app = row.get(Column::LastApp).unwrap_or_default();
        let role = row.get(Column::UserField).and_then(Tag::parse).map_or(Role::Main, |tag| tag.role);
        match why {
            Some(Why::Over) if is_voicemail(app) => legs.voicemail = true,
            Some(Why::Over) if row.get(Column::DstChannel).is_some() && role != Role::Agent => {
                legs.bridged = true;
                answered = answered.or(Some(row));
            }
            // Only whoever calls in meets a menu.
            Some(Why::Over) if !dialled && direction != Direction::Outbound => legs.menu = true,
            Some(Why::Over) | None => {}
            Some(_) if role == Role::Agent => legs.agent_missed = true,
            Some(_) if role == Role::Client => legs.client_missed = true,
            other => legs.note(other),
        }
    }
    (legs, answered)
}

/// The peer of a channel's name: `PJSIP/12-0000001c` is 12.
fn of_channel(name: &str) -> String {
    let name = name.split_once('/').map_or(name, |(_, rest)| rest);
    let name = name.rsplit_once('-').map_or(name, |(peer, _)| peer);
    name.split('@').next().unwrap_or(name).to_owned()
}
