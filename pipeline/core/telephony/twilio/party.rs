//! Who calls and who is called, as Twilio writes it: E.164, a `client:` or SIP URI, or a word for somebody who withheld
//! their number.

use percent_encoding::percent_decode_str;
use phonenumber::country::Id;

use crate::phone::{Party, Phone};

/// One side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    Number(Phone),
    Withheld,
    /// Somebody of the account's own: a softphone, a SIP device.
    Inside,
}

impl Side {
    /// The contract knows numbers and those who have none.
    pub fn party(&self) -> Party {
        match self {
            Side::Number(phone) => Party::Number(*phone),
            Side::Withheld | Side::Inside => Party::Anonymous,
        }
    }
}

/// Words on the keys of a telephone (Twilio, "Calls from strange numbers"): ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN,
/// UNAVAILABLE, PRIVATE.
const SPELT: [&str; 6] = ["266696687", "7378742833", "2562533", "8656696", "86282452253", "7748283"];
const WORDS: [&str; 8] =
    ["anonymous", "restricted", "blocked", "unknown", "unavailable", "private", "withheld", "no caller id"];

/// What the name of an account's own softphone stands behind.
const SOFTPHONE: &str = "client:";

/// Who this is. `country` is the ISO code that the provider puts beside it, for numbers without their country's code.
pub(super) fn side(text: &str, country: Option<&str>) -> Side {
    let text = text.trim();
    let (user, is_address) = match [SOFTPHONE, "sips:", "sip:"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
        Some(rest) => (rest.split(['@', ';', '?']).next().unwrap_or(rest), true),
        None => (text.strip_prefix("tel:").unwrap_or(text), false),
    };
    let user = percent_decode_str(user).decode_utf8_lossy();
    let digits = user.trim_start_matches('+');
    if user.is_empty() || SPELT.contains(&digits) || WORDS.iter().any(|word| user.eq_ignore_ascii_case(word)) {
        return Side::Withheld;
    }
    match phone(&user, country) {
        Some(phone) => Side::Number(phone),
        None if is_address => Side::Inside,
        None => Side::Withheld,
    }
}

/// Whether it is one of the account's own softphones, whatever its name: others call from numbers and SIP addresses.
pub(super) fn is_softphone(text: &str) -> bool {
    text.trim_start().starts_with(SOFTPHONE)
}

fn phone(text: &str, country: Option<&str>) -> Option<Phone> {
    if let Ok(phone) = Phone::parse(text) {
        return Some(phone);
    }
    let region: Option<Id> = country.and_then(|code| code.parse().ok());
    // A number without country code means nothing where no country is known, and a name is no number.
    if text.starts_with('+') || region.is_none() || text.bytes().any(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let number = phonenumber::parse(region, text).ok().filter(phonenumber::PhoneNumber::is_valid)?;
    Phone::of(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_numbers_from_names_and_from_nobody() {
        let number = |digits| Side::Number(Phone(digits));
        for (text, country, expected) in [
            ("+14155550123", None, number(14_155_550_123)),
            (" +14155550123", None, number(14_155_550_123)),
            ("sip:+14155550123@pstn.example.com;user=phone", None, number(14_155_550_123)),
            ("sip:%2B14155550123@example.com", None, number(14_155_550_123)),
            ("tel:+14155550123", None, number(14_155_550_123)),
            ("(415) 555-2671", Some("US"), number(14_155_552_671)),
            ("030 901820", Some("DE"), number(4_930_901_820)),
            ("4155552671", None, Side::Withheld),
            ("4155552671", Some("??"), Side::Withheld),
            ("+266696687", Some("US"), Side::Withheld),
            ("266696687", Some("US"), Side::Withheld),
            ("+7378742833", None, Side::Withheld),
            ("Anonymous", None, Side::Withheld),
            ("RESTRICTED", None, Side::Withheld),
            ("sip:anonymous@anonymous.invalid", None, Side::Withheld),
            ("", None, Side::Withheld),
            ("+1415<script>", Some("US"), Side::Withheld),
            ("client:ada", Some("US"), Side::Inside),
            ("sip:desk4@example.com", None, Side::Inside),
        ] {
            assert_eq!(side(text, country), expected, "{text}");
        }
    }
}
