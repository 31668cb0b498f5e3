//! Numbers as telephone systems write them, and what follows from them: who called whom, and in which direction.

use phonenumber::country;
use phonenumber::metadata::DATABASE;

use crate::event::Direction;
use crate::limits::{INTERNAL_DIGITS_MAX, REGION_NUMBERS_MAX};
use crate::phone::{KINDS, Party, Phone};
use crate::settings::Rules;

/// How a system writes numbers without a plus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// As E.164 without its plus: Plivo, Vonage.
    International,
    /// As they are dialled in the account's country: switchboards.
    National,
}

/// One side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// One of the account's own numbers.
    Own(Phone),
    /// Somebody else, or somebody who withheld their number.
    Outside(Party),
    /// Somebody inside: a few digits, or a name.
    Extension(String),
}

/// Who a call is between, as the contract has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parties {
    pub direction: Direction,
    pub from: Party,
    pub to: Party,
    /// The extension that called, or was called.
    pub extension: Option<String>,
}

/// The account's numbers, ready to read others by.
pub struct Book<'r> {
    rules: &'r Rules,
    region: Option<country::Id>,
}

/// What stands where a caller withheld their number. The digits spell words on a telephone's keys: ANONYMOUS, RESTRICTED,
/// BLOCKED, UNKNOWN, UNAVAILABLE, PRIVATE (Twilio, "Why am I getting calls from these strange numbers?").
const WITHHELD: [&str; 20] = [
    "anonymous",
    "restricted",
    "unknown",
    "<unknown>",
    "private",
    "unavailable",
    "withheld",
    "blocked",
    "asserted",
    "none",
    "null",
    "n/a",
    "0000000000",
    "0000000",
    "266696687",
    "7378742833",
    "2562533",
    "8656696",
    "86282452253",
    "7748283",
];

impl<'r> Book<'r> {
    pub fn new(rules: &'r Rules) -> Book<'r> {
        let mut countries: Vec<(country::Id, usize)> = Vec::new();
        for number in rules.settings().numbers.iter().take(REGION_NUMBERS_MAX) {
            let Some(id) = number.number.country().and_then(|it| it.parse().ok()) else { continue };
            match countries.iter_mut().find(|(held, _)| *held == id) {
                Some((_, count)) => *count += 1,
                None => countries.push((id, 1)),
            }
        }
        // The first of those that are equally frequent.
        let own = countries.iter().rev().max_by_key(|(_, count)| *count).map(|(id, _)| *id);
        let region = rules.home().or(own);
        Book { rules, region }
    }

    pub fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// Who this is. What is empty, or cannot be read as anybody, is somebody who withheld their number.
    pub fn side(&self, text: &str, digits: Digits) -> Side {
        let text = user_part(text);
        if text.is_empty() || is_withheld(&text) {
            return Side::Outside(Party::Anonymous);
        }
        let plain: String =
            text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '\u{a0}')).collect();
        let (plus, figures) = match plain.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, plain.as_str()),
        };
        if figures.is_empty() || !figures.bytes().all(|b| b.is_ascii_digit()) {
            let end = text.floor_char_boundary(crate::limits::LABEL_BYTES_MAX);
            return Side::Extension(text[..end].to_owned());
        }
        if !plus && figures.len() <= INTERNAL_DIGITS_MAX {
            return Side::Extension(figures.to_owned());
        }
        match self.phone(figures, plus || digits == Digits::International) {
            Some(phone) if self.rules.number(phone).is_some() => Side::Own(phone),
            Some(phone) => Side::Outside(Party::Number(phone)),
            None => Side::Outside(Party::Anonymous),
        }
    }

    fn phone(&self, figures: &str, is_international: bool) -> Option<Phone> {
        let e164 = || Phone::parse(&format!("+{figures}")).ok();
        if is_international {
            // Some write the prefix of international calls behind the plus.
            return e164().or_else(|| Phone::parse(&format!("+{}", figures.strip_prefix("00")?)).ok());
        }
        if let Some(own) = e164().filter(|phone| self.rules.number(*phone).is_some()) {
            return Some(own);
        }
        let here = self.region.and_then(|region| phonenumber::parse(Some(region), figures).ok());
        if let Some(number) = here.as_ref().filter(|number| number.is_valid()) {
            return Phone::of(number);
        }
        if let Some(rest) = figures.strip_prefix("00") {
            return Phone::parse(&format!("+{rest}")).ok();
        }
        // Numbers that the metadata does not know yet exist all the same.
        let known = |phone: &Phone| phonenumber::parse(None, phone.to_string()).is_ok_and(|number| number.is_valid());
        let here = here.filter(|number| self.region.is_some_and(|region| !is_too_long(region, number)));
        e164().filter(known).or_else(|| here.as_ref().and_then(Phone::of)).or_else(e164)
    }

    /// The account's number whose calls go to this one, where only one does.
    pub fn forwarded_from(&self, to: Phone) -> Option<Phone> {
        let text = to.to_string();
        let mut numbers =
            self.rules.settings().numbers.iter().filter(|it| it.forward_to.as_deref() == Some(text.as_str()));
        let only = numbers.next()?.number;
        numbers.next().is_none().then_some(only)
    }

    /// Whether calls to some of the account's numbers go to this one.
    pub fn is_target(&self, to: Phone) -> bool {
        let text = to.to_string();
        self.rules.settings().numbers.iter().any(|it| it.forward_to.as_deref() == Some(text.as_str()))
    }

    /// The name of the agent at this extension or number.
    pub fn agent(&self, at: &str) -> Option<String> {
        self.rules.settings().agents.get(at).cloned()
    }

    /// Who is who, by what the two sides are and, where both could be either, by what the system says. Nothing for a call
    /// that stays inside.
    pub fn parties(&self, from: Side, to: Side, told: Option<Direction>) -> Option<Parties> {
        let said = told.unwrap_or(Direction::Inbound);
        let parties = |direction, from, to, extension| Some(Parties { direction, from, to, extension });
        match (from, to) {
            // A caller with a SIP name of their own is from outside where the system says so.
            (Side::Extension(_), to) if told == Some(Direction::Inbound) => {
                self.parties(Side::Outside(Party::Anonymous), to, told)
            }
            (Side::Extension(_), Side::Extension(_) | Side::Own(_)) => None,
            (Side::Extension(who), Side::Outside(to)) => parties(Direction::Outbound, Party::Anonymous, to, Some(who)),
            (from, Side::Extension(who)) => {
                // Which number was called is not told.
                parties(Direction::Inbound, from.party(), Party::Anonymous, Some(who))
            }
            (Side::Outside(from), Side::Own(to)) => parties(Direction::Inbound, from, Party::Number(to), None),
            (Side::Own(from), Side::Outside(to)) => {
                parties(told.unwrap_or(Direction::Outbound), Party::Number(from), to, None)
            }
            (from, to) => parties(said, from.party(), to.party(), None),
        }
    }
}

impl Side {
    /// An extension has no number.
    pub fn party(&self) -> Party {
        match self {
            Side::Own(phone) => Party::Number(*phone),
            Side::Outside(party) => *party,
            Side::Extension(_) => Party::Anonymous,
        }
    }

    /// In words: a number, an extension; nothing for who withheld it.
    pub fn label(&self) -> Option<String> {
        match self {
            Side::Extension(text) => Some(text.clone()),
            other => other.party().number().map(|phone| phone.to_string()),
        }
    }
}

/// Whether no number of the country has as many digits. The library tells no country of a number that it does not know.
fn is_too_long(region: country::Id, number: &phonenumber::PhoneNumber) -> bool {
    let metadata = DATABASE.by_id(region.as_ref());
    let kinds = metadata.into_iter().flat_map(|it| KINDS.into_iter().filter_map(|kind| it.descriptors().get(kind)));
    let most = kinds.flat_map(|kind| kind.possible_length()).max();
    most.is_some_and(|most| number.national().to_string().len() > usize::from(*most))
}

fn is_withheld(text: &str) -> bool {
    let text = text.trim_start_matches('+');
    WITHHELD.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The user of a SIP or telephone URI, of `"Name" <user>`, of `Ext.12`; what is none of them, as it is.
fn user_part(text: &str) -> String {
    let mut text = text.trim();
    if !text.eq_ignore_ascii_case("<unknown>")
        && let Some((_, rest)) = text.rsplit_once('<')
    {
        text = rest.split('>').next().unwrap_or(rest);
    }
    for scheme in ["sips:", "sip:", "tel:", "SIP:", "client:"] {
        text = text.strip_prefix(scheme).unwrap_or(text);
    }
    text = text.split(['@', ';']).next().unwrap_or(text);
    text = text.strip_prefix("Ext.").unwrap_or(text).trim().trim_matches('"');
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: &str) -> Rules {
        Rules::new(serde_json::from_str(json).unwrap())
    }

    const LONDON: &str = r#"{"numbers":[{"number":"+442079460000","kind":"static","forward_to":"+447700900999"},
        {"number":"+442079460001","kind":"static","forward_to":"sip:a@b"}]}"#;

    /// The metadata knows none of these.
    #[test]
    fn a_number_of_another_country_is_not_read_as_one_of_this() {
        let rules = rules(r#"{"numbers":[{"number":"+14155550191","kind":"static","forward_to":"sip:a@b"}]}"#);
        let book = Book::new(&rules);
        for (text, expected) in
            [("447700900123", "+447700900123"), ("4155550100", "+14155550100"), ("14155550100", "+14155550100")]
        {
            let expected = Side::Outside(Party::parse(expected).unwrap());
            assert_eq!(book.side(text, Digits::National), expected, "{text}");
        }
    }

    #[test]
    fn reads_numbers_as_systems_write_them() {
        let (rules, none) = (rules(LONDON), rules("{}"));
        let (book, bare) = (Book::new(&rules), Book::new(&none));
        let outside = |text: &str| Side::Outside(Party::parse(text).unwrap());
        for (text, digits, expected) in [
            ("+442079460000", Digits::National, Side::Own(Phone(442_079_460_000))),
            ("442079460000", Digits::International, Side::Own(Phone(442_079_460_000))),
            ("442079460000", Digits::National, Side::Own(Phone(442_079_460_000))),
            ("020 7946 0000", Digits::National, Side::Own(Phone(442_079_460_000))),
            ("07700900123", Digits::National, outside("+447700900123")),
            ("00493012345678", Digits::National, outside("+493012345678")),
            ("0014155550123", Digits::National, outside("+14155550123")),
            ("sip:+14155550123@example.com;user=phone", Digits::National, outside("+14155550123")),
            ("\"Ada\" <07700900123>", Digits::National, outside("+447700900123")),
            ("tel:%2B14155550123", Digits::National, outside("+14155550123")),
            ("anonymous", Digits::National, outside("anonymous")),
            ("Anonymous", Digits::International, outside("anonymous")),
            ("Restricted", Digits::International, outside("anonymous")),
            ("sip:anonymous@anonymous.invalid", Digits::National, outside("anonymous")),
            ("<unknown>", Digits::National, outside("anonymous")),
            ("+266696687", Digits::International, outside("anonymous")),
            ("+8656696", Digits::International, outside("anonymous")),
            ("+86282452253", Digits::International, outside("anonymous")),
            ("private", Digits::National, outside("anonymous")),
            ("", Digits::National, outside("anonymous")),
            ("12", Digits::National, Side::Extension("12".into())),
            ("Ext.960", Digits::National, Side::Extension("960".into())),
            ("alice", Digits::National, Side::Extension("alice".into())),
            ("client:alice", Digits::National, Side::Extension("alice".into())),
            ("99999999999999999999", Digits::National, outside("anonymous")),
        ] {
            assert_eq!(book.side(text, digits), expected, "{text} {digits:?}");
        }
        let here = Rules::new(Default::default()).at_home(Some(country::Id::US));
        for (text, expected) in
            [("2125550199", "+12125550199"), ("4155550199", "+14155550199"), ("442079460000", "+442079460000")]
        {
            assert_eq!(
                Book::new(&here).side(text, Digits::National),
                outside(expected),
                "by the country that was said"
            );
        }
        assert_eq!(bare.side("07700900123", Digits::National), outside("anonymous"), "no country is known");
        assert_eq!(bare.side("447700900123", Digits::National), outside("+447700900123"));
        assert_eq!(bare.side("+447700900123", Digits::National), outside("+447700900123"));
    }

    #[test]
    fn tells_who_called_whom() {
        let rules = rules(LONDON);
        let book = Book::new(&rules);
        let (own, out, inside) = ("+442079460000", "+447700900123", "21");
        for (from, to, told, expected) in [
            (out, own, None, Some((Direction::Inbound, out, own, None))),
            (own, out, None, Some((Direction::Outbound, own, out, None))),
            (own, out, Some(Direction::Inbound), Some((Direction::Inbound, own, out, None))),
            (out, out, None, Some((Direction::Inbound, out, out, None))),
            (inside, out, None, Some((Direction::Outbound, "anonymous", out, Some("21")))),
            (out, inside, None, Some((Direction::Inbound, out, "anonymous", Some("21")))),
            ("", own, None, Some((Direction::Inbound, "anonymous", own, None))),
            (inside, inside, None, None),
            (inside, own, None, None),
            ("alice", own, Some(Direction::Inbound), Some((Direction::Inbound, "anonymous", own, None))),
        ] {
            let side = |text| book.side(text, Digits::National);
            let got = book.parties(side(from), side(to), told);
            let expected = expected.map(|(direction, from, to, extension)| Parties {
                direction,
                from: Party::parse(from).unwrap(),
                to: Party::parse(to).unwrap(),
                extension: extension.map(str::to_owned),
            });
            assert_eq!(got, expected, "{from} {to} {told:?}");
        }
        assert_eq!(book.forwarded_from(Phone(447_700_900_999)), Some(Phone(442_079_460_000)));
        assert_eq!(book.forwarded_from(Phone(447_700_900_998)), None);
    }
}
