//! What a `callback_request` asks for: the visitor's telephone as people type it, and the number to call from.

use callweave_core::event::WebEvent;
use callweave_core::phone::Phone;
use callweave_core::settings::{NumberKind, Rules, Settings};
use callweave_core::telephony::twilio::CallbackError;
use phonenumber::{PhoneNumber, country};

/// Characters of a telephone number as it is typed, spaces and all: 15 digits with two of something else beside each.
const TYPED_CHARS_MAX: usize = 45;

/// Why nobody is called back. No number of a person stands in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "properties.phone is missing or no telephone number: give one such as +4930123459, or, beside a tracking \
         number of the same country, 030 123459"
    )]
    NoPhone,
    #[error(
        "no tracking number is told in `number`: show one on the page, or give one overflow or static number alone \
         voice.callback"
    )]
    NoNumber,
    #[error(transparent)]
    NotAllowed(#[from] CallbackError),
}

impl Refused {
    /// Whether the account calls nobody back, so that a wish is but what its pages tell.
    pub(super) fn is_as_usual(&self) -> bool {
        matches!(self, Refused::NotAllowed(CallbackError::NotConfigured | CallbackError::NotSwitchedOn))
    }

    /// Whether it is one of the account's calls, that failed: not where the account calls nobody back, nor from what is no
    /// number of its own.
    pub(super) fn is_failed_call(&self) -> bool {
        match self {
            Refused::NoPhone | Refused::NoNumber => false,
            Refused::NotAllowed(why) => {
                !matches!(why, CallbackError::NotConfigured | CallbackError::NotOurs(_) | CallbackError::NotSwitchedOn)
            }
        }
    }
}

/// The visitor's telephone, and the number to call from.
pub(super) fn parties(wish: &WebEvent<'_>, rules: &Rules) -> Result<(Phone, Phone), Refused> {
    let number = wish.number.or_else(|| implied(rules.settings()));
    let home: Option<country::Id> = number.and_then(Phone::country).and_then(|code| code.parse().ok());
    let typed = wish.properties.as_ref().and_then(|all| all.get("phone")?.as_str());
    let phone = typed.and_then(|typed| phone(typed, home)).ok_or(Refused::NoPhone)?;
    Ok((phone, number.ok_or(Refused::NoNumber)?))
}

/// The number to call from where the page shows the business's own: the only one with callbacks that is no pool's, whose
/// numbers may be held for others. A static number stands for its source, so only a `voice.callback` of its own means it.
fn implied(settings: &Settings) -> Option<Phone> {
    let mut able = settings.numbers.iter().filter(|number| match (number.kind, &number.voice) {
        (NumberKind::Pool, _) | (NumberKind::Static, None) => false,
        (_, Some(voice)) => voice.callback.is_some(),
        (NumberKind::Overflow, None) => settings.voice.callback.is_some(),
    });
    let only = able.next()?.number;
    able.next().is_none().then_some(only)
}

/// A telephone as people type it. One without its country's code is of `home`.
fn phone(typed: &str, home: Option<country::Id>) -> Option<Phone> {
    if typed.chars().nth(TYPED_CHARS_MAX).is_some() {
        return None;
    }
    let plain: String = typed.chars().filter(|it| !is_between(*it)).collect();
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let international = |digits: &str| {
        let whole = format!("+{digits}");
        // The zero is dialled at home alone; where it is part of the number, as in Italy, the metadata keeps it.
        if typed.contains("(0)") {
            Phone::of(&phonenumber::parse(None, &whole).ok()?)
        } else {
            Phone::parse(&whole).ok()
        }
    };
    if plain.starts_with('+') {
        return international(digits);
    }
    let here = home.and_then(|home| phonenumber::parse(Some(home), digits).ok()).filter(PhoneNumber::is_valid);
    match here {
        Some(number) => Phone::of(&number),
        None => international(digits.strip_prefix("00")?),
    }
}

/// What stands between digits: spaces of any width, punctuation, dashes.
fn is_between(it: char) -> bool {
    it.is_whitespace() || matches!(it, '(' | ')' | '.' | '/' | '-' | '\u{2010}'..='\u{2014}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use callweave_core::event::{Body, decode};

    #[test]
    fn telephones_are_read_as_people_type_them() {
        for (typed, home, expected) in [
            ("+4930123459", None, Some("+4930123459")),
            ("+4930 123 459", None, Some("+4930123459")),
            (" +49\u{a0}30\u{202f}12 34-59 ", Some("US"), Some("+4930123459")),
            ("+49 (0)30 123459", None, Some("+4930123459")),
            ("+44 (0)20 7946 0000", Some("DE"), Some("+442079460000")),
            ("+1 (415) 555-2671", None, Some("+14155552671")),
            ("+49.30/123\u{2013}459", None, Some("+4930123459")),
            ("030123460", Some("DE"), Some("+4930123460")),
            ("030 / 12 34 60", Some("DE"), Some("+4930123460")),
            ("(415) 555-2671", Some("US"), Some("+14155552671")),
            ("0049 30 123459", Some("DE"), Some("+4930123459")),
            ("0049 30 123459", None, Some("+4930123459")),
            ("030123460", None, None),
            ("12", Some("DE"), None),
            ("", Some("DE"), None),
            ("+", Some("DE"), None),
            ("++4930123459", Some("DE"), None),
            ("call me", Some("DE"), None),
            ("+4930123459 ext 3", Some("DE"), None),
            ("+49301234591234567", Some("DE"), None),
        ] {
            let home = home.map(|code| code.parse().expect("a country"));
            let read = phone(typed, home).map(|phone| phone.to_string());
            assert_eq!(read.as_deref(), expected, "{typed}");
        }
        let spaced = |count| format!("+4930123459{}", " ".repeat(count));
        let room = TYPED_CHARS_MAX - "+4930123459".len();
        assert!(phone(&spaced(room), None).is_some() && phone(&spaced(room + 1), None).is_none());
    }

    #[test]
    fn what_is_wished_for_is_told_or_implied_by_the_settings() {
        const POOL: &str = r#"{"number":"+493020000001","kind":"pool","pool":"p"}"#;
        const OVER: &str = r#"{"number":"+493020000002","kind":"overflow"}"#;
        const BACK: &str = r#"{"number":"+493020000003","kind":"static","voice":{"callback":{}}}"#;
        const NEWS: &str = r#"{"number":"+493020000004","kind":"static"}"#;
        const MUTE: &str = r#"{"number":"+493020000005","kind":"overflow","voice":{}}"#;
        let of = |numbers: &[&str], voice: &str, data: &str| {
            let settings = format!(r#"{{"numbers":[{}],"voice":{voice}}}"#, numbers.join(","));
            let rules = Rules::new(serde_json::from_str(&settings).expect("settings"));
            let event = format!(
                r#"{{"specversion":"1.0","id":"w","source":"web/main","type":"web_event","account":"acme",
                "time":"2026-11-20T12:00:00Z","data":{{"visitor_id":"v","name":"callback_request"{data}}}}}"#
            );
            match decode(event.as_bytes(), None).expect("an event").body {
                Body::WebEvent(wish) => parties(&wish, &rules),
                _ => panic!("no web event"),
            }
        };
        let (on, off) = (r#"{"callback":{}}"#, "{}");
        let (typed, told) = (
            r#","properties":{"phone":"030123460"}"#,
            r#","number":"+493020000001","properties":{"phone":"030123460"}"#,
        );
        let from = |number| Ok((Phone(4_930_123_460), Phone(number)));
        for (numbers, voice, data, expected) in [
            (&[POOL][..], on, told, from(493_020_000_001)),
            (&[POOL, OVER, NEWS], on, typed, from(493_020_000_002)),
            (&[POOL, OVER, NEWS], on, r#","properties":{"phone":"+4930 123 460"}"#, from(493_020_000_002)),
            (&[POOL, BACK, NEWS], off, typed, from(493_020_000_003)),
            (&[OVER, MUTE], on, typed, from(493_020_000_002)),
            // One that is held for another, that stands for a source, that calls nobody back, or is one of two.
            (&[POOL], on, r#","properties":{"phone":"+4930123460"}"#, Err(Refused::NoNumber)),
            (&[NEWS, MUTE], on, r#","properties":{"phone":"+4930123460"}"#, Err(Refused::NoNumber)),
            (&[OVER], off, r#","properties":{"phone":"+4930123460"}"#, Err(Refused::NoNumber)),
            (&[OVER, BACK], on, r#","properties":{"phone":"+4930123460"}"#, Err(Refused::NoNumber)),
            (&[POOL], on, typed, Err(Refused::NoPhone)),
            (&[OVER], on, "", Err(Refused::NoPhone)),
            (&[OVER], on, r#","properties":{"phone":4930123460}"#, Err(Refused::NoPhone)),
        ] {
            assert_eq!(of(numbers, voice, data), expected, "{numbers:?} {voice} {data}");
        }
    }

    #[test]
    fn what_is_refused_is_a_failed_call_where_the_account_calls_back() {
        let number = Phone(493_020_000_001);
        for (refused, expected) in [
            (Refused::NoPhone, false),
            (Refused::NoNumber, false),
            (CallbackError::NotConfigured.into(), false),
            (CallbackError::NotOurs(number).into(), false),
            (CallbackError::NotSwitchedOn.into(), false),
            (CallbackError::NoAgent(number).into(), true),
            (CallbackError::Closed.into(), true),
            (CallbackError::NotThere { country: "US".to_owned() }.into(), true),
        ] {
            assert_eq!(refused.is_failed_call(), expected, "{refused}");
            let words = refused.to_string();
            assert!(!words.contains("493020000001"), "{words}: a number of somebody");
        }
    }
}
