//! The synchronous heart of every job: what arrived is decoded, surveyed, joined, and turned into rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arrow::error::ArrowError;
use callweave_core::event::{Body, Event, PageView, Rejected, decode};
use callweave_core::join::{Effects, Join, Nobody, Verdict};
use callweave_core::row::CallRow;
use callweave_core::settings::IpPrecision;
use callweave_core::source::{Surveyor, Visit};
use callweave_core::time::Time;

use crate::lake::batch::{DayBatch, rows_to_batches};
use crate::lake::table::{EventRow, PageViewRow, RejectedRow, Row, TableName, TagRow};

/// Rows, table by table and day by day.
pub type Batches = Vec<(TableName, DayBatch)>;

/// Something that arrived: an event, or what cannot be used.
pub struct Item<'a> {
    pub what: Result<Event<'a>, Box<Rejected>>,
    /// As they came.
    pub bytes: &'a [u8],
    pub received: Time,
    pub origin: Origin<'a>,
}

/// Where bytes came from.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    Told(&'a str),
    Line { file: &'a str, line: u64 },
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Told(origin) => f.write_str(origin),
            Origin::Line { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

impl<'a> Item<'a> {
    /// `received`: the clock of whoever took the bytes in, where there was one; `or` stands in for it in `rejected`.
    pub fn decode(bytes: &'a [u8], received: Option<Time>, or: Time, origin: Origin<'a>) -> Item<'a> {
        Item { what: decode(bytes, received), bytes, received: received.unwrap_or(or), origin }
    }
}

/// What the surveyor says of each page view among `items`.
pub fn survey<'a>(surveyor: &mut Surveyor, items: &'a [Item<'a>]) -> Vec<Option<Visit<'a>>> {
    let visit = |item: &'a Item<'a>| match &item.what {
        Ok(Event { body: Body::PageView(view), .. }) => Some(surveyor.visit(view)),
        _ => None,
    };
    items.iter().map(visit).collect()
}

/// How many of what was applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub duplicates: u64,
    pub rejected: u64,
}

/// What becomes of an item itself.
pub enum Fate {
    /// It counts, and lands if it has a row of its own.
    Lands(Kept),
    /// What it says cannot be used any more.
    TooLate,
    /// It has no row; what cannot be used at all has that in `rejected`.
    Nothing,
}

impl Fate {
    fn kept(&self) -> Option<&Kept> {
        if let Fate::Lands(kept) = self { Some(kept) } else { None }
    }
}

/// What an event's own row has besides the event.
pub struct Kept {
    precision: IpPrecision,
    /// For an amount without a currency.
    currency: Option<Box<str>>,
    /// In place of somebody erased, of whom it tells late.
    nobody: Option<Box<Nobody>>,
}

impl Kept {
    fn of(join: &Join, event: &Event<'_>, nobody: Option<Box<Nobody>>) -> Kept {
        let precision = join.ip_precision(&event.account, event.time);
        let wants_currency = match &event.body {
            Body::WebEvent(data) => data.value.is_some() && data.currency.is_none(),
            Body::CallTag(data) => data.value.is_some() && data.currency.is_none(),
            Body::Deal(data) => data.revenue.or(data.margin).is_some() && data.currency.is_none(),
            _ => false,
        };
        let currency = if wants_currency { join.currency(&event.account, event.time).map(Box::from) } else { None };
        Kept { precision, currency, nobody }
    }
}

/// Applies items in order; tells what becomes of each.
pub fn apply(
    join: &mut Join,
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    out: &mut Effects,
    counts: &mut Counts,
) -> Vec<Fate> {
    let mut fates = Vec::with_capacity(items.len());
    for (item, visit) in items.iter().zip(visits) {
        let Ok(event) = &item.what else {
            counts.rejected += 1;
            fates.push(Fate::Nothing);
            continue;
        };
        let verdict = join.apply(event, visit.as_ref(), out);
        match verdict {
            Verdict::Forgotten => counts.rejected += 1,
            _ => counts.events += 1,
        }
        fates.push(match verdict {
            Verdict::Taken => Fate::Lands(Kept::of(join, event, out.nobody.take())),
            Verdict::Forgotten => Fate::TooLate,
            Verdict::Duplicate => {
                counts.duplicates += 1;
                Fate::Nothing
            }
            Verdict::Erased => Fate::Nothing,
        });
    }
    fates
}

/// Why what tells of a call that was forgotten is rejected.
const TOO_LATE: &str = "tells of a call that was over and silent for more than a day, and was forgotten: its row stays as it is; \
                        tags, notes and deals of it are still taken";

/// The rows of what was taken and of what it led to.
pub fn rows(
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    fates: &[Fate],
    effects: &mut Effects,
) -> Result<Batches, ArrowError> {
    let mut batches = Batches::new();
    let nameless = nameless(items, visits, fates);
    page_views(items, visits, fates, &nameless, &mut batches)?;
    let mut rejected = Vec::new();
    let (mut webs, mut tags, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut transcripts, mut deals, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (item, fate)) in items.iter().zip(fates).enumerate() {
        let (event, kept) = match (&item.what, fate) {
            (Ok(event), Fate::Lands(kept)) => (nameless.get(&at).map_or(event, |it| &it.0), kept),
            (Ok(event), Fate::TooLate) => {
                rejected.push(RejectedRow {
                    account: Some(&event.account),
                    reason: TOO_LATE,
                    path: "data.call_id",
                    source: item.origin.to_string(),
                    received_at: item.received,
                    raw: item.bytes,
                });
                continue;
            }
            (Ok(_), Fate::Nothing) => continue,
            (Err(wrong), _) => {
                rejected.push(RejectedRow {
                    account: wrong.account.as_deref(),
                    reason: &wrong.reason,
                    path: &wrong.path,
                    source: item.origin.to_string(),
                    received_at: item.received,
                    raw: &wrong.raw,
                });
                continue;
            }
        };
        let currency = kept.currency.as_deref();
        match &event.body {
            Body::WebEvent(data) => webs.push(EventRow { event, data, currency }),
            Body::CallTag(data) => tags.push(EventRow { event, data, currency }),
            Body::CallNote(data) => notes.push(EventRow { event, data, currency }),
            Body::Transcript(data) => transcripts.push(EventRow { event, data, currency }),
            Body::Deal(data) => deals.push(EventRow { event, data, currency }),
            Body::AdCost(data) => costs.push(EventRow { event, data, currency }),
            _ => {}
        }
    }
    add(&webs, &mut batches)?;
    add(&tags, &mut batches)?;
    add(&notes, &mut batches)?;
    add(&transcripts, &mut batches)?;
    add(&deals, &mut batches)?;
    add(&costs, &mut batches)?;
    add(&rejected, &mut batches)?;
    effect_rows(effects, &mut batches)?;
    Ok(batches)
}

/// The rows of what events led to; the effects are empty then, but for erasures.
pub fn effect_rows(effects: &mut Effects, batches: &mut Batches) -> Result<(), ArrowError> {
    add(&effects.sessions, batches)?;
    add(&effects.leases, batches)?;
    add(&effects.candidates, batches)?;
    add(&effects.moments, batches)?;
    let tags: Vec<TagRow<'_>> = effects.tags.iter().filter_map(tag_row).collect();
    add(&tags, batches)?;
    effects.sessions.clear();
    effects.leases.clear();
    effects.candidates.clear();
    effects.moments.clear();
    effects.tags.clear();
    let calls: Vec<CallRow> = effects.calls.drain(..).map(Arc::unwrap_or_clone).collect();
    add(&calls, batches)
}

fn tag_row<'a>(event: &'a Event<'a>) -> Option<TagRow<'a>> {
    match &event.body {
        Body::CallTag(data) => Some(EventRow { event, data, currency: None }),
        _ => None,
    }
}

fn add<R: Row>(rows: &[R], batches: &mut Batches) -> Result<(), ArrowError> {
    batches.extend(rows_to_batches(rows)?.into_iter().map(|batch| (R::TABLE, batch)));
    Ok(())
}

/// What lands in place of events that tell late of people who were erased, by their place.
type Nameless<'a> = BTreeMap<usize, (Event<'a>, Option<Visit<'a>>)>;

fn nameless<'a>(items: &[Item<'a>], visits: &[Option<Visit<'a>>], fates: &[Fate]) -> Nameless<'a> {
    let instead = |(at, fate): (usize, &Fate)| {
        let nobody = fate.kept()?.nobody.as_ref()?;
        let event = nobody.instead(items[at].what.as_ref().ok()?);
        Some((at, (event, visits[at].as_ref().map(Visit::nameless))))
    };
    fates.iter().enumerate().filter_map(instead).collect()
}

fn page_views(
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    fates: &[Fate],
    nameless: &Nameless<'_>,
    batches: &mut Batches,
) -> Result<(), ArrowError> {
    let mut shown: Vec<Option<Cow<'_, str>>> = Vec::new();
    let mut views: Vec<(&Event<'_>, &PageView<'_>, &Visit<'_>)> = Vec::new();
    for (at, ((item, visit), fate)) in items.iter().zip(visits).zip(fates).enumerate() {
        let (Ok(event), Some(visit), Some(kept)) = (&item.what, visit, fate.kept()) else { continue };
        let instead = nameless.get(&at);
        let (event, visit) = (instead.map_or(event, |it| &it.0), instead.and_then(|it| it.1.as_ref()).unwrap_or(visit));
        if let Body::PageView(view) = &event.body {
            shown.push(shown_ip(view.ip.as_deref(), kept.precision));
            views.push((event, view, visit));
        }
    }
    let rows: Vec<PageViewRow<'_>> = views
        .iter()
        .zip(&shown)
        .map(|(&(event, view, visit), ip)| PageViewRow { event, view, visit, ip: ip.as_deref() })
        .collect();
    add(&rows, batches)
}

/// The address as far as it may be kept.
fn shown_ip(ip: Option<&str>, precision: IpPrecision) -> Option<Cow<'_, str>> {
    let ip = ip?;
    match precision {
        IpPrecision::Full => Some(Cow::Borrowed(ip)),
        IpPrecision::None => None,
        IpPrecision::Network => {
            let network = match ip.parse::<IpAddr>().ok()?.to_canonical() {
                IpAddr::V4(ip) => IpAddr::from((u32::from(ip) & 0xFFFF_FF00).to_be_bytes()),
                IpAddr::V6(ip) => IpAddr::from((u128::from(ip) & (u128::MAX << 80)).to_be_bytes()),
            };
            Some(Cow::Owned(network.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::compute::cast;
    use arrow::datatypes::DataType;
    use callweave_core::join::Mode;

    use super::*;

    #[test]
    fn an_amount_without_a_currency_has_that_of_its_account() -> Result<(), ArrowError> {
        let line = |kind: &str, minute: u32, data: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"{minute}","source":"x","type":"{kind}","time":"2026-11-20T12:{minute:02}:00Z","account":"acme","data":{data}}}"#
            )
        };
        let deal = |minute: u32, more: &str| {
            line("deal", minute, &format!(r#"{{"deal_id":"d-{minute}","phone":"+14155550123","stage":"won"{more}}}"#))
        };
        let lines = [
            deal(0, r#","revenue":"1""#),
            line("account_settings", 1, r#"{"currency":"CHF"}"#),
            deal(2, r#","margin":"1""#),
            deal(3, r#","revenue":"1","currency":"EUR""#),
            deal(4, ""),
        ];
        let items: Vec<Item<'_>> =
            lines.iter().map(|line| Item::decode(line.as_bytes(), None, Time(0), Origin::Told("x"))).collect();
        let visits = survey(&mut Surveyor::default(), &items);
        let (mut join, mut effects) = (Join::new(Mode::Bounded), Effects::default());
        let fates = apply(&mut join, &items, &visits, &mut effects, &mut Counts::default());
        let batches = rows(&items, &visits, &fates, &mut effects)?;
        let deals = batches.iter().find(|(table, _)| *table == TableName::Deals).map(|(_, deals)| &deals.rows);
        let currency = cast(deals.unwrap().column_by_name("currency").unwrap(), &DataType::Utf8)?;
        let told: Vec<_> = currency.as_string::<i32>().iter().collect();
        assert_eq!(told, [None, Some("CHF"), Some("EUR"), None]);
        Ok(())
    }

    /// With its bytes, and where it came from: nothing is dropped in silence.
    #[test]
    fn what_comes_too_late_for_its_call_is_rejected() -> Result<(), ArrowError> {
        let line = |id: &str, day: u32| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"x","type":"call_record","time":"2026-11-{day}T12:00:00Z","account":"acme","data":{{"call_id":"c1","direction":"inbound","from":"+14155550191","to":"+14155550100","started_at":"2026-11-20T12:00:00Z","ended_at":"2026-11-20T12:01:00Z"}}}}"#
            )
        };
        let lines = [line("1", 21), line("2", 28)];
        let read = |at: usize| {
            Item::decode(lines[at].as_bytes(), None, Time(0), Origin::Line { file: "late.ndjson", line: at as u64 + 1 })
        };
        let (mut join, mut effects, mut counts) = (Join::new(Mode::Bounded), Effects::default(), Counts::default());
        apply(&mut join, &[read(0)], &[None], &mut effects, &mut counts);
        join.settle(&mut effects);
        // So many came in between.
        let Ok(first) = read(0).what else { panic!("is not read") };
        for _ in 0..=callweave_core::limits::EVENTS_REMEMBERED + (1 << 17) {
            join.apply(&first, None, &mut effects);
        }
        for days in [5, 6] {
            join.tick(first.time.plus(days * 24 * callweave_core::time::MICROS_PER_HOUR), &mut effects);
        }
        effects.clear();
        let items = [read(1)];
        let fates = apply(&mut join, &items, &[None], &mut effects, &mut counts);
        let batches = rows(&items, &[None], &fates, &mut effects)?;
        assert_eq!((counts.events, counts.rejected), (1, 1));
        let [(TableName::Rejected, rejected)] = &batches[..] else { panic!("{} tables", batches.len()) };
        let text = |column: &str| -> Result<String, ArrowError> {
            let column = cast(rejected.rows.column_by_name(column).unwrap(), &DataType::Utf8)?;
            Ok(column.as_string::<i32>().value(0).to_owned())
        };
        assert_eq!([text("account")?, text("source")?, text("path")?], ["acme", "late.ndjson:2", "data.call_id"]);
        assert_eq!(text("raw")?, lines[1]);
        assert!(text("reason")?.contains("was forgotten"));
        Ok(())
    }

    #[test]
    fn shows_as_much_of_an_address_as_it_may() {
        for (ip, precision, expected) in [
            ("203.0.113.77", IpPrecision::Full, Some("203.0.113.77")),
            ("203.0.113.77", IpPrecision::Network, Some("203.0.113.0")),
            ("2001:db8:1:2::77", IpPrecision::Network, Some("2001:db8:1::")),
            ("::ffff:203.0.113.77", IpPrecision::Network, Some("203.0.113.0")),
            ("203.0.113.77", IpPrecision::None, None),
        ] {
            assert_eq!(shown_ip(Some(ip), precision).as_deref(), expected);
        }
    }
}
