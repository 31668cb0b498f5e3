//! Days of the week by name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Weekday;

impl Weekday {
    pub const ALL: [Weekday; 7] =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    pub fn name(self) -> &'static str {
        Weekday::NAMES[self as usize]
    }
}

/// In formats for people `mon` to `sun`, in snapshots 0 to 6. By hand, since a derived one is no string to those who
/// report where in a map a mistake is.
impl Serialize for Weekday {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u8(*self as u8)
        }
    }
}

impl<'de> Deserialize<'de> for Weekday {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Weekday, D::Error> {
        if !deserializer.is_human_readable() {
            let at = usize::from(u8::deserialize(deserializer)?);
            return Weekday::ALL.get(at).copied().ok_or_else(|| de::Error::custom("is no day of the week"));
        }
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Weekday;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a day of the week such as mon")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Weekday, E> {
                let found = Weekday::ALL.into_iter().find(|day| day.name() == name);
                found.ok_or_else(|| E::unknown_variant(name, &Weekday::NAMES))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
