//! Candidates of a call, and what follows from the one that is chosen (contract, section 4, "Candidates", "Choice").

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::call::Call;
use super::read::{Fact, seconds, time_column};
use super::visit::{Holder, Lease, Visits, source_columns};
use super::{Row, Source, Tables, differing};

/// What a call of several candidates may be joined to.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub candidates: Vec<Candidate>,
    /// An extension narrowed them down.
    pub by_extension: bool,
    /// The columns if none of them is chosen; without those of the source, which may be known all the same.
    pub none: Row,
}

/// A session (or a visitor whose lease has none) that may be the caller's.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub session: Option<String>,
    pub visitor: String,
    pub lease: String,
    /// The lease is active at the call's start.
    pub active: bool,
    /// The last sign of life by the call's start, in microseconds since 1970.
    pub last_seen: i64,
    /// The session's last `click_to_call` on the number by the call's start.
    pub clicked: Option<i64>,
    /// Another call of this caller has the visitor among its candidates, so may have been joined to them: an earlier one, or a
    /// later one that tells whose this one was.
    pub known_caller: bool,
    /// The methods by which it may be chosen.
    pub methods: BTreeSet<&'static str>,
    /// The columns if it is chosen, without the method and the confidences.
    pub row: Row,
}

/// The columns that attribution gives, and the choice where there is one.
pub fn attribute(
    call: &Call,
    calls: &[Call],
    facts: &[Fact],
    visits: &Visits,
    tables: &Tables,
) -> (Row, Option<Choice>) {
    if call.is_outbound() {
        return (nobody(call, visits), None);
    }
    if let Some(number) = call.settings.number(call.tracking_number()).filter(|number| number["kind"] == "static") {
        return (of_static(number, call, visits, tables), None);
    }
    let mut candidates: Vec<Candidate> =
        candidates(call, visits).iter().map(|lease| candidate(lease, call, calls, facts, visits)).collect();
    match candidates.len() {
        0 => (nobody(call, visits), None),
        1 => {
            let only = candidates.remove(0);
            let mut row = only.row;
            row.extend([("candidates", json!(1)), ("attribution_method", json!(base_method(call, only.active)))]);
            (row, None)
        }
        several => {
            let mut none = told_of(None, call, visits);
            let source = source_columns(None);
            none.retain(|name, _| !source.contains_key(name));
            none.insert("attribution_confidence", Value::Null);
            let choice = Choice { candidates, by_extension: call.extension().is_some(), none };
            (Row::from([("candidates", json!(several))]), Some(choice))
        }
    }
}

/// Joined to nobody: method `none`, no confidence.
fn nobody(call: &Call, visits: &Visits) -> Row {
    let mut row = told_of(None, call, visits);
    row.extend([
        ("candidates", json!(0)),
        ("attribution_method", json!("none")),
        ("attribution_confidence", Value::Null),
        ("source_confidence", Value::Null),
    ]);
    row
}

fn of_static(number: &Value, call: &Call, visits: &Visits, tables: &Tables) -> Row {
    let told = |name: &str| number[name].as_str().map(str::to_owned);
    let mut row = nobody(call, visits);
    row.extend([("attribution_method", json!("static")), ("pool", Value::Null), ("site", Value::Null)]);
    if let Some(source) = told("source") {
        let (medium, campaign) = (told("medium").unwrap_or_default(), told("campaign"));
        let channel = (tables.channel)(&source, &medium, campaign.as_deref());
        row.extend(source_columns(Some(&Source { source, medium, campaign, channel, ..Source::default() })));
        row.extend([("attribution_confidence", json!(1.0)), ("source_confidence", json!(1.0))]);
    }
    row
}

/// One lease for each session that may be the caller's: the active one, else the latest.
fn candidates<'v, 'a>(call: &Call, visits: &'v Visits<'a>) -> Vec<&'v Lease<'a>> {
    let mut by_holder: BTreeMap<&Holder, Vec<&Lease>> = BTreeMap::new();
    for lease in &visits.leases {
        let dialled = call.extension().is_none_or(|extension| lease.grant.text("extension") == Some(extension));
        if lease.grant.name("number") == call.tracking_number() && lease.grant.time <= call.start && dialled {
            by_holder.entry(&lease.holder).or_default().push(lease);
        }
    }
    let window = call.settings.attribution_window();
    by_holder.retain(|holder, _| visits.last_seen(holder, call.start).is_some_and(|seen| call.start - seen <= window));
    let best = |leases: Vec<&'v Lease<'a>>| {
        let place = |lease: &&Lease| (lease.active_at(call.start), lease.grant.time, lease.grant.arrival);
        leases.into_iter().max_by_key(place)
    };
    by_holder.into_values().filter_map(best).collect()
}

fn base_method(call: &Call, active: bool) -> &'static str {
    match (call.extension(), active) {
        (Some(_), _) => "extension",
        (None, true) => "lease",
        (None, false) => "window",
    }
}

fn candidate(lease: &Lease, call: &Call, calls: &[Call], facts: &[Fact], visits: &Visits) -> Candidate {
    let visitor = visitor_of(lease, visits);
    let active = lease.active_at(call.start);
    let clicked = clicked(&lease.holder, call, facts, visits);
    let is_visitors = |other: &Lease| visitor_of(other, visits) == visitor;
    let may_have_been = |call: &Call| candidates(call, visits).iter().any(|lease| is_visitors(lease));
    let is_other = |other: &&Call| other.id != call.id && other.caller() == call.caller() && !other.is_outbound();
    let was_joined = call.caller() != "anonymous" && calls.iter().filter(is_other).any(may_have_been);
    let known_caller = was_joined || asked_to_be_called(&visitor, call, facts);

    let mut methods = BTreeSet::from([base_method(call, active)]);
    methods.extend(clicked.map(|_| "click"));
    methods.extend(known_caller.then_some("caller"));
    Candidate {
        session: match &lease.holder {
            Holder::Session(id) => Some(id.clone()),
            Holder::Visitor(_) => None,
        },
        visitor,
        lease: lease.id.to_owned(),
        active,
        last_seen: visits.last_seen(&lease.holder, call.start).expect("the grant is one, and came before the call"),
        clicked,
        known_caller,
        methods,
        row: told_of(Some(lease), call, visits),
    }
}

/// Whether the visitor ever asked to be called at the caller's number.
fn asked_to_be_called(visitor: &str, call: &Call, facts: &[Fact]) -> bool {
    facts.iter().any(|fact| {
        let asked = fact.text("name") == Some("callback_request") && fact.name("visitor_id") == visitor;
        let phone = fact.member("properties").and_then(|it| it.get("phone")).and_then(|it| it.as_str());
        asked && phone == Some(call.caller())
    })
}

fn visitor_of(lease: &Lease, visits: &Visits) -> String {
    match &lease.holder {
        Holder::Session(id) => visits.session(id).map(|session| session.visitor.to_owned()).unwrap_or_default(),
        Holder::Visitor(visitor) => visitor.clone(),
    }
}

/// When the session last clicked on the number by the call's start. The click's session is the one it names, or the
/// one without id that it is a part of.
fn clicked(holder: &Holder, call: &Call, facts: &[Fact], visits: &Visits) -> Option<i64> {
    let Holder::Session(id) = holder else { return None };
    let session = visits.session(id)?;
    let of_session = |fact: &Fact| match fact.text("session_id") {
        Some(named) => named == id,
        None => {
            let visitor = fact.name("visitor_id");
            // A run's events lie between its start and the next one's, so the latest begun by then is their run.
            let runs = visits.sessions.iter().filter(|run| run.id == format!("{visitor}.{}", run.started_at()));
            let latest = runs.filter(|run| run.started_at() <= fact.time).max_by_key(|run| run.started_at());
            visitor == session.visitor && latest.is_some_and(|run| run.id == *id)
        }
    };
    let clicks = facts.iter().filter(|fact| {
        fact.kind == "web_event"
            && fact.text("name") == Some("click_to_call")
            && fact.text("number") == Some(call.tracking_number())
            && fact.time <= call.start
            && of_session(fact)
    });
    clicks.map(|fact| fact.time).max()
}

/// The columns that follow from the chosen lease; all null where there is none, but for the number's own pool.
fn told_of(lease: Option<&Lease>, call: &Call, visits: &Visits) -> Row {
    let settings = &call.settings;
    let pool = match lease {
        Some(lease) => lease.grant.text("pool"),
        None => settings.number(call.tracking_number()).and_then(|number| number["pool"].as_str()),
    };
    let session = lease.and_then(|lease| match &lease.holder {
        Holder::Session(id) => visits.session(id),
        Holder::Visitor(_) => None,
    });
    let first = session.and_then(|session| visits.first_visit(session.visitor));
    let first_source = source_columns(first.and_then(|first| first.source.as_ref()));
    let call_page =
        session.and_then(|session| session.pages.iter().rfind(|page| page.time <= call.start)).map(|p| p.column("url"));
    let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);

    let mut row = Row::from([
        ("lease_id", or_null(lease.map(|lease| json!(lease.id)))),
        ("session_id", or_null(session.map(|session| json!(session.id)))),
        ("visitor_id", or_null(lease.map(|lease| json!(visitor_of(lease, visits))))),
        ("pool", or_null(pool.map(|pool| json!(pool)))),
        ("site", or_null(pool.map(|pool| settings.site(pool)))),
        ("call_page", or_null(call_page)),
        ("visit_number", or_null(session.map(|session| json!(visits.visit_number(session))))),
        ("session_started_at", time_column(session.map(|session| session.started_at()))),
        ("session_pages", or_null(session.map(|session| json!(session.pages.len())))),
        ("seconds_to_call", or_null(session.map(|session| json!(seconds(call.start - session.started_at()))))),
        ("first_channel", first_source["channel"].clone()),
        ("first_source", first_source["source"].clone()),
        ("first_medium", first_source["medium"].clone()),
        ("first_campaign", first_source["campaign"].clone()),
    ]);
    row.extend(match session {
        Some(session) => session.origin(),
        None => nowhere(),
    });
    row
}

/// The origin of no session.
fn nowhere() -> Row {
    let mut row = source_columns(None);
    let others = ["landing_page", "referrer", "language", "experiment_id", "experiment_variant"];
    row.extend(others.map(|name| (name, Value::Null)));
    row
}

impl Choice {
    /// How a row differs from every choice that the rules allow, told by the one it claims to have made.
    pub fn differences(&self, row: &Row) -> Vec<String> {
        let method = row.get("attribution_method").and_then(Value::as_str).unwrap_or("(absent)");
        if method == "none" {
            return differing(&self.none, row);
        }
        let lease = row.get("lease_id").and_then(Value::as_str);
        let Some(chosen) = self.candidates.iter().find(|candidate| Some(candidate.lease.as_str()) == lease) else {
            return vec![format!("lease_id: {lease:?} is of no candidate: {:?}", self.candidates)];
        };
        let mut found = differing(&chosen.row, row);
        if !chosen.methods.contains(method) {
            found.push(format!("attribution_method: expected one of {:?}, got {method}", chosen.methods));
        }
        found
    }
}
