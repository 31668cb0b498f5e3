//! Calls back: Twilio is asked to call the agent, and to call the client once the agent answers (Twilio, "Calls
//! resource").

use phonenumber::{Type, metadata::DATABASE};

use super::form::written;
use super::outcome::is_machine;
use super::tags::{Leg, Tags};
use super::twiml::{Attempt, dial, response, say_if};
use super::work::Work;
use crate::event::{Call, CallStatus, Outcome, has_controls};
use crate::id::Key;
use crate::limits::ID_BYTES_MAX;
use crate::phone::{Party, Phone};
use crate::settings::{Rules, Target, Voice};
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

/// Why nobody is called. No number stands in its words: it is logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    #[error("twilio is not configured for this account: give its secret (docs/configuration.md)")]
    NotConfigured,
    #[error("`number` is not one of the account's numbers: list it in the settings, or give one that is")]
    NotOurs(Phone),
    #[error("callbacks are not switched on: give voice.callback in the settings")]
    NotSwitchedOn,
    #[error("voice.api is missing in the settings: callbacks are started through it")]
    NoApi,
    #[error("nobody is there to call first: give voice.callback.agent, or the tracking number a forward_to")]
    NoAgent(Phone),
    #[error("the business is closed")]
    Closed,
    #[error("calls to {country} are not allowed: list it in voice.callback.countries if they shall be")]
    NotThere { country: String },
    #[error("properties.phone is a number of the business itself: give the visitor's own")]
    OurOwn,
    #[error(
        "calls to {kind} numbers are not made, whatever voice.callback.countries lists: give a visitor's own telephone"
    )]
    Kind { kind: &'static str },
}

/// The kinds of numbers in the order in which libphonenumber tells them apart; those with a name are not called back.
static KINDS: [(Type, Option<&str>); 10] = [
    (Type::PremiumRate, Some("premium-rate")),
    (Type::TollFree, None),
    (Type::SharedCost, Some("shared-cost")),
    (Type::Voip, None),
    (Type::PersonalNumber, Some("personal")),
    (Type::Pager, Some("pager")),
    (Type::Uan, None),
    (Type::Voicemail, Some("voicemail")),
    (Type::FixedLine, None),
    (Type::Mobile, None),
];
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
    may_call(request, terms.rules, &callback.countries)?;
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

/// Anybody can ask for a callback to any number: calls to some cost a fortune, and one to the business comes back to
/// it.
fn may_call(request: &Callback<'_>, rules: &Rules, countries: &[String]) -> Result<(), CallbackError> {
    let forms = forms(request.phone);
    if forms.iter().any(|phone| is_own(*phone, rules)) {
        return Err(CallbackError::OurOwn);
    }
    let country = request.phone.country();
    let is_allowed = match (&country, countries) {
        (None, _) => false,
        (Some(_), []) => country == request.number.country(),
        (Some(country), listed) => listed.contains(country),
    };
    let country = country.unwrap_or_else(|| "numbers of no country".to_owned());
    if !is_allowed {
        return Err(CallbackError::NotThere { country });
    }
    match refused_kind(&forms, &country) {
        Some(kind) => Err(CallbackError::Kind { kind }),
        None => Ok(()),
    }
}

/// A number as it is written, and without a digit that is dialled within its country alone: networks put both through.
fn forms(phone: Phone) -> [Phone; 2] {
    let parsed = phonenumber::parse(None, phone.to_string()).ok();
    let plain = parsed.map(|number| format!("+{}{}", number.country().code(), number.national()));
    [phone, plain.and_then(|text| Phone::parse(&text).ok()).unwrap_or(phone)]
}

/// Whether it is a number of the business, or one that its calls are put through to.
fn is_own(phone: Phone, rules: &Rules) -> bool {
    let settings = rules.settings();
    let voices = settings.numbers.iter().filter_map(|number| number.voice.as_deref()).chain([&settings.voice]);
    let numbers = settings.numbers.iter().filter_map(|number| number.forward_to.as_deref());
    rules.number(phone).is_some()
        || settings.pools.iter().any(|pool| pool.overflow_number == Some(phone))
        || settings.routes.iter().any(|route| route.replaces == Some(phone) || route.number == Some(phone))
        || settings.agents.keys().any(|agent| Phone::parse(agent) == Ok(phone))
        || numbers.chain(voices.flat_map(targets)).any(|target| Target::parse(target) == Some(Target::Number(phone)))
}

/// All that a way of answering calls puts them through to.
fn targets(voice: &Voice) -> impl Iterator<Item = &str> {
    let keys = voice.menu.iter().flat_map(|menu| &menu.keys).map(|key| key.forward_to.as_str());
    let fallbacks = [&voice.closed, &voice.unanswered].into_iter().flatten();
    let agent = voice.callback.as_ref().and_then(|callback| callback.agent.as_deref());
    keys.chain(fallbacks.filter_map(|fallback| fallback.forward_to.as_deref()))
        .chain(voice.forward_to.as_deref())
        .chain(agent)
}

/// The kind of a number that is not called back, by libphonenumber's metadata of its country; nothing for a telephone
/// like any other.
fn refused_kind(forms: &[Phone], country: &str) -> Option<&'static str> {
    const UNKNOWN: Option<&str> = Some("unassigned");
    let Some(about) = DATABASE.by_id(country) else { return UNKNOWN };
    let code = about.country_code().to_string();
    let kind_of = |phone: &Phone| {
        let digits = phone.0.to_string();
        let national = digits.strip_prefix(code.as_str())?;
        KINDS.iter().find(|(kind, _)| about.descriptors().get(*kind).is_some_and(|it| it.is_match(national)))
    };
    forms.iter().find_map(kind_of).map_or(UNKNOWN, |(_, refused)| *refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each number of the business stands in a place of its own, from …990 on.
    const SETTINGS: &str = r#"{
        "numbers": [
            {"number": "+442079460990", "kind": "static", "forward_to": "+442079460991"},
            {"number": "+442079460992", "kind": "pool", "pool": "web", "voice": {
                "forward_to": "tel:+442079460993",
                "closed": {"forward_to": "+442079460994"},
                "menu": {"say": "1", "keys": [{"key": "1", "forward_to": "+442079460995"}]},
                "callback": {"agent": "+442079460996"}
            }}
        ],
        "pools": [{"name": "web", "overflow_number": "+442079460997"}],
        "routes": [{"replaces": "+442079460998", "pool": "web"}],
        "voice": {"unanswered": {"forward_to": "+442079460999"}},
        "agents": {"+447400123457": "Ada", "21": "Ben"}
    }"#;

    fn asked(client: &str) -> Result<(), CallbackError> {
        let rules = Rules::new(serde_json::from_str(SETTINGS).expect("settings"));
        let phone = |text| Phone::parse(text).expect(text);
        let request = Callback { id: "w", phone: phone(client), number: phone("+442079460990"), at: Time(0) };
        may_call(&request, &rules, &["GB", "DE", "IT"].map(str::to_owned))
    }

    #[test]
    fn the_business_is_not_called_back_itself() {
        for last in 0..10 {
            let number = format!("+44207946099{last}");
            assert_eq!(asked(&number), Err(CallbackError::OurOwn), "{number}");
        }
        // As it is dialled at home, too.
        for number in ["+447400123457", "+4402079460990"] {
            assert_eq!(asked(number), Err(CallbackError::OurOwn), "{number}");
        }
        assert_eq!(asked("+442079460989"), Ok(()));
    }

    #[test]
    fn telephones_alone_are_called_back() {
        for (number, refused) in [
            ("+447400123456", None),
            ("+442079460500", None),
            ("+443001234567", None),
            ("+448001234567", None),
            ("+491711234567", None),
            ("+393123456789", None),
            // Its zero is dialled from abroad, too; without it, it would be a premium-rate number.
            ("+39089512345", None),
            ("+449098790000", Some("premium-rate")),
            ("+448451234567", Some("premium-rate")),
            ("+39899123456", Some("premium-rate")),
            ("+499001234567", Some("premium-rate")),
            ("+4909001234567", Some("premium-rate")),
            ("+491805123456", Some("shared-cost")),
            ("+447012345678", Some("personal")),
            ("+447640123456", Some("pager")),
            // Directory enquiries.
            ("+49118330", Some("unassigned")),
        ] {
            let expected = refused.map_or(Ok(()), |kind| Err(CallbackError::Kind { kind }));
            assert_eq!(asked(number), expected, "{number}");
        }
    }
}
