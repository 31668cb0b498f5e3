//! Phone numbers in E.164 (ITU-T E.164: a plus, a country code, at most 15 digits in all).

use std::fmt;

use phonenumber::{Type, metadata::DATABASE};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An E.164 number, as the integer of its digits: `+14155550123` is `14155550123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(pub u64);

/// Who calls: a number, or somebody who withheld it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    Number(Phone),
    Anonymous,
}

/// The kinds of numbers that a telephone can have.
pub(crate) const KINDS: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::TollFree,
    Type::PremiumRate,
    Type::SharedCost,
    Type::Voip,
    Type::PersonalNumber,
    Type::Pager,
    Type::Uan,
    Type::Voicemail,
];

pub const ANONYMOUS: &str = "anonymous";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an E.164 number such as +14155550123")]
pub struct PhoneError;

impl Phone {
    pub fn parse(text: &str) -> Result<Phone, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError)?.as_bytes();
        if !(7..=15).contains(&digits.len()) || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
            return Err(PhoneError);
        }
        Ok(Phone(digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'))))
    }

    /// A number that libphonenumber has read, whoever wrote it how.
    pub fn of(number: &phonenumber::PhoneNumber) -> Option<Phone> {
        Phone::parse(&number.format().mode(phonenumber::Mode::E164).to_string()).ok()
    }

    /// ISO 3166-1 alpha-2 code of the country that the number belongs to, by libphonenumber's metadata; nothing for
    /// numbers of no country (satellite, international freephone) and for those that cannot exist.
    pub fn country(self) -> Option<String> {
        let number = phonenumber::parse(None, self.to_string()).ok();
        let told = number.and_then(|number| number.country().id());
        told.map(|id| id.as_ref().to_owned()).or_else(|| self.country_as_written())
    }

    /// The library tells countries that share a code apart by the number without its first zeros, and leaves a first digit
    /// out that is dialled within the country alone; but in Italy the zero is part of the number, and a Russian one may begin with 8.
    fn country_as_written(self) -> Option<String> {
        let digits = self.0.to_string();
        let (regions, national) = (1..=3).find_map(|length| {
            let (code, national) = digits.split_at_checked(length)?;
            Some((DATABASE.region(&code.parse::<u16>().ok()?)?, national))
        })?;
        let is_of = |region: &&str| {
            // Numbers of no country are those of region 001.
            let Some(about) = DATABASE.by_id(*region).filter(|about| about.id() != "001") else { return false };
            match about.leading_digits() {
                Some(leading) => leading.find(national).is_some_and(|found| found.start() == 0),
                None => {
                    KINDS.iter().filter_map(|kind| about.descriptors().get(*kind)).any(|kind| kind.is_match(national))
                }
            }
        };
        regions.into_iter().find(is_of).map(str::to_owned)
    }
}

impl Party {
    pub fn parse(text: &str) -> Result<Party, PhoneError> {
        if text == ANONYMOUS { Ok(Party::Anonymous) } else { Phone::parse(text).map(Party::Number) }
    }

    pub fn number(self) -> Option<Phone> {
        match self {
            Party::Number(phone) => Some(phone),
            Party::Anonymous => None,
        }
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Number(phone) => phone.fmt(f),
            Party::Anonymous => f.write_str(ANONYMOUS),
        }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Visitor<T>(&'static str, fn(&str) -> Result<T, PhoneError>);

impl<T> de::Visitor<'_> for Visitor<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(|error| E::custom(format_args!("{:?} {error}", crate::time::shortened(text))))
    }
}

/// In formats for people the E.164 text, in snapshots the integer (0: anonymous).
impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Phone, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Phone);
        }
        deserializer.deserialize_str(Visitor("an E.164 number such as +14155550123", Phone::parse))
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_u64(self.number().map_or(0, |phone| phone.0))
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Party, D::Error> {
        if !deserializer.is_human_readable() {
            let digits = u64::deserialize(deserializer)?;
            return Ok(if digits == 0 { Party::Anonymous } else { Party::Number(Phone(digits)) });
        }
        deserializer.deserialize_str(Visitor("an E.164 number such as +14155550123, or anonymous", Party::parse))
    }
}

impl schemars::JsonSchema for Phone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Phone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$" })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl schemars::JsonSchema for Party {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Party".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(\\+[1-9][0-9]{6,14}|anonymous)$" })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_their_country() {
        for (number, expected) in [
            ("+14155550199", Some("US")),
            ("+16135550123", Some("CA")),
            ("+442079460000", Some("GB")),
            ("+79161234567", Some("RU")),
            ("+78001234567", Some("RU")),
            ("+77011234567", Some("KZ")),
            ("+393123456789", Some("IT")),
            // Their zero is dialled from abroad, too.
            ("+390236618300", Some("IT")),
            ("+390669812345", Some("VA")),
            ("+80012345678", None),
            ("+10000000", None),
            ("+2100000000", None),
        ] {
            let phone = Phone::parse(number).unwrap();
            assert_eq!(phone.country().as_deref(), expected, "{number}");
        }
    }
}
