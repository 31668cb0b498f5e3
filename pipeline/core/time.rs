//! Instants: microseconds since 1970-01-01T00:00:00Z, read from and written as RFC 3339.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// So many of a unit, in microseconds to the nearest: 1.1 minutes are 66 seconds, though 1.1 is a little more than 1.1 in binary.
pub fn micros(amount: f64, unit: i64) -> i64 {
    (amount * unit as f64).round() as i64
}

/// An instant in UTC, in microseconds since the Unix epoch. Finer fractions are cut off.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

/// A calendar day in UTC, in days since 1970-01-01: the partition of every table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Date(pub i32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("is not an RFC 3339 time such as 2026-11-20T12:34:56.789Z")]
    Format,
    #[error("is not a date such as 2026-11-20")]
    DateFormat,
}

impl Time {
    pub const MIN: Time = Time(i64::MIN);
    pub const MAX: Time = Time(i64::MAX);
    /// 2000-01-01T00:00:00Z: what happened earlier is an impossible time (contract, section 4).
    pub const EARLIEST: Time = Time(946_684_800 * MICROS_PER_SECOND);

    pub fn date(self) -> Date {
        Date(self.0.div_euclid(MICROS_PER_DAY) as i32)
    }

    pub fn plus(self, micros: i64) -> Time {
        Time(self.0.saturating_add(micros))
    }

    pub fn minus(self, micros: i64) -> Time {
        Time(self.0.saturating_sub(micros))
    }

    /// Microseconds from `earlier` to `self`; negative where `earlier` is later.
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads RFC 3339 (section 5.6): `T` may be `t` or a space, an offset is converted to UTC, a leap second counts as
    /// the second after.
    pub fn parse(text: &str) -> Result<Time, TimeError> {
        parse(text.as_bytes()).ok_or(TimeError::Format)
    }
}

impl Date {
    /// Reads `2026-11-20`.
    pub fn parse(text: &str) -> Result<Date, TimeError> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return Err(TimeError::DateFormat);
        }
        let date = (|| days_from_civil(digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?))();
        date.map(Date).ok_or(TimeError::DateFormat)
    }

    pub fn start(self) -> Time {
        Time(i64::from(self.0) * MICROS_PER_DAY)
    }
}

fn digits(b: &[u8]) -> Option<i64> {
    let mut n = 0i64;
    for &c in b {
        let d = c.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        n = n * 10 + i64::from(d);
    }
    Some(n)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i32> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    i32::try_from(era * 146_097 + doe - 719_468).ok()
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn parse(b: &[u8]) -> Option<Time> {
    if b.len() < 20 || b[4] != b'-' || b[7] != b'-' || b[13] != b':' || b[16] != b':' {
        return None;
    }
    if !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let days = days_from_civil(digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?)?;
    let (hour, minute, second) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if b[at] == b'.' {
        at += 1;
        let from = at;
        let mut unit = 100_000;
        while at < b.len() && b[at].is_ascii_digit() {
            micros += i64::from(b[at] - b'0') * unit;
            unit /= 10;
            at += 1;
        }
        if at == from {
            return None;
        }
    }
    let offset = match b.get(at)? {
        b'Z' | b'z' if b.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if b.len() == at + 6 && b[at + 3] == b':' => {
            let (h, m) = (digits(&b[at + 1..at + 3])?, digits(&b[at + 4..at + 6])?);
            if h > 23 || m > 59 {
                return None;
            }
            (h * 3600 + m * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = i64::from(days) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Time(seconds * MICROS_PER_SECOND + micros))
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = civil_from_days(i64::from(self.0));
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

/// RFC 3339 in UTC with six digits of the second.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_day = self.0.rem_euclid(MICROS_PER_DAY);
        let seconds = in_day / MICROS_PER_SECOND;
        write!(
            f,
            "{}T{:02}:{:02}:{:02}.{:06}Z",
            self.date(),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            in_day % MICROS_PER_SECOND
        )
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In formats for people an RFC 3339 string, in snapshots the microseconds.
impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Time);
        }
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time such as 2026-11-20T12:34:56.789Z")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                Time::parse(text).map_err(|error| E::custom(format_args!("{:?} {error}", shortened(text))))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i32(self.0) }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        if !deserializer.is_human_readable() {
            return i32::deserialize(deserializer).map(Date);
        }
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Date;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as 2026-11-20")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                Date::parse(text).map_err(|error| E::custom(format_args!("{:?} {error}", shortened(text))))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// At most 40 characters of what somebody sent, for an error message.
pub(crate) fn shortened(text: &str) -> &str {
    match text.char_indices().nth(40) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl schemars::JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl schemars::JsonSchema for Date {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Date".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date" })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_of_settings_are_whole_seconds() {
        assert_eq!(micros(1.1, MICROS_PER_MINUTE), 66 * MICROS_PER_SECOND);
        assert_eq!(micros(4.1, MICROS_PER_HOUR), 14_760 * MICROS_PER_SECOND);
        assert_eq!(micros(0.7, MICROS_PER_DAY), 60_480 * MICROS_PER_SECOND);
    }

    #[test]
    fn reads_what_rfc_3339_allows() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-20T12:34:56.789Z", Some(1_795_178_096_789_000)),
            ("2026-11-20t12:34:56.7891234z", Some(1_795_178_096_789_123)),
            ("2026-11-20T14:34:56+02:00", Some(1_795_178_096_000_000)),
            ("2026-11-20 10:04:56-02:30", Some(1_795_178_096_000_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-20T24:00:00Z", None),
            ("2026-11-20T12:34:56", None),
            ("2026-11-20T12:34:56.Z", None),
            ("2026-11-20T12:34:56+0200", None),
            ("2026-11-20", None),
            ("", None),
        ] {
            assert_eq!(Time::parse(text).ok(), expected.map(Time), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in 0..253_402_300_800_000_000i64) {
            let time = Time(micros);
            prop_assert_eq!(Time::parse(&time.to_string()), Ok(time));
            prop_assert_eq!(Date::parse(&time.date().to_string()), Ok(time.date()));
        }
    }
}
