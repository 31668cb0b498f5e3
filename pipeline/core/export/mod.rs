//! Conversions, deals and tasks for others: what a provider is asked, by its own rules, and what its answer means. All of it is pure;
//! who asks has the clock, the secrets and the network.
//!
//! [`next`] is asked again after each answer, with all answers so far, until it says what has become of the moment. So a thing that
//! takes several requests ([`crm`]) is one delivery like any other, and begins anew where it failed.

mod ads;
mod crm;
mod csv;
mod facts;
mod ga4;
mod google_ads;
mod meta;
mod microsoft_ads;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use csv::{CSV_HEAD, csv_row};
pub use facts::Facts;

use crate::settings::{Export, Hidden, Provider};
use crate::time::Time;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub method: &'static str,
    /// May hold a secret: it is never shown.
    pub url: Hidden,
    pub headers: Vec<(&'static str, Hidden)>,
    /// Its type, and the bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
    pub what: What,
}

/// What a request is for.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The answer is one of those that [`next`] is given.
    Own,
    /// An access token: it is kept as long as it lasts, and its answer is not among the others.
    Token,
    /// Finds what may have been made a moment ago, under this name. The search of a CRM does not show at once what was made.
    Find(u128),
    /// Makes what is found under this name.
    Make(u128),
}

/// What a provider answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    /// It is that of [`What::Make`], in place of one to [`What::Find`]: what was sought was made a moment ago.
    pub made: bool,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Ask(Box<Ask>),
    /// The provider has it.
    Done,
    /// It is not sent, and why: by the provider's rules, or for want of what they ask for.
    Skip(String),
    /// The provider does not want it, whenever it is asked.
    Refused(String),
    /// Another time, perhaps not before so many seconds.
    Again(String, Option<i64>),
}

/// What a builder knows beside the moment.
pub struct Terms<'a> {
    pub export: &'a Export,
    /// Of the account, ISO 4217.
    pub currency: &'a str,
    /// By name, as the provider calls them.
    pub secrets: &'a BTreeMap<String, Hidden>,
    /// The access token that was had with [`What::Token`].
    pub token: Option<&'a str>,
    pub now: Time,
}

impl Terms<'_> {
    fn secret(&self, name: &str) -> &str {
        self.secrets.get(name).map(Hidden::reveal).unwrap_or_default()
    }
}

/// What is to be done of a moment (a CloudEvents object whose `data` is the row), after these answers.
pub fn next(event: &Map<String, Value>, terms: &Terms<'_>, replies: &[Reply]) -> Step {
    let facts = Facts::new(event);
    if facts.flag("correction") {
        return Step::Skip("it corrects a call that was sent when it was decided".to_owned());
    }
    match terms.export.provider() {
        Some(Provider::Ga4(it)) => ga4::next(it, &facts, terms, replies),
        Some(Provider::GoogleAds(it)) => google_ads::next(it, &facts, terms, replies),
        Some(Provider::MicrosoftAds(it)) => microsoft_ads::next(it, &facts, terms, replies),
        Some(Provider::Meta(it)) => meta::next(it, &facts, terms, replies),
        Some(Provider::Crm(it)) => crm::next(it, &facts, terms, replies),
        None => Step::Refused("the export names no provider, or several".to_owned()),
    }
}

/// The deal that a moment is of, where the provider would count it each time that it is told, for want of a name that it knows it by.
pub fn told_once<'e>(event: &'e Map<String, Value>, export: &Export) -> Option<&'e str> {
    let facts = Facts::new(event);
    let forgets = matches!(export.provider(), Some(Provider::Ga4(_) | Provider::MicrosoftAds(_)));
    facts.text("deal_id").filter(|_| forgets && facts.moment() == "deal.changed" && !facts.is_test())
}

fn post_json(url: String, headers: Vec<(&'static str, Hidden)>, body: &Value) -> Step {
    let body = Some(("application/json", body.to_string().into_bytes()));
    Step::Ask(Box::new(Ask { method: "POST", url: Hidden::new(url), headers, body, what: What::Own }))
}

/// What an answer means that is no success, where the provider has no rule of its own: what is wrong in a request does not mend
/// itself; rights, a rush and faults may.
fn unwelcome(reply: &Reply, told: Option<String>) -> Step {
    let told = told.map(|told| format!("status {}: {told}", reply.status));
    let told = told.unwrap_or_else(|| format!("status {}", reply.status));
    match reply.status {
        400..500 if ![401, 403, 407, 408, 421, 423, 425, 429].contains(&reply.status) => Step::Refused(told),
        _ => Step::Again(told, None),
    }
}

fn is_success(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

/// An address of the settings, or the provider's own; no slash at its end.
fn base<'a>(given: &'a Option<String>, own: &'a str) -> &'a str {
    given.as_deref().unwrap_or(own).trim_end_matches('/')
}
