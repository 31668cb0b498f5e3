//! Calls back: Twilio is asked to call the agent, and to call the client once the agent answers (Twilio, "Calls
//! resource").

use super::form::written;
use super::outcome::is_machine;
use super::tags::{Leg, Tags};
use super::twiml::{Attempt, dial, response, say_if};
use super::work::Work;
use crate::event::{Call, CallStatus, Outcome, has_controls};
use crate::id::Key;
use crate::limits::ID_BYTES_MAX;
use crate::phone::{Party, Phone};
use crate::settings::{Target, Voice};
use crate::telephony::{Outgoing, Terms};
use crate::time::Time;

/// A visitor's wish to be called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callback<'a> {
    /// Names the wish: source and id of its `callback_request`. The same again is the same call.
    pub id: &'a str,
    /// The visitor's own number.
    pub phone: Phone,
    /// The tracking number on the page.
    pub number: Phone,
    pub at: Time,
}

/// Why nobody is called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    #[error("twilio is not configured for this account: give its secret (docs/configuration.md)")]
    NotConfigured,
    #[error("{0} is not one of the account's numbers")]
    NotOurs(Phone),
    #[error("callbacks are not switched on: give voice.callback in the settings")]
    NotSwitchedOn,
    #[error("voice.api is missing in the settings: callbacks are started through it")]
    NoApi,
    #[error("nobody is there to call first: give voice.callback.agent, or {0} a forward_to")]
    NoAgent(Phone),
    #[error("the business is closed")]
    Closed,
    #[error("calls to {country} are not allowed: list it in voice.callback.countries if they shall be")]
    NotThere { country: String },
}

const HOST: &str = "api.twilio.com";
const EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];

/// The request that starts a callback. Its outcome comes back by the URLs in it.
///
/// # Errors
/// Where the account's settings do not allow it, or not now, or not there.
pub fn start_callback(request: &Callback<'_>, terms: &Terms<'_>) -> Result<Outgoing, CallbackError> {
    let secret = terms.secret.filter(|secret| !secret.is_empty()).ok_or(CallbackError::NotConfigured)?;
    let number = terms.rules.number(request.number).ok_or(CallbackError::NotOurs(request.number))?;
    let voice = number.voice.as_deref().unwrap_or(&terms.rules.settings().voice);
    let callback = voice.callback.as_ref().ok_or(CallbackError::NotSwitchedOn)?;
    let api = voice.api.as_ref().ok_or(CallbackError::NoApi)?;
    let agents = [&callback.agent, &number.forward_to, &voice.forward_to];
    let agent = agents.into_iter().find_map(|it| it.as_deref().and_then(Target::parse));
    let agent = agent.ok_or(CallbackError::NoAgent(request.number))?;
    if !terms.rules.in_business_hours(request.at) {
        return Err(CallbackError::Closed);
    }
    may_call(request, &callback.countries)?;
    let tags = Tags {
        call: Some(call_id(request.id)),
        from: Some(Party::Number(request.phone)),
        to: Some(Party::Number(request.number)),
        is_callback: true,
        target: Some(agent.text()),
        ..Tags::default()
    };
    let form = form(terms.base, &tags, &agent, request.number, voice);
    Ok(call_request(request.id.to_owned(), &api.account, api.host.as_deref(), secret, &form))
}

/// Anybody can ask for a callback to any number, and calls to some cost a fortune.
fn may_call(request: &Callback<'_>, countries: &[String]) -> Result<(), CallbackError> {
    let country = request.phone.country();
    let is_allowed = match (&country, countries) {
        (None, _) => false,
        (Some(_), []) => country == request.number.country(),
        (Some(country), listed) => listed.contains(country),
    };
    if is_allowed {
        return Ok(());
    }
    Err(CallbackError::NotThere { country: country.unwrap_or_else(|| "numbers of no country".to_owned()) })
}

fn form(base: &str, tags: &Tags, agent: &Target, number: Phone, voice: &Voice) -> Vec<(&'static str, String)> {
    let url = |step: &str| format!("{base}/{step}?{}", tags.written());
    let mut form = vec![
        ("To", agent.text()),
        ("From", number.to_string()),
        ("Url", url("callback")),
        ("Method", "POST".to_owned()),
        ("StatusCallback", url("agent")),
        ("StatusCallbackMethod", "POST".to_owned()),
        ("Timeout", voice.ring_seconds.to_string()),
    ];
    form.extend(EVENTS.map(|event| ("StatusCallbackEvent", event.to_owned())));
    if voice.detect_machines {
        form.push(("MachineDetection", "Enable".to_owned()));
    }
    form
}

/// A browser may name its wish as it likes, but not as a call that is there already.
pub fn call_id(wish: &str) -> String {
    let id = format!("callback-{wish}");
    if id.len() <= ID_BYTES_MAX && !has_controls(&id) { id } else { format!("callback-{:032x}", Key::of(&[wish]).0) }
}

pub(super) fn call_request(
    id: String,
    account: &str,
    host: Option<&str>,
    secret: &str,
    form: &[(&str, String)],
) -> Outgoing {
    Outgoing {
        id,
        method: "POST",
        url: format!("https://{}/2010-04-01/Accounts/{account}/Calls.json", host.unwrap_or(HOST)),
        user: account.to_owned(),
        password: secret.to_owned(),
        content_type: "application/x-www-form-urlencoded",
        body: written(form),
    }
}

/// The agent took the call: now the client is called.
pub(super) fn agent_answered(work: &mut Work<'_>) {
    let mut xml = response();
    if work.form.get("AnsweredBy").is_some_and(is_machine) {
        let missed = Call { outcome: Some(Outcome::CallbackAgentMissed), ..work.call_to(CallStatus::Ended) };
        work.tell_call("machine", work.now(), missed);
        xml.empty("Hangup", &[]);
        return work.answer(xml);
    }
    let (voice, client) = (work.voice(), work.from().number());
    // So far nobody reached the client. Whoever does tells so, later.
    let taken = Call { outcome: Some(Outcome::CallbackClientMissed), ..work.call_to(CallStatus::Ringing) };
    work.tell_call("agent", work.now(), taken);
    say_if(&mut xml, voice, &voice.callback.as_ref().and_then(|callback| callback.say.clone()));
    match client {
        Some(client) => dial(work, &mut xml, Attempt { target: Target::Number(client), leg: Leg::First, before: None }),
        None => {
            work.reject("from", "is missing in the URL: who is to be called back?".to_owned());
            xml.empty("Hangup", &[]);
        }
    }
    work.answer(xml);
}
