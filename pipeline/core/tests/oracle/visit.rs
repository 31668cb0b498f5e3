//! Sessions and leases (contract, section 4, "Sessions", and the small print).

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::read::{Fact, Timeline, date_column, time_column};
use super::{Row, Source, Tables};

pub struct Session<'a> {
    pub id: String,
    pub visitor: &'a str,
    /// Times of its page views, web events, heartbeats, lease grants and renewals.
    pub signs: Vec<i64>,
    /// By time, then by arrival.
    pub pages: Vec<Fact<'a>>,
    pub source: Option<Source>,
}

/// Whom a lease was granted to: a candidate of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Session(String),
    /// A lease without `session_id`, granted before its visitor's first session without id.
    Visitor(String),
}

pub struct Lease<'a> {
    pub id: &'a str,
    pub grant: Fact<'a>,
    pub holder: Holder,
    pub renewals: Vec<Fact<'a>>,
    pub releases: Vec<Fact<'a>>,
}

pub struct Visits<'a> {
    pub sessions: Vec<Session<'a>>,
    pub leases: Vec<Lease<'a>>,
}

impl<'a> Visits<'a> {
    /// `facts` are one account's, by time and then by arrival.
    pub fn of(facts: &[Fact<'a>], settings: &Timeline, tables: &Tables) -> Visits<'a> {
        let grants = first_grants(facts);
        let mut sessions = named(facts, &grants);
        let unnamed = unnamed(facts, settings, tables);
        let leases: Vec<Lease> = grants.iter().map(|grant| lease(*grant, facts, &unnamed)).collect();
        sessions.extend(unnamed);

        for lease in &leases {
            for session in sessions.iter_mut().filter(|session| lease.holder == Holder::Session(session.id.clone())) {
                session.signs.extend(lease.signs());
            }
        }
        for session in &mut sessions {
            session.source = session.pages.first().map(|page| classify(page, tables));
        }
        Visits { sessions, leases }
    }

    pub fn session(&self, id: &str) -> Option<&Session<'a>> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// All sessions of a visitor in the order of their visits.
    fn visits_of(&self, visitor: &str) -> Vec<&Session<'a>> {
        let mut own: Vec<&Session> = self.sessions.iter().filter(|session| session.visitor == visitor).collect();
        own.sort_by_key(|session| (session.started_at(), session.id.clone()));
        own
    }

    /// The visitor's visit 1.
    pub fn first_visit(&self, visitor: &str) -> Option<&Session<'a>> {
        self.visits_of(visitor).first().copied()
    }

    pub fn visit_number(&self, session: &Session) -> usize {
        let before = self.visits_of(session.visitor).iter().take_while(|other| other.id != session.id).count();
        before + 1
    }

    pub fn session_row(&self, session: &Session) -> Row {
        let mut row = Row::from([
            ("session_id", json!(session.id)),
            ("visitor_id", json!(session.visitor)),
            ("visit_number", json!(self.visit_number(session))),
            ("started_at", time_column(Some(session.started_at()))),
            ("ended_at", time_column(session.signs.iter().max().copied())),
            ("date", date_column(session.started_at())),
            ("pages", json!(session.pages.len())),
            ("exit_page", session.pages.last().map_or(Value::Null, |page| page.column("url"))),
        ]);
        row.extend(session.origin());
        row
    }

    /// When a holder gave its last sign of life at or before `time`.
    pub fn last_seen(&self, holder: &Holder, time: i64) -> Option<i64> {
        let signs: Vec<i64> = match holder {
            Holder::Session(id) => self.session(id).map(|session| session.signs.clone()).unwrap_or_default(),
            Holder::Visitor(_) => {
                self.leases.iter().filter(|lease| lease.holder == *holder).flat_map(Lease::signs).collect()
            }
        };
        signs.into_iter().filter(|sign| *sign <= time).max()
    }
}

impl Session<'_> {
    pub fn started_at(&self) -> i64 {
        *self.signs.iter().min().expect("a session is made from its first sign of life")
    }

    /// What its first page view tells, and the first that tells an experiment: all null where it has none.
    pub fn origin(&self) -> Row {
        let told = |name: &str| self.pages.first().map_or(Value::Null, |page| page.column(name));
        let experiment = self.pages.iter().find(|page| !page.column("experiment_id").is_null()).or(self.pages.first());
        let of_experiment = |name: &str| experiment.map_or(Value::Null, |page| page.column(name));
        let mut row = source_columns(self.source.as_ref());
        row.extend([
            ("landing_page", told("url")),
            ("referrer", told("referrer")),
            ("language", told("language")),
            ("experiment_id", of_experiment("experiment_id")),
            ("experiment_variant", of_experiment("experiment_variant")),
        ]);
        row
    }
}

pub fn source_columns(source: Option<&Source>) -> Row {
    let of = |member: fn(&Source) -> Option<&String>| source.and_then(member).map_or(Value::Null, |text| json!(text));
    Row::from([
        ("channel", of(|s| Some(&s.channel))),
        ("source", of(|s| Some(&s.source))),
        ("medium", of(|s| Some(&s.medium))),
        ("campaign", of(|s| s.campaign.as_ref())),
        ("term", of(|s| s.term.as_ref())),
        ("content", of(|s| s.content.as_ref())),
        ("click_id_type", of(|s| s.click_id_type.as_ref())),
        ("click_id", of(|s| s.click_id.as_ref())),
    ])
}

fn classify(page: &Fact, tables: &Tables) -> Source {
    (tables.classify)(page.name("url"), page.text("referrer"))
}

/// Of several grants of one lease the first counts; the others are as if they had not come.
fn first_grants<'a>(facts: &[Fact<'a>]) -> Vec<Fact<'a>> {
    let mut seen = BTreeSet::new();
    facts.iter().filter(|f| f.kind == "lease_granted" && seen.insert(f.name("lease_id"))).copied().collect()
}

/// A session exists by any event that names it.
fn named<'a>(facts: &[Fact<'a>], grants: &[Fact<'a>]) -> Vec<Session<'a>> {
    let mut naming: BTreeMap<&str, Vec<Fact>> = BTreeMap::new();
    let seen = facts.iter().filter(|fact| matches!(fact.kind, "page_view" | "web_event" | "heartbeat"));
    for fact in seen.chain(grants) {
        if let Some(id) = fact.text("session_id") {
            naming.entry(id).or_default().push(*fact);
        }
    }
    let session = |(id, events): (&str, Vec<Fact<'a>>)| {
        let first_arrived = events.iter().min_by_key(|fact| fact.arrival).expect("named by an event");
        Session {
            id: id.to_owned(),
            visitor: first_arrived.name("visitor_id"),
            signs: events.iter().map(|fact| fact.time).collect(),
            pages: pages(&events),
            source: None,
        }
    };
    naming.into_iter().map(session).collect()
}

fn pages<'a>(events: &[Fact<'a>]) -> Vec<Fact<'a>> {
    events.iter().filter(|fact| fact.kind == "page_view").copied().collect()
}

/// Sessions of events that name none: a visitor's runs of page views and web events, and the heartbeats by then.
fn unnamed<'a>(facts: &[Fact<'a>], settings: &Timeline, tables: &Tables) -> Vec<Session<'a>> {
    let nameless: Vec<Fact> =
        facts.iter().filter(|f| f.text("session_id").is_none() && f.text("visitor_id").is_some()).copied().collect();
    let making = |fact: &&Fact| matches!(fact.kind, "page_view" | "web_event");
    let visitors: BTreeSet<&str> = nameless.iter().filter(making).map(|fact| fact.name("visitor_id")).collect();

    let mut sessions = Vec::new();
    for visitor in visitors {
        let mut own: Vec<Fact> = nameless.iter().filter(|fact| fact.name("visitor_id") == visitor).copied().collect();
        // Of one instant, the page views come first.
        own.sort_by_key(|fact| (fact.time, fact.kind != "page_view"));
        let mut runs: Vec<Vec<Fact>> = Vec::new();
        for fact in own.iter().filter(making) {
            match runs.last_mut() {
                Some(run) if !splits(run, fact, settings, tables) => run.push(*fact),
                _ => runs.push(vec![*fact]),
            }
        }
        sessions.extend(runs.iter().map(|run| Session {
            id: format!("{visitor}.{}", run[0].time),
            visitor,
            signs: run.iter().map(|fact| fact.time).collect(),
            pages: pages(run),
            source: None,
        }));
        for heartbeat in own.iter().filter(|fact| fact.kind == "heartbeat") {
            if let Some(at) = latest_begun(&sessions, visitor, heartbeat.time) {
                sessions[at].signs.push(heartbeat.time);
            }
        }
    }
    sessions
}

/// Whether a visitor's next event opens a new session.
fn splits(run: &[Fact], next: &Fact, settings: &Timeline, tables: &Tables) -> bool {
    let last = run[run.len() - 1];
    if next.time - last.time >= settings.at(next.time).session_timeout() {
        return true;
    }
    // Sessions without id are named by visitor and start: two cannot start at one instant.
    if next.time == run[0].time || next.kind != "page_view" {
        return false;
    }
    let Some(first) = run.iter().find(|fact| fact.kind == "page_view") else { return false };
    let (utm, first_utm) = (utm(next.name("url")), utm(first.name("url")));
    let (source, first_source) = (classify(next, tables), classify(first, tables));
    let click = |source: &Source| (source.click_id_type.clone(), source.click_id.clone());
    (utm.iter().any(Option::is_some) && utm != first_utm)
        || (source.click_id.is_some() && click(&source) != click(&first_source))
}

/// The five `utm_*` parameters of a URL; an empty one is absent.
fn utm(url: &str) -> [Option<String>; 5] {
    let query = url.split('#').next().and_then(|page| page.split_once('?')).map_or("", |(_, query)| query);
    ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"].map(|wanted| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, value)| *name == wanted && !value.is_empty())?;
        Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    })
}

/// The place of a visitor's latest session that began at or before `time`.
fn latest_begun(unnamed: &[Session], visitor: &str, time: i64) -> Option<usize> {
    let begun = |session: &Session| session.visitor == visitor && session.started_at() <= time;
    (0..unnamed.len()).filter(|at| begun(&unnamed[*at])).max_by_key(|at| unnamed[*at].started_at())
}

fn lease<'a>(grant: Fact<'a>, facts: &[Fact<'a>], unnamed: &[Session]) -> Lease<'a> {
    let visitor = grant.name("visitor_id");
    let holder = match grant.text("session_id") {
        Some(id) => Holder::Session(id.to_owned()),
        None => match latest_begun(unnamed, visitor, grant.time) {
            Some(at) => Holder::Session(unnamed[at].id.clone()),
            None => Holder::Visitor(visitor.to_owned()),
        },
    };
    let id = grant.name("lease_id");
    let told = |kind: &str| facts.iter().filter(|f| f.kind == kind && f.name("lease_id") == id).copied().collect();
    Lease { id, grant, holder, renewals: told("lease_renewed"), releases: told("lease_released") }
}

impl Lease<'_> {
    pub fn signs(&self) -> Vec<i64> {
        std::iter::once(&self.grant).chain(&self.renewals).map(|fact| fact.time).collect()
    }

    /// The latest end told at or before `time`.
    fn expires_by(&self, time: i64) -> Option<i64> {
        let told = std::iter::once(&self.grant).chain(&self.renewals).filter(|fact| fact.time <= time);
        told.filter_map(|fact| fact.instant("expires_at")).max()
    }

    pub fn active_at(&self, time: i64) -> bool {
        self.grant.time <= time
            && self.expires_by(time).is_some_and(|end| time < end)
            && self.releases.iter().all(|release| release.time > time)
    }

    pub fn row(&self) -> Row {
        let session = match &self.holder {
            Holder::Session(id) => json!(id),
            Holder::Visitor(_) => Value::Null,
        };
        Row::from([
            ("lease_id", json!(self.id)),
            ("pool", self.grant.column("pool")),
            ("number", self.grant.column("number")),
            ("extension", self.grant.column("extension")),
            ("visitor_id", self.grant.column("visitor_id")),
            ("session_id", session),
            ("granted_at", time_column(Some(self.grant.time))),
            ("expires_at", time_column(self.expires_by(i64::MAX))),
            ("released_at", time_column(self.releases.first().map(|release| release.time))),
            ("renewals", json!(self.renewals.len())),
            ("date", date_column(self.grant.time)),
        ])
    }
}
