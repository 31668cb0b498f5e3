//! What the agent says of a call by keys: what it was about, and what it is worth.
//!
//! A leg that `<Dial>` started ends with the caller's, and so the agent of a call that came in is called once more. Of a
//! callback the agent's leg is the first one, and it goes on.

use super::Provider;
use super::callback::call_request;
use super::twiml::{gather, response};
use super::work::Work;
use super::xml::Xml;
use crate::event::{Body, CallTag, TagOrigin};
use crate::money::Money;
use crate::settings::Target;

/// After a call in which somebody was talked to. `alive`: whoever is on this leg is still there.
pub(super) fn after_call(work: &mut Work<'_>, alive: bool) {
    let mut xml = response();
    if work.voice().assessment.is_some() {
        if !work.tags.is_callback {
            ring_back(work);
        } else if alive {
            prompt(work, &mut xml, true);
            return work.answer(xml);
        }
    }
    xml.empty("Hangup", &[]);
    work.answer(xml);
}

/// Calls the agent who had the call.
fn ring_back(work: &mut Work<'_>) {
    // SignalWire's interface takes another key than its requests are signed with.
    let Some(secret) = work.terms.secret.filter(|_| work.provider == Provider::Twilio) else { return };
    let target = work.tags.target.as_deref().and_then(Target::parse);
    let (Some(target), Some(number)) = (target, work.to().number()) else { return };
    let told = work.form.get("AccountSid").filter(|sid| sid.bytes().all(|b| b.is_ascii_alphanumeric()));
    let api = work.voice().api.as_ref();
    let Some(account) = api.map(|api| api.account.as_str()).or(told) else { return };
    let form = [
        ("To", target.text()),
        ("From", number.to_string()),
        ("Url", work.url("assess", &work.next())),
        ("Method", "POST".to_owned()),
        ("Timeout", work.voice().ring_seconds.to_string()),
    ];
    let host = api.and_then(|api| api.host.as_deref());
    let outgoing = call_request(work.id("ring back"), account, host, secret, &form);
    work.ask(outgoing);
}

/// The agent took the call.
pub(super) fn ask(work: &mut Work<'_>) {
    let mut xml = response();
    prompt(work, &mut xml, true);
    work.answer(xml);
}

fn prompt(work: &Work<'_>, xml: &mut Xml, is_first: bool) {
    let Some(assessment) = &work.voice().assessment else { return xml.empty("Hangup", &[]) };
    let step = if is_first { "assess/1" } else { "assess/2" };
    let one = (!assessment.value).then_some(1);
    gather(work, xml, step, &work.next(), one, &assessment.say);
}

/// The agent's keys: one for the category, the others for the value.
pub(super) fn digits(work: &mut Work<'_>, is_first: bool) {
    let mut xml = response();
    let told = work.form.get("Digits").unwrap_or_default();
    let (key, amount) = told.split_at(told.char_indices().nth(1).map_or(told.len(), |(at, _)| at));
    let assessment = work.voice().assessment.as_ref();
    let category = assessment.and_then(|it| it.categories.iter().find(|entry| entry.key == key));
    match category {
        Some(category) => {
            let dialled = (!amount.is_empty()).then(|| Money::parse(&amount.replace('*', ".")).ok()).flatten();
            let value = dialled.or(category.value);
            let tag = CallTag {
                call_id: work.call_id().unwrap_or_default().to_owned().into(),
                category: category.category.clone().into(),
                value,
                currency: value.map(|_| work.terms.rules.settings().currency.clone().into()),
                origin: TagOrigin::Menu,
                by: work.tags.target.as_deref().map(|target| work.agent(target).unwrap_or(target).to_owned().into()),
            };
            work.tell("tag", work.now(), Body::CallTag(tag));
            xml.empty("Hangup", &[]);
        }
        None if is_first => prompt(work, &mut xml, false),
        None => xml.empty("Hangup", &[]),
    }
    work.answer(xml);
}
