//! The synchronous heart of every job: what arrived is decoded, surveyed, joined, and turned into rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
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
    pub received: Time,
    pub origin: Cow<'a, str>,
}

impl<'a> Item<'a> {
    /// `received`: the clock of whoever took the bytes in, where there was one; `or` stands in for it in `rejected`.
    /// `origin` is asked only where the bytes cannot be used.
    pub fn decode(
        bytes: &'a [u8],
        received: Option<Time>,
        or: Time,
        origin: impl FnOnce() -> Cow<'a, str>,
    ) -> Item<'a> {
        let what = decode(bytes, received);
        let origin = if what.is_err() { origin() } else { Cow::Borrowed("") };
        Item { what, received: received.unwrap_or(or), origin }
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

/// Applies items in order; tells which of them land as rows of their own, and how.
pub fn apply(
    join: &mut Join,
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    out: &mut Effects,
    counts: &mut Counts,
) -> Vec<Option<Kept>> {
    let mut taken = Vec::with_capacity(items.len());
    for (item, visit) in items.iter().zip(visits) {
        let Ok(event) = &item.what else {
            counts.rejected += 1;
            taken.push(None);
            continue;
        };
        counts.events += 1;
        taken.push(match join.apply(event, visit.as_ref(), out) {
            Verdict::Taken => Some(Kept::of(join, event, out.nobody.take())),
            Verdict::Duplicate => {
                counts.duplicates += 1;
                None
            }
            Verdict::Erased => None,
        });
    }
    taken
}

/// The rows of what was taken and of what it led to.
pub fn rows(
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    taken: &[Option<Kept>],
    effects: &mut Effects,
) -> Result<Batches, ArrowError> {
    let mut batches = Batches::new();
    let nameless = nameless(items, visits, taken);
    page_views(items, visits, taken, &nameless, &mut batches)?;
    let mut rejected = Vec::new();
    let (mut webs, mut tags, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut transcripts, mut deals, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (item, taken)) in items.iter().zip(taken).enumerate() {
        let (event, kept) = match (&item.what, taken) {
            (Ok(event), Some(kept)) => (nameless.get(&at).map_or(event, |it| &it.0), kept),
            (Ok(_), None) => continue,
            (Err(wrong), _) => {
                rejected.push(RejectedRow {
                    account: wrong.account.as_deref(),
                    reason: &wrong.reason,
                    path: &wrong.path,
                    source: &item.origin,
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

fn nameless<'a>(items: &[Item<'a>], visits: &[Option<Visit<'a>>], taken: &[Option<Kept>]) -> Nameless<'a> {
    let instead = |(at, kept): (usize, &Option<Kept>)| {
        let nobody = kept.as_ref()?.nobody.as_ref()?;
        let event = nobody.instead(items[at].what.as_ref().ok()?);
        Some((at, (event, visits[at].as_ref().map(Visit::nameless))))
    };
    taken.iter().enumerate().filter_map(instead).collect()
}

fn page_views(
    items: &[Item<'_>],
    visits: &[Option<Visit<'_>>],
    taken: &[Option<Kept>],
    nameless: &Nameless<'_>,
    batches: &mut Batches,
) -> Result<(), ArrowError> {
    let mut shown: Vec<Option<Cow<'_, str>>> = Vec::new();
    let mut views: Vec<(&Event<'_>, &PageView<'_>, &Visit<'_>)> = Vec::new();
    for (at, ((item, visit), taken)) in items.iter().zip(visits).zip(taken).enumerate() {
        let (Ok(event), Some(visit), Some(kept)) = (&item.what, visit, taken) else { continue };
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
            lines.iter().map(|line| Item::decode(line.as_bytes(), None, Time(0), || "x".into())).collect();
        let visits = survey(&mut Surveyor::default(), &items);
        let (mut join, mut effects) = (Join::new(Mode::Bounded), Effects::default());
        let taken = apply(&mut join, &items, &visits, &mut effects, &mut Counts::default());
        let batches = rows(&items, &visits, &taken, &mut effects)?;
        let deals = batches.iter().find(|(table, _)| *table == TableName::Deals).map(|(_, deals)| &deals.rows);
        let currency = cast(deals.unwrap().column_by_name("currency").unwrap(), &DataType::Utf8)?;
        let told: Vec<_> = currency.as_string::<i32>().iter().collect();
        assert_eq!(told, [None, Some("CHF"), Some("EUR"), None]);
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
