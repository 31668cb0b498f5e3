//! A call that comes in.

use super::menu;
use super::party::Side;
use super::tags::Leg;
use super::twiml::{fall_back, forward, response, say, say_if};
use super::work::Work;
use crate::event::CallStatus;
use crate::settings::NumberKind;
use crate::telephony::Pass;

/// The hook itself.
pub(super) fn incoming(work: &mut Work<'_>) {
    let outbound = work.form.get("Direction").is_some_and(|direction| direction.starts_with("outbound"));
    if outbound || work.number().is_none() {
        return turn_away(work, outbound);
    }
    work.tell_start(work.now(), work.call(CallStatus::Started));
    let mut xml = response();
    let voice = work.voice();
    let is_open = work.terms.rules.in_business_hours(work.hook.received);
    match voice.closed.as_ref().filter(|_| !is_open) {
        Some(closed) => fall_back(work, &mut xml, closed, Leg::Closed, None),
        None => {
            say_if(&mut xml, voice, &voice.greeting);
            match (digits(work), &voice.menu) {
                (Some(_), _) => menu::ask_extension(work, &mut xml, true),
                (None, Some(_)) => menu::ask_key(work, &mut xml, true),
                (None, None) => forward(work, &mut xml),
            }
        }
    }
    work.answer(xml);
}

/// How many digits the called number's extensions have.
pub(super) fn digits(work: &Work<'_>) -> Option<u8> {
    let number = work.number().filter(|number| number.kind == NumberKind::Pool)?;
    work.terms.rules.pool(number.pool.as_deref()?)?.extensions
}

/// What is no call to one of the account's numbers.
fn turn_away(work: &mut Work<'_>, outbound: bool) {
    if work.side_from() == Side::Inside && !matches!(work.side_to(), Side::Number(_)) {
        work.pass(Pass::Internal);
    } else if outbound {
        work.reject("Direction", "is an outbound call, and this hook answers calls that come in".to_owned());
    } else {
        let reason =
            "is not one of the account's numbers: list it in the settings, or point it elsewhere at the provider";
        work.reject("To", reason.to_owned());
    }
    let mut xml = response();
    xml.empty(if outbound { "Hangup" } else { "Reject" }, &[]);
    work.answer(xml);
}

/// What the agent hears before the caller is put through.
pub(super) fn whisper(work: &mut Work<'_>) {
    let mut xml = response();
    let voice = work.voice();
    if let Some(text) = &voice.whisper {
        say(&mut xml, voice, &filled(work, text));
    }
    work.answer(xml);
}

/// `{label}`, `{source}` and `{number}` in a text. A placeholder that stands in a value is not filled again.
fn filled(work: &Work<'_>, text: &str) -> String {
    let number = work.number();
    let spaced = |digits: String| digits.chars().flat_map(|digit| [digit, ' ']).collect::<String>();
    let value = |name: &str| match name {
        "label" => Some(number.and_then(|it| it.label.clone().or_else(|| it.source.clone())).unwrap_or_default()),
        "source" => Some(number.and_then(|it| it.source.clone()).unwrap_or_default()),
        // Digit by digit, or it would be said as one very large number.
        "number" => Some(number.map(|it| spaced(it.number.0.to_string())).unwrap_or_default()),
        _ => None,
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}').and_then(|(name, after)| Some((value(name)?, after))) {
            Some((value, after)) => {
                out.push_str(value.trim());
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}
