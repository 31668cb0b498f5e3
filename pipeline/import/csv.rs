//! CSV with a header: finished calls become `call_record`, advertising costs `ad_cost`.

mod records;

use std::io::{self, BufRead, Read};

use callweave_core::event::{Direction, HangupBy, Outcome};
use callweave_core::phone::Party;
use callweave_core::time::{Date, Time};
use phonenumber::country;

use super::columns::{self, AD_COST, CALL, Columns};
use super::read::open;
use super::{Format, ImportError, ImportOptions, Run, values};
use records::{RECORD_BYTES_MOST, Records};

/// What the delimiter is found out from.
const HEADER_BYTES_MOST: u64 = 64 * 1024;
const COLUMNS_MOST: usize = 1000;
/// Lines that are looked through for the header: exports of advertising systems have titles above it.
const HEAD_LINES_MOST: usize = 20;

/// Looks over what can be told before any file is read.
pub(super) fn check(options: &ImportOptions) -> Result<(), ImportError> {
    if let Some(code) = options.currency.as_deref().filter(|code| !is_currency(code)) {
        return Err(ImportError::Currency(code.to_owned()));
    }
    columns::check(options)
}

fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_alphabetic())
}

pub(super) fn import(run: &mut Run<'_>) -> Result<(), ImportError> {
    let home = run.options.home()?;
    let (options, progress) = (run.options, run.progress);
    for path in &options.files {
        run.turn_to(path);
        let reader = open(path, &run.file, progress)?;
        file(run, reader, home)?;
    }
    Ok(())
}

/// The fields of a record. In another encoding than UTF-8 nobody knows what is meant, and names are not altered in silence.
pub(super) fn texts(record: &::csv::ByteRecord) -> Result<Vec<String>, String> {
    let text = |(at, field): (usize, &[u8])| match std::str::from_utf8(field) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => {
            let short = field[..field.len().min(40)].escape_ascii();
            Err(format!(
                "field {} (\"{short}\") is not UTF-8: save the file as UTF-8, such as with `iconv -f WINDOWS-1252 -t UTF-8`",
                at + 1
            ))
        }
    };
    record.iter().enumerate().map(text).collect()
}

fn file(run: &mut Run<'_>, mut reader: Box<dyn BufRead + '_>, home: Option<country::Id>) -> Result<(), ImportError> {
    let mut head = Vec::new();
    for _ in 0..HEAD_LINES_MOST {
        let room = HEADER_BYTES_MOST - head.len() as u64;
        let read = reader.by_ref().take(room).read_until(b'\n', &mut head);
        if read.map_err(|source| ImportError::Read { file: run.file.clone(), line: 0, source })? == 0 {
            break;
        }
    }
    let (titles, delimiter) = header_of(run, &head);
    if titles > 0 {
        run.progress.say(&format!("{}: the header is line {}; what stands above it is left out", run.file, titles + 1));
    }
    let above: usize = head.split_inclusive(|byte| *byte == b'\n').take(titles).map(<[u8]>::len).sum();
    head.drain(..above);
    let mut records = Records::new(io::Cursor::new(head).chain(reader), delimiter, titles as u64);
    let mut raw = ::csv::ByteRecord::new();
    let mut table: Option<(Table, usize)> = None;
    loop {
        let line = match records.read(&mut raw) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err((line, error)) => return Err(read_error(run, line, error)),
        };
        let record = texts(&raw);
        match &table {
            None => {
                let wrong = |reason| ImportError::Header { file: run.file.clone(), reason };
                let header = record.map_err(wrong)?;
                table = Some((Table::of(run, &header)?, header.len()));
            }
            Some((table, width)) => {
                run.counts.lines += 1;
                let done = record.and_then(|record| match record.len() == *width {
                    true => table.write(run, &record, home),
                    false => Err(format!("has {} fields where the header has {width}", record.len())),
                });
                match done {
                    Ok(()) => run.written()?,
                    Err(reason) => run.reject(line, &reason, &joined(&raw, delimiter))?,
                }
            }
        }
    }
}

/// How many lines stand above the header, and what separates columns: the first of the lines that tells of calls or costs is the header;
/// where none does, the first of those that have most columns is what messages are about.
fn header_of(run: &Run<'_>, head: &[u8]) -> (usize, u8) {
    let lines = head.split(|byte| *byte == b'\n').take(HEAD_LINES_MOST);
    let mut widest = (0, 0, delimiter(head.split(|byte| *byte == b'\n').next().unwrap_or_default()));
    for (at, line) in lines.enumerate() {
        let delimiter = delimiter(line);
        let reader = ::csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(line);
        let Some(Ok(record)) = reader.into_byte_records().next() else { continue };
        let Ok(header) = texts(&record) else { continue };
        if Table::of(run, &header).is_ok() {
            return (at, delimiter);
        }
        if header.len() > widest.0 {
            widest = (header.len(), at, delimiter);
        }
    }
    (widest.1, widest.2)
}

/// Whichever of comma, semicolon, tab and bar stands most often in the first line.
fn delimiter(header: &[u8]) -> u8 {
    let count = |delimiter: u8| header.iter().filter(|&&b| b == delimiter).count();
    // Of equals the last is taken, so the most usual stands there.
    b"|\t;,".iter().copied().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

fn read_error(run: &Run<'_>, line: u64, error: ::csv::Error) -> ImportError {
    let file = run.file.clone();
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            ImportError::Record { file, line, most: RECORD_BYTES_MOST as usize }
        }
        ::csv::ErrorKind::Io(source) => ImportError::Read { file, line, source },
        other => ImportError::Read { file, line, source: io::Error::other(format!("{other:?}")) },
    }
}

/// The record as CSV again, for the rejects.
fn joined(record: &::csv::ByteRecord, delimiter: u8) -> Vec<u8> {
    let mut writer = ::csv::WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(Vec::new());
    // Writing to a Vec cannot fail.
    let _ = writer.write_byte_record(record);
    let mut bytes = writer.into_inner().unwrap_or_default();
    bytes.pop();
    bytes
}

enum Table {
    Calls(Columns),
    AdCosts(Columns),
}

impl Table {
    fn of(run: &Run<'_>, header: &[String]) -> Result<Table, ImportError> {
        let header = &header[..header.len().min(COLUMNS_MOST)];
        let table = match run.options.format {
            Format::CallsCsv => Table::Calls(Columns::find(CALL, header, run)?),
            Format::AdCostsCsv => Table::AdCosts(Columns::find(AD_COST, header, run)?),
            _ if is_ad_costs(run, header)? => Table::AdCosts(Columns::find(AD_COST, header, run)?),
            _ => Table::Calls(Columns::find(CALL, header, run)?),
        };
        let missing = table.missing();
        if missing.is_empty() {
            return Ok(table);
        }
        let (file, missing) = (run.file.clone(), missing.join(", "));
        Err(ImportError::Columns { file, missing, header: header.join(", ") })
    }

    fn missing(&self) -> Vec<&'static str> {
        let (columns, needed): (&Columns, &[&'static str]) = match self {
            Table::Calls(columns) => (columns, &["from", "to", "started_at"]),
            Table::AdCosts(columns) => (columns, &["date", "source", "cost"]),
        };
        let mut missing: Vec<&str> = needed.iter().copied().filter(|member| !columns.has(member)).collect();
        if let Table::Calls(columns) = self
            && !["ended_at", "duration", "talk_seconds"].iter().any(|member| columns.has(member))
        {
            missing.push("ended_at or duration");
        }
        missing
    }

    /// Writes the event of a record, or says what is wrong with it.
    fn write(&self, run: &mut Run<'_>, record: &[String], home: Option<country::Id>) -> Result<(), String> {
        let (problem, counter) = match self {
            Table::Calls(columns) => {
                let call = CallLine::read(columns, record, run, home)?;
                (call.write(run, record), &mut run.counts.calls)
            }
            Table::AdCosts(columns) => {
                let cost = CostLine::read(columns, record, run)?;
                (cost.write(run, record), &mut run.counts.ad_costs)
            }
        };
        match problem {
            Some(reason) => Err(reason),
            None => {
                *counter += 1;
                Ok(())
            }
        }
    }
}

/// Costs have a cost and a date, no called number, and a source or nobody who calls.
fn is_ad_costs(run: &Run<'_>, header: &[String]) -> Result<bool, ImportError> {
    // A member that a flag names settles it, as columns may bear any name.
    let flags = &run.options;
    let named = flags.columns.first().map(|(_, member)| member).or(flags.values.first().map(|(member, _)| member));
    if let Some(member) = named {
        let of_calls = CALL.iter().any(|(name, _)| name == member);
        return Ok(!of_calls);
    }
    let (costs, calls) = (Columns::find(AD_COST, header, run)?, Columns::find(CALL, header, run)?);
    let names_somebody = calls.has("to") || calls.has("from") && !costs.has("source");
    Ok(costs.has("cost") && costs.has("date") && !names_somebody)
}

/// The value of a member, read by `read`; where that fails the reason names the member and the value.
fn member<T>(
    columns: &Columns,
    record: &[String],
    name: &str,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    match columns.get(record, name) {
        None => Ok(None),
        Some(text) => {
            let short: String = text.chars().take(40).collect();
            read(text).map(Some).ok_or_else(|| format!("{name}: {short:?} is not {what}"))
        }
    }
}

/// From what the line says, and what holds for all lines.
fn id(run: &mut Run<'_>, record: &[String]) -> String {
    let mut said = record.join("\u{1f}");
    for (member, value) in &run.options.values {
        said.extend(["\u{1e}", member, "\u{1f}", value]);
    }
    run.repeats.id(said.as_bytes())
}

/// A finished call.
struct CallLine<'r> {
    call_id: Option<&'r str>,
    direction: Direction,
    from: Party,
    to: Party,
    started_at: Time,
    answered_at: Option<Time>,
    ended_at: Time,
    outcome: Option<Outcome>,
    hangup_by: Option<HangupBy>,
    /// Other members, as they are.
    texts: Vec<(&'static str, &'r str)>,
}

const A_TIME: &str = "a time such as 2026-11-20 12:34:56 or 2026-11-20T12:34:56Z";
const A_DURATION: &str = "a number of seconds, or such as 0:01:03";

impl<'r> CallLine<'r> {
    fn read(
        columns: &'r Columns,
        record: &'r [String],
        run: &Run<'_>,
        home: Option<country::Id>,
    ) -> Result<CallLine<'r>, String> {
        let zone = run.options.timezone;
        let time = |name, from| member(columns, record, name, A_TIME, |text| values::time(text, zone, from));
        let seconds = |name| member(columns, record, name, A_DURATION, values::duration);
        let direction = member(columns, record, "direction", "inbound, outbound or callback", values::direction)?;
        let direction = direction.unwrap_or(Direction::Inbound);
        let outcome_text = columns.get(record, "outcome");
        let mut outcome = outcome_text.and_then(values::outcome);
        let started_at = time("started_at", None)?.ok_or("started_at is empty")?;
        let (talk, whole) = (seconds("talk_seconds")?, seconds("duration")?);
        let mut answered_at = match answered(columns, record, zone, started_at)? {
            Answered::At(at) => at,
            Answered::Untimed => {
                outcome = outcome.or(Some(Outcome::Answered));
                None
            }
        };
        let ended_at = match (time("ended_at", answered_at.max(Some(started_at)))?, whole, answered_at, talk) {
            (Some(end), ..) => end,
            (None, Some(whole), ..) => started_at.plus(whole),
            (None, None, Some(answer), Some(talk)) => answer.plus(talk),
            (None, None, None, Some(talk)) => started_at.plus(talk),
            (None, None, _, None) => return Err("neither ended_at nor duration has a value".to_owned()),
        };
        if answered_at.is_none() {
            // Talk is the last part of a call. A call told as answered, whose talk is not told apart, is all talk.
            answered_at = match talk {
                Some(talk) if talk > 0 => Some(ended_at.minus(talk).max(started_at)),
                None if outcome == Some(Outcome::Answered) => Some(started_at),
                _ => None,
            };
        }
        if ended_at < started_at {
            return Err("ended_at is before started_at".to_owned());
        }
        if answered_at.is_some_and(|answer| answer < started_at || answer > ended_at) {
            return Err("answered_at is not between started_at and ended_at".to_owned());
        }
        let (from, to) = parties(columns, record, direction, home)?;
        let mut texts = Vec::new();
        for name in ["extension", "destination", "agent", "cause", "recording_url"] {
            texts.extend(columns.get(record, name).map(|text| (name, text)));
        }
        // A result in words of its own is still worth keeping.
        if let (Some(text), None, false) = (outcome_text, outcome, columns.get(record, "cause").is_some()) {
            texts.push(("cause", text));
        }
        Ok(CallLine {
            call_id: columns.get(record, "call_id"),
            direction,
            from,
            to,
            started_at,
            answered_at,
            ended_at,
            outcome,
            hangup_by: columns.get(record, "hangup_by").and_then(values::hangup_by),
            texts,
        })
    }

    fn write(&self, run: &mut Run<'_>, record: &[String]) -> Option<String> {
        let id = id(run, record);
        run.begin("call_record", self.ended_at, &id);
        let lines = &mut run.lines;
        // Without an id of its own a call is known by what the line says.
        lines.text("call_id", self.call_id.unwrap_or(&id));
        lines.text("direction", self.direction.name());
        lines.phone("from", self.from.number().map_or(0, |phone| phone.0));
        lines.phone("to", self.to.number().map_or(0, |phone| phone.0));
        lines.time("started_at", self.started_at);
        if let Some(answered_at) = self.answered_at {
            lines.time("answered_at", answered_at);
        }
        lines.time("ended_at", self.ended_at);
        lines.text_if("outcome", self.outcome.map(Outcome::name));
        lines.text_if("hangup_by", self.hangup_by.map(HangupBy::name));
        for (name, text) in &self.texts {
            lines.text(name, text);
        }
        run.finish()
    }
}

enum Answered {
    At(Option<Time>),
    /// It was, and nothing tells when.
    Untimed,
}

/// `answered_at`; some exports have a column `answered` that says yes or no instead.
fn answered(columns: &Columns, record: &[String], zone: chrono_tz::Tz, started_at: Time) -> Result<Answered, String> {
    match &*columns.get(record, "answered_at").unwrap_or_default().to_ascii_lowercase() {
        "yes" | "true" | "1" | "y" => return Ok(Answered::Untimed),
        "no" | "false" | "0" | "n" => return Ok(Answered::At(None)),
        _ => {}
    }
    let read = |text: &str| values::time(text, zone, Some(started_at));
    member(columns, record, "answered_at", A_TIME, read).map(Answered::At)
}

/// Of the business's own number and the client's, only the client's may be withheld, and only where the client calls.
fn parties(
    columns: &Columns,
    record: &[String],
    direction: Direction,
    home: Option<country::Id>,
) -> Result<(Party, Party), String> {
    let mend = if home.is_some() { "" } else { ", unless --country says where it is" };
    let read = |name: &str| {
        let text = columns.get(record, name);
        let short: String = text.unwrap_or_default().chars().take(40).collect();
        values::party(text, home).ok_or_else(|| format!("{name}: {short:?} is not a telephone number{mend}"))
    };
    let (from, to) = (read("from")?, read("to")?);
    let withheld = |name: &str| format!("{name} is empty or withheld, but must be a telephone number");
    match (direction, from, to) {
        (_, _, Party::Anonymous) => Err(withheld("to")),
        (Direction::Outbound, Party::Anonymous, _) => Err(withheld("from")),
        _ => Ok((from, to)),
    }
}

/// What a day's advertising cost.
struct CostLine<'r> {
    date: Date,
    cost: String,
    currency: String,
    source: &'r str,
    medium: &'r str,
    clicks: Option<u64>,
    impressions: Option<u64>,
    texts: Vec<(&'static str, &'r str)>,
}

/// The medium of a cost whose line names none: what is paid by the click.
const MEDIUM_DEFAULT: &str = "cpc";

impl<'r> CostLine<'r> {
    fn read(columns: &'r Columns, record: &'r [String], run: &Run<'_>) -> Result<CostLine<'r>, String> {
        let count = |name| member(columns, record, name, "a whole number", values::count);
        let written = columns.get(record, "cost").map(values::currencies).unwrap_or_default();
        let currency = match (columns.get(record, "currency"), &written[..]) {
            (Some(told), _) => told,
            (None, [only]) => only,
            (None, _) => run
                .options
                .currency
                .as_deref()
                .ok_or("has no currency: name one with --currency, such as --currency USD")?,
        };
        if !is_currency(currency) {
            return Err(format!("currency: {currency:?} is not a currency's three letters (ISO 4217), such as USD"));
        }
        if let [other, ..] = &written[..]
            && !written.iter().any(|it| it.eq_ignore_ascii_case(currency))
        {
            let of_sign = if written.len() > 1 { " or another with its sign" } else { "" };
            return Err(format!(
                "cost is in {other}{of_sign}, and the line's currency is {currency}: which of them is meant?"
            ));
        }
        let mut texts = Vec::new();
        for name in ["campaign", "term", "content"] {
            texts.extend(columns.get(record, name).map(|text| (name, text)));
        }
        Ok(CostLine {
            date: member(columns, record, "date", "a date such as 2026-11-20", values::date)?.ok_or("date is empty")?,
            cost: member(columns, record, "cost", "an amount of money", values::money)?.ok_or("cost is empty")?,
            currency: currency.to_ascii_uppercase(),
            source: columns.get(record, "source").ok_or("source is empty")?,
            medium: columns.get(record, "medium").unwrap_or(MEDIUM_DEFAULT),
            clicks: count("clicks")?,
            impressions: count("impressions")?,
            texts,
        })
    }

    fn write(&self, run: &mut Run<'_>, record: &[String]) -> Option<String> {
        let id = id(run, record);
        run.begin("ad_cost", self.date.start(), &id);
        let lines = &mut run.lines;
        lines.date("date", self.date);
        lines.text("source", self.source);
        lines.text("medium", self.medium);
        for (name, text) in &self.texts {
            lines.text(name, text);
        }
        lines.json("cost", &self.cost);
        lines.text("currency", &self.currency);
        for (name, count) in [("clicks", self.clicks), ("impressions", self.impressions)] {
            if let Some(count) = count {
                lines.integer(name, count);
            }
        }
        run.finish()
    }
}
