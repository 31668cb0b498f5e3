//! Values as spreadsheets and telephone systems write them: times, durations, telephone numbers, money, and how a call
//! went.

use std::borrow::Cow;
use std::str::FromStr;

use callweave_core::event::{Direction, HangupBy, Outcome};
use callweave_core::phone::{Party, Phone};
use callweave_core::time::{Date, MICROS_PER_SECOND, Time};
use chrono::{Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use phonenumber::country;
use phonenumber::metadata::DATABASE;

/// Reads RFC 3339; `2026-11-20 12:34:56` (with `T` or `/`, without seconds, with a fraction) or `20261120123456` in the zone; or a
/// Unix time in seconds, milliseconds or microseconds, by its size.
///
/// Of a time that the clock on the wall shows twice the first is meant, unless that lies before `from`: a call that began at 2:50 and
/// ended at 2:05 ended in the second hour.
pub(super) fn time(text: &str, zone: Tz, from: Option<Time>) -> Option<Time> {
    if let Ok(time) = Time::parse(text) {
        return Some(time);
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.len() >= 9 {
        let compact = COMPACT.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        return match compact.filter(|_| text.starts_with(['1', '2']) && matches!(whole_digits(text), 12 | 14)) {
            Some(local) => Some(Time(utc_micros(local, zone, from)?)),
            None => unix(text),
        };
    }
    // `2026-11-20 12:34:56 UTC`, as some write it, and `2026-11-20T12:34Z`.
    let (text, zone) = match [" UTC", " GMT", "Z"].iter().find_map(|utc| text.strip_suffix(utc)) {
        Some(text) => (text, Tz::UTC),
        None => (text, zone),
    };
    let plain = &*text.replace('/', "-").replace('T', " ");
    for format in ["%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M %#z", "%Y-%m-%d %H:%M%#z"] {
        if let Ok(time) = chrono::DateTime::parse_from_str(plain, format) {
            return Some(Time(time.timestamp_micros()));
        }
    }
    let local = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(plain, format).ok())?;
    Some(Time(utc_micros(local, zone, from)?))
}

/// A time that the clock shows twice is the first of the two that is not before `from`; one that it skips is as long after the skip as
/// it would have been.
fn utc_micros(local: NaiveDateTime, zone: Tz, from: Option<Time>) -> Option<i64> {
    let hour = Duration::hours(1);
    match zone.from_local_datetime(&local) {
        LocalResult::Single(time) => Some(time.timestamp_micros()),
        LocalResult::Ambiguous(first, second) => {
            let is_early = from.is_some_and(|from| first.timestamp_micros() < from.0);
            Some(if is_early { second.timestamp_micros() } else { first.timestamp_micros() })
        }
        LocalResult::None => {
            let before = zone.from_local_datetime(&local.checked_sub_signed(hour)?).earliest()?;
            before.timestamp_micros().checked_add(3600 * MICROS_PER_SECOND)
        }
    }
}

/// Digits alone, with and without seconds. Of fourteen, milliseconds would be of the years from 2286 on; of twelve that begin with a
/// century, they would be of before 1981, when nobody called a tracking number.
const COMPACT: [&str; 2] = ["%Y%m%d%H%M%S%.f", "%Y%m%d%H%M"];

fn whole_digits(text: &str) -> usize {
    text.split('.').next().map_or(0, str::len)
}

fn unix(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let unit = match whole.len() {
        9..=11 => MICROS_PER_SECOND,
        12..=13 => 1000,
        15..=17 => 1,
        _ => return None,
    };
    let mut micros = number.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        place /= 10;
        micros = micros.checked_add(i64::from(digit - b'0') * place)?;
    }
    Some(Time(micros))
}

/// Reads seconds (`63`, `63.5`), `1:03` or `0:01:03` as microseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let mut seconds = 0.0f64;
    for (at, part) in text.split(':').enumerate() {
        let number = part.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0 && !part.contains('e'))?;
        if at > 2 || (at > 0 && number >= 60.0) {
            return None;
        }
        seconds = seconds * 60.0 + number;
    }
    // More than a year is no call.
    (seconds <= 366.0 * 86_400.0).then_some((seconds * 1e6).round() as i64)
}

/// What systems write for a caller who withholds the number.
const WITHHELD: [&str; 13] = [
    "anonymous",
    "unknown",
    "withheld",
    "private",
    "restricted",
    "blocked",
    "unavailable",
    "hidden",
    "no caller id",
    "anonymous caller",
    "null",
    "none",
    "n/a",
];

pub(super) fn party(text: Option<&str>, home: Option<country::Id>) -> Option<Party> {
    match text {
        None => Some(Party::Anonymous),
        Some(text) if WITHHELD.contains(&&*text.to_ascii_lowercase()) || text == "-" => Some(Party::Anonymous),
        Some(text) => phone(text, home).map(Party::Number),
    }
}

/// Reads a number in any usual writing; one without country code needs a `home`.
pub(super) fn phone(text: &str, home: Option<country::Id>) -> Option<Phone> {
    // `"Jane" <+14155550123>`, `sip:+14155550123@example.com`, `tel:…`, and the quotation mark that keeps a
    // spreadsheet from reading a sum.
    let text = text.rsplit_once('<').map_or(text, |(_, inside)| inside.trim_end_matches('>'));
    let text = text.trim_start_matches("sips:").trim_start_matches("sip:").trim_start_matches("tel:");
    let text = text.split(['@', ';']).next()?.trim().trim_matches(['\'', '"', '=']);
    if text.len() > 40 || !text.bytes().any(|b| b.is_ascii_digit()) || text.bytes().any(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    // What a spreadsheet makes of a number that it takes for one.
    if text.strip_suffix(".0").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text.starts_with('+') || text.starts_with("(+") {
        // The parser drops the zero of `+44 (0)20 …`. A number of no country that it knows is kept as it stands.
        let whole = format!("+{digits}");
        return phonenumber::parse(None, &whole).ok().and_then(|n| Phone::of(&n)).or_else(|| Phone::parse(&whole).ok());
    }
    let home = home?;
    let number = phonenumber::parse(Some(home), &digits).ok()?;
    has_usual_length(&number, home).then(|| Phone::of(&number)).flatten()
}

/// Whether numbers of its country, of whatever kind, have so many digits: a local one without its area is nobody's elsewhere.
fn has_usual_length(number: &phonenumber::PhoneNumber, home: country::Id) -> bool {
    // Of several countries with one code none may know such a number.
    let own = number.metadata(&DATABASE).or_else(|| DATABASE.by_id(home.as_ref()));
    let Some(country) = own else { return true };
    let kinds = country.descriptors();
    let kinds = [
        kinds.fixed_line(),
        kinds.mobile(),
        kinds.toll_free(),
        kinds.premium_rate(),
        kinds.shared_cost(),
        kinds.personal_number(),
        kinds.voip(),
        kinds.pager(),
        kinds.uan(),
        kinds.voicemail(),
    ];
    let digits = number.national().to_string().len();
    kinds.iter().flatten().any(|kind| kind.possible_length().iter().any(|&length| usize::from(length) == digits))
}

/// The two letters of a country.
pub(super) fn home(code: &str) -> Option<country::Id> {
    country::Id::from_str(&code.to_ascii_uppercase()).ok()
}

/// A day: `2026-11-20`, `2026/11/20` or `20261120`. What puts the day or month first is ambiguous, and refused.
pub(super) fn date(text: &str) -> Option<Date> {
    let text = text.split_once([' ', 'T']).map_or(text, |(date, _)| date);
    if text.len() == 8
        && let Ok(date) = NaiveDate::parse_from_str(text, "%Y%m%d")
    {
        return Date::parse(&date.to_string()).ok();
    }
    Date::parse(&text.replace('/', "-")).ok()
}

/// Digits before and after the point that an amount of money has at most.
const WHOLE_DIGITS_MOST: usize = 12;
const FRACTION_DIGITS_MOST: usize = 6;

/// An amount as a JSON number: `1,234.50`, `1.234,50`, `$12`, `12,5 €`, `(3.20)`, `USD 12`, `1 234,50`. Of two different separators the
/// last is the decimal one; a single comma before three digits separates thousands (but behind a zero, which has none: `0,500`), and
/// separators of thousands stand before three digits each. What has anything else between its digits is no amount: a part of it would be another.
pub(super) fn money(text: &str) -> Option<String> {
    let is_digit = |c: char| c.is_ascii_digit();
    let (first, last) = (text.find(is_digit)?, text.rfind(is_digit)?);
    // `.5` begins with its point.
    let first = if text[..first].ends_with(['.', ',']) { first - 1 } else { first };
    let (before, amount, after) = (&text[..first], &text[first..=last], &text[last + 1..]);
    let around = |part: &str| {
        let mut marks = part.chars().filter(|c| !c.is_whitespace());
        let letters = part.chars().filter(|c| c.is_alphabetic()).count();
        letters <= 3 && marks.all(|c| c.is_alphabetic() || "-−+()'.".contains(c) || of_sign(c).is_some())
    };
    if !around(before) || !around(after) {
        return None;
    }
    let negative =
        [before, after].iter().any(|part| part.contains(['-', '−'])) || (before.contains('(') && after.contains(')'));
    let between = |c: char| matches!(c, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
    if !amount.chars().all(|c| c.is_ascii_digit() || between(c)) {
        return None;
    }
    let bare = amount;
    let point = match (bare.rfind('.'), bare.rfind(',')) {
        (Some(point), Some(comma)) => Some(point.max(comma)),
        (Some(point), None) => (bare.matches('.').count() == 1).then_some(point),
        (None, Some(comma)) => {
            let has_other = bare[..comma].contains(|c: char| !c.is_ascii_digit());
            let is_decimal = bare.len() - comma != 4 || has_other || bare.starts_with('0');
            (bare.matches(',').count() == 1 && is_decimal).then_some(comma)
        }
        (None, None) => None,
    };
    let (whole, fraction) = point.map_or((bare, ""), |at| (&bare[..at], &bare[at + 1..]));
    // `12,34,567` is how India writes it.
    let lengths: Vec<usize> = whole.split(between).map(str::len).collect();
    if let [first, middle @ .., last] = &lengths[..]
        && !((1..=3).contains(first) && middle.iter().all(|it| (2..=3).contains(it)) && *last == 3)
    {
        return None;
    }
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > WHOLE_DIGITS_MOST || fraction.len() > FRACTION_DIGITS_MOST || fraction.contains(between) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

/// A whole number, with separators of thousands of one kind or without: `1234`, `1,234`, `1.234`, `1 234`.
pub(super) fn count(text: &str) -> Option<u64> {
    let separator = text.chars().find(|c| !c.is_ascii_digit());
    if let Some(separator) = separator {
        let groups: Vec<&str> = text.split(separator).collect();
        let is_separator = matches!(separator, '.' | ',' | ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
        if !is_separator || !(1..=3).contains(&groups[0].len()) || groups[1..].iter().any(|group| group.len() != 3) {
            return None;
        }
        return groups.concat().parse().ok();
    }
    text.parse().ok()
}

/// Signs of money, and the currencies (ISO 4217) that are written with them.
const SIGNS: [(char, &[&str]); 14] = [
    (
        '$',
        &[
            "USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP", "BBD", "BMD", "BND", "BSD",
            "BZD", "FJD", "GYD", "JMD", "KYD", "LRD", "NAD", "SRD", "TTD", "XCD", "BRL", "UYU",
        ],
    ),
    ('¥', &["JPY", "CNY"]),
    ('£', &["GBP", "EGP", "GIP", "FKP", "SHP", "SSP", "LBP", "SYP"]),
    ('€', &["EUR"]),
    ('₹', &["INR"]),
    ('₽', &["RUB"]),
    ('₺', &["TRY"]),
    ('₩', &["KRW"]),
    ('₪', &["ILS"]),
    ('₫', &["VND"]),
    ('฿', &["THB"]),
    ('₴', &["UAH"]),
    ('₦', &["NGN"]),
    ('₱', &["PHP"]),
];

fn of_sign(sign: char) -> Option<&'static [&'static str]> {
    SIGNS.iter().find(|(it, _)| *it == sign).map(|(_, codes)| *codes)
}

/// The currencies that an amount may be in by how it is written: with three letters one, with a sign those that have it; none where
/// nothing says so.
pub(super) fn currencies(text: &str) -> Vec<Cow<'static, str>> {
    let letters: String = text.chars().filter(char::is_ascii_alphabetic).collect();
    if letters.len() == 3 {
        return vec![letters.to_ascii_uppercase().into()];
    }
    text.chars().find_map(of_sign).unwrap_or_default().iter().map(|&code| code.into()).collect()
}

pub(super) fn direction(text: &str) -> Option<Direction> {
    Some(match &*text.to_ascii_lowercase() {
        "inbound" | "in" | "incoming" | "received" => Direction::Inbound,
        "outbound" | "out" | "outgoing" | "outbound-api" | "outbound-dial" | "dialed" | "placed" => Direction::Outbound,
        "callback" | "call back" => Direction::Callback,
        _ => return None,
    })
}

pub(super) fn outcome(text: &str) -> Option<Outcome> {
    let plain = text.to_ascii_lowercase().replace(['-', ' '], "_");
    Some(match &*plain {
        "answered" | "answer" | "completed" | "complete" | "connected" | "success" | "successful" => Outcome::Answered,
        "missed" | "no_answer" | "noanswer" | "unanswered" | "not_answered" | "cancel" | "canceled" | "cancelled"
        | "abandoned" => Outcome::Missed,
        "abandoned_greeting" => Outcome::AbandonedGreeting,
        "abandoned_menu" => Outcome::AbandonedMenu,
        "busy" | "user_busy" => Outcome::Busy,
        "voicemail" | "voice_mail" => Outcome::Voicemail,
        "failed" | "failure" | "error" | "congestion" | "rejected" => Outcome::Failed,
        "callback_agent_missed" => Outcome::CallbackAgentMissed,
        "callback_client_missed" => Outcome::CallbackClientMissed,
        _ => return None,
    })
}

pub(super) fn hangup_by(text: &str) -> Option<HangupBy> {
    Some(match &*text.to_ascii_lowercase() {
        "caller" | "client" | "customer" => HangupBy::Caller,
        "agent" | "callee" | "operator" => HangupBy::Agent,
        "system" => HangupBy::System,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let new_york = chrono_tz::America::New_York;
        for (text, expected) in [
            ("2026-11-20T12:34:56Z", Some("2026-11-20T12:34:56.000000Z")),
            ("2026-11-20T12:34:56+02:00", Some("2026-11-20T10:34:56.000000Z")),
            ("2026-11-20 12:34:56 +0200", Some("2026-11-20T10:34:56.000000Z")),
            ("2026-11-20 12:34:56 UTC", Some("2026-11-20T12:34:56.000000Z")),
            ("2026-11-20T12:34Z", Some("2026-11-20T12:34:00.000000Z")),
            ("2026-11-20 12:34 GMT", Some("2026-11-20T12:34:00.000000Z")),
            ("2026-11-20T12:34+02:00", Some("2026-11-20T10:34:00.000000Z")),
            ("2026-11-20 12:34 +0200", Some("2026-11-20T10:34:00.000000Z")),
            ("2026-11-20 12:34:56+02", Some("2026-11-20T10:34:56.000000Z")),
            ("2026-11-20 12:34:56", Some("2026-11-20T17:34:56.000000Z")),
            ("2026/07/20 12:34:56.25", Some("2026-07-20T16:34:56.250000Z")),
            ("2026-07-20 12:34", Some("2026-07-20T16:34:00.000000Z")),
            // 2:30 does not exist on 8 March 2026, and 1:30 exists twice on 1 November.
            ("2026-03-08 02:30:00", Some("2026-03-08T07:30:00.000000Z")),
            ("2026-11-01 01:30:00", Some("2026-11-01T05:30:00.000000Z")),
            ("1795178096", Some("2026-11-20T12:34:56.000000Z")),
            ("1795178096.5", Some("2026-11-20T12:34:56.500000Z")),
            ("1795178096789", Some("2026-11-20T12:34:56.789000Z")),
            ("20261120123456", Some("2026-11-20T17:34:56.000000Z")),
            ("20261120123456.5", Some("2026-11-20T17:34:56.500000Z")),
            ("202611201234", Some("2026-11-20T17:34:00.000000Z")),
            ("20261320123456", None),
            ("989884800000", Some("2001-05-15T00:00:00.000000Z")),
            ("20.11.2026 12:34", None),
            ("yesterday", None),
            ("", None),
            ("12345", None),
        ] {
            assert_eq!(time(text, new_york, None).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_the_clock_shows_twice_is_not_before_what_it_follows() {
        let new_york = chrono_tz::America::New_York;
        let first = time("2026-11-01 01:50:00", new_york, None);
        for (text, expected) in [
            ("2026-11-01 01:55:00", "2026-11-01T05:55:00.000000Z"),
            ("2026-11-01 01:50:00", "2026-11-01T05:50:00.000000Z"),
            ("2026-11-01 01:05:00", "2026-11-01T06:05:00.000000Z"),
            ("2026-11-01 00:55:00", "2026-11-01T04:55:00.000000Z"),
        ] {
            assert_eq!(time(text, new_york, first).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("63", Some(63.0)),
            ("63.5", Some(63.5)),
            ("1:03", Some(63.0)),
            ("00:05:36", Some(336.0)),
            ("1:63", None),
            ("-3", None),
            ("1e9", None),
            ("inf", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(duration(text), seconds.map(|s: f64| (s * 1e6) as i64), "{text}");
        }
    }

    #[test]
    fn phones() {
        for (text, home, expected) in [
            ("+1 (415) 555-0123", None, Some("+14155550123")),
            ("+44 (0)20 7946 0123", None, Some("+442079460123")),
            ("(415) 555-0123", Some("US"), Some("+14155550123")),
            ("020 7946 0123", Some("GB"), Some("+442079460123")),
            ("0044 20 7946 0123", Some("GB"), Some("+442079460123")),
            ("415-555-0123", None, None),
            ("sip:+14155550123@example.com;user=phone", None, Some("+14155550123")),
            ("\"Jane\" <+14155550123>", None, Some("+14155550123")),
            ("1 415 555 0199", Some("US"), Some("+14155550199")),
            ("415.555.0199", Some("US"), Some("+14155550199")),
            ("030 901820", Some("DE"), Some("+4930901820")),
            ("100", Some("US"), None),
            ("5550199", Some("US"), None),
            ("14155550199.0", Some("US"), None),
            ("20261120123456", Some("US"), None),
            ("abc", Some("US"), None),
            ("", Some("US"), None),
        ] {
            let home = home.map(|code| super::home(code).expect("a country"));
            assert_eq!(phone(text, home).map(|phone| phone.to_string()).as_deref(), expected, "{text}");
        }
        for text in [None, Some("Anonymous"), Some("UNKNOWN"), Some("-")] {
            assert_eq!(party(text, None), Some(Party::Anonymous));
        }
        assert!(home("XX").is_none() && home("").is_none());
    }

    #[test]
    fn amounts_and_days() {
        for (text, expected) in [
            ("12", Some("12")),
            ("1,234.50", Some("1234.5")),
            ("1.234,50", Some("1234.5")),
            ("1,234", Some("1234")),
            ("12,5 €", Some("12.5")),
            ("0,500 €", Some("0.5")),
            ("0,123", Some("0.123")),
            ("1 234,500", Some("1234.5")),
            ("$0.07", Some("0.07")),
            ("-3.10", Some("-3.1")),
            ("(3.10)", Some("-3.1")),
            ("1.234.567", Some("1234567")),
            ("12,34,567.50", Some("1234567.5")),
            ("1 234,50", Some("1234.5")),
            ("1'234.50", Some("1234.5")),
            (".5", Some("0.5")),
            ("USD 12", Some("12")),
            ("12.50 kr.", Some("12.5")),
            ("1e2", None),
            ("12/5", None),
            ("1:30", None),
            ("0x10", None),
            ("$12abc3", None),
            ("12,34,5", None),
            ("12 34", None),
            ("12%", None),
            ("12 items", None),
            ("free", None),
            ("", None),
            (".", None),
            ("1234567890123", None),
        ] {
            assert_eq!(money(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("2026-11-20", Some("2026-11-20")),
            ("2026/11/20", Some("2026-11-20")),
            ("20261120", Some("2026-11-20")),
            ("2026-11-20 00:00:00", Some("2026-11-20")),
            ("11/20/2026", None),
            ("2026-02-30", None),
        ] {
            assert_eq!(date(text).map(|date| date.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn counts() {
        for (text, expected) in [
            ("1234", Some(1234)),
            ("1,234", Some(1234)),
            ("1.234.567", Some(1_234_567)),
            ("12 345", Some(12_345)),
            ("1,5", None),
            ("12,5", None),
            ("1,234.567", None),
            ("1.5", None),
            ("1234,567", None),
            (",234", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,60}", number in "[0-9.,:/ T+-]{0,30}") {
            for text in [&text, &number] {
                let _ = time(text, chrono_tz::Europe::London, None);
                let _ = (duration(text), date(text), money(text), count(text));
                let _ = party(Some(text), home("GB"));
            }
        }
    }
}
