//! Times of day, written `09:00`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::shortened;

/// A local time of day in minutes from midnight, written `09:00`; `24:00` is the midnight that ends the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(pub u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a time of day from 00:00 to 24:00, such as 09:00")]
pub struct LocalTimeError;

impl LocalTime {
    /// The midnight that ends the day.
    pub const MIDNIGHT: LocalTime = LocalTime(24 * 60);

    /// Reads `09:00`, with two digits for both.
    ///
    /// # Errors
    /// For every other form, and past `24:00`.
    pub fn parse(text: &str) -> Result<LocalTime, LocalTimeError> {
        let &[h1, h2, b':', m1, m2] = text.as_bytes() else { return Err(LocalTimeError) };
        if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
            return Err(LocalTimeError);
        }
        let two = |a: u8, b: u8| u16::from(a - b'0') * 10 + u16::from(b - b'0');
        let (hour, minute) = (two(h1, h2), two(m1, m2));
        let time = LocalTime(hour * 60 + minute);
        if minute > 59 || time > LocalTime::MIDNIGHT { Err(LocalTimeError) } else { Ok(time) }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// In formats for people `09:00`, in snapshots the minutes.
impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u16(self.0) }
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LocalTime, D::Error> {
        if !deserializer.is_human_readable() {
            return u16::deserialize(deserializer).map(LocalTime);
        }
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = LocalTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time of day such as 09:00")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<LocalTime, E> {
                LocalTime::parse(text).map_err(|error| E::custom(format_args!("{:?} {error}", shortened(text))))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl JsonSchema for LocalTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LocalTime".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_times_of_day() {
        for (text, minutes) in [("00:00", 0), ("09:05", 545), ("23:59", 1439), ("24:00", 1440)] {
            assert_eq!(LocalTime::parse(text), Ok(LocalTime(minutes)));
            assert_eq!(LocalTime(minutes).to_string(), text);
        }
        for text in ["", "9:00", "24:01", "25:00", "12:60", "12.30", "12:3a", "-1:00", "09:00:00", "٠٩:00"] {
            assert_eq!(LocalTime::parse(text), Err(LocalTimeError), "{text}");
        }
    }
}
