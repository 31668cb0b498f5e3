//! Amounts of money: read exactly from JSON numbers and from decimal strings, never through a float.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::{MONEY_BYTES_MAX, MONEY_FRACTION_DIGITS_MAX, MONEY_INTEGER_DIGITS_MAX};
use crate::time::shortened;

/// An amount of money in millionths of its currency's unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Money(pub i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("is not a decimal number such as 19.99")]
    Format,
    #[error("is too large: at most 12 digits may stand before the point")]
    TooLarge,
    #[error("is too fine: at most 6 digits may stand after the point")]
    TooFine,
}

impl Money {
    pub const SCALE: i64 = 1_000_000;
    /// The largest amount: 12 digits before the point and 6 after.
    pub const MAX: Money = Money(999_999_999_999_999_999);

    /// Reads a JSON number (RFC 8259, section 6; leading zeros are forgiven).
    ///
    /// # Errors
    /// Where the text is no number, or its value has more than 12 digits before or 6 after the point.
    pub fn parse(text: &str) -> Result<Money, MoneyError> {
        if text.len() > MONEY_BYTES_MAX {
            return Err(MoneyError::Format);
        }
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return Err(MoneyError::Format),
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(MoneyError::Format);
        }
        let micros = scaled(whole, fraction, exponent)?;
        Ok(Money(if negative { -micros } else { micros }))
    }
}

/// More say nothing that an amount can be.
const EXPONENT_DIGITS_MAX: usize = 4;

fn exponent(text: &str) -> Result<i64, MoneyError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > EXPONENT_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MoneyError::Format);
    }
    text.parse().map_err(|_| MoneyError::Format)
}

/// Millionths of `whole.fraction` × 10^`exponent`, all three made of digits only.
fn scaled(whole: &str, fraction: &str, exponent: i64) -> Result<i64, MoneyError> {
    const SCALE_DIGITS: i64 = MONEY_FRACTION_DIGITS_MAX as i64;
    const DIGITS_MAX: i64 = (MONEY_INTEGER_DIGITS_MAX + MONEY_FRACTION_DIGITS_MAX) as i64;
    let digits = || whole.bytes().chain(fraction.bytes());
    let total = whole.len() + fraction.len();
    let leading = digits().take_while(|&b| b == b'0').count();
    if leading == total {
        return Ok(0);
    }
    let trailing = digits().rev().take_while(|&b| b == b'0').count();
    let shift = exponent - fraction.len() as i64 + trailing as i64 + SCALE_DIGITS;
    let significant = total - leading - trailing;
    if significant as i64 + shift > DIGITS_MAX {
        return Err(MoneyError::TooLarge);
    }
    if shift < 0 {
        return Err(MoneyError::TooFine);
    }
    let n = digits().skip(leading).take(significant).fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
    Ok(n * 10i64.pow(shift as u32))
}

/// The shortest decimal number.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, n) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let scale = Money::SCALE.unsigned_abs();
        write!(f, "{sign}{}", n / scale)?;
        if n % scale == 0 {
            return Ok(());
        }
        let fraction = format!("{:06}", n % scale);
        write!(f, ".{}", fraction.trim_end_matches('0'))
    }
}

/// The name by which sonic-rs hands over a number's own text instead of its float (`sonic_rs::RawNumber`). Other
/// formats do not know it and take the usual way. A test holds sonic-rs to it.
const NUMBER_AS_TEXT: &str = "$sonic_rs::private::JsonNumber";

/// A JSON number, or a string of a decimal number: at most 12 digits before the point, 6 after. In formats that are
/// not for people, the millionths.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Money);
        }
        deserializer.deserialize_newtype_struct(NUMBER_AS_TEXT, Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number such as 19.99")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Money, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
        Money::parse(text).map_err(|error| E::custom(format_args!("{:?} {error}", shortened(text))))
    }

    fn visit_i64<E: de::Error>(self, units: i64) -> Result<Money, E> {
        self.visit_str(&units.to_string())
    }

    fn visit_u64<E: de::Error>(self, units: u64) -> Result<Money, E> {
        self.visit_str(&units.to_string())
    }

    /// Exact for what has up to 15 digits: then the shortest text of the float is the text it was read from.
    fn visit_f64<E: de::Error>(self, units: f64) -> Result<Money, E> {
        self.visit_str(&format!("{units:e}"))
    }
}

/// A JSON number, or a string for the rare amount (16 digits and more) that a reader's float would not hold exactly.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        if self.0 % Money::SCALE == 0 {
            return serializer.serialize_i64(self.0 / Money::SCALE);
        }
        let units = self.0 as f64 / Money::SCALE as f64;
        if Money::parse(&format!("{units:e}")) == Ok(*self) {
            serializer.serialize_f64(units)
        } else {
            serializer.collect_str(self)
        }
    }
}

/// What texts of amounts look like, behind this sign: those without an exponent exactly; of one with an exponent a pattern
/// cannot tell how many digits stand before the point.
pub(crate) fn pattern(sign: &str) -> String {
    let more = MONEY_INTEGER_DIGITS_MAX - 1;
    let plain = format!("(0|[1-9][0-9]{{0,{more}}})(\\.[0-9]{{1,{MONEY_FRACTION_DIGITS_MAX}}}0*)?");
    format!("^{sign}({plain}|(0|[1-9][0-9]*)(\\.[0-9]+)?[eE][+-]?[0-9]{{1,{EXPONENT_DIGITS_MAX}}})$")
}

impl schemars::JsonSchema for Money {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["number", "string"],
            "pattern": pattern("-?"),
            "maxLength": MONEY_BYTES_MAX,
            "exclusiveMinimum": -1e12,
            "exclusiveMaximum": 1e12,
            "description": format!(
                "A number, or its text. At most {MONEY_INTEGER_DIGITS_MAX} digits before the point and \
                 {MONEY_FRACTION_DIGITS_MAX} after."
            ),
        })
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
    fn reads_decimal_numbers_exactly() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("0.1", Ok(100_000)),
            ("19.99", Ok(19_990_000)),
            ("-19.99", Ok(-19_990_000)),
            ("1e3", Ok(1_000_000_000)),
            ("1E+3", Ok(1_000_000_000)),
            ("1.5e-6", Err(MoneyError::TooFine)),
            ("15e-1", Ok(1_500_000)),
            ("0.000001", Ok(1)),
            ("0.0000010000", Ok(1)),
            ("0.0000001", Err(MoneyError::TooFine)),
            ("123456789012.123456", Ok(123_456_789_012_123_456)),
            ("999999999999.999999", Ok(999_999_999_999_999_999)),
            ("1000000000000", Err(MoneyError::TooLarge)),
            ("1e999", Err(MoneyError::TooLarge)),
            ("0e999", Ok(0)),
            ("1e-999", Err(MoneyError::TooFine)),
            ("1e99999", Err(MoneyError::Format)),
            ("", Err(MoneyError::Format)),
            ("-", Err(MoneyError::Format)),
            (".5", Err(MoneyError::Format)),
            ("5.", Err(MoneyError::Format)),
            ("1,5", Err(MoneyError::Format)),
            ("1 ", Err(MoneyError::Format)),
            ("NaN", Err(MoneyError::Format)),
            ("€5", Err(MoneyError::Format)),
        ] {
            assert_eq!(Money::parse(text).map(|money| money.0), expected, "{text}");
        }
    }

    #[test]
    fn the_reader_hands_over_the_number_itself() {
        let exact = Money(123_456_789_012_123_456);
        assert_eq!(sonic_rs::from_str::<Money>("123456789012.123456").ok(), Some(exact));
        assert_eq!(sonic_rs::from_str::<Money>("\"123456789012.123456\"").ok(), Some(exact));
        assert_eq!(serde_json::from_str::<Money>("19.99").ok(), Some(Money(19_990_000)));
        assert_eq!(serde_json::from_str::<Money>("\"-7\"").ok(), Some(Money(-7_000_000)));
        assert_eq!(serde_json::to_string(&Money(19_990_000)).ok().as_deref(), Some("19.99"));
        assert_eq!(serde_json::to_string(&Money(-5_000_000)).ok().as_deref(), Some("-5"));
        assert!(sonic_rs::from_str::<Money>("true").is_err());
    }

    /// What the reader takes meets the pattern. The other way round only an exponent hides digits.
    #[test]
    fn the_pattern_of_texts_is_what_the_reader_takes() {
        let pattern = regex::Regex::new(&pattern("-?")).unwrap();
        for (text, is_money, meets) in [
            ("0", true, true),
            ("-0.000000", true, true),
            ("19.99", true, true),
            ("-1.5000000000", true, true),
            ("999999999999.999999", true, true),
            ("1e3", true, true),
            ("-1.5E+3", true, true),
            ("15e-1", true, true),
            ("1e0011", true, true),
            ("0e9999", true, true),
            ("1000000000000", false, false),
            ("0.0000001", false, false),
            ("1e12", false, true),
            ("1e-7", false, true),
            ("1e00011", false, false),
            ("01", false, false),
            ("+1", false, false),
            ("1.", false, false),
            (".5", false, false),
            ("1e", false, false),
            ("1,5", false, false),
            (" 1", false, false),
            ("", false, false),
        ] {
            let read = sonic_rs::from_str::<Money>(&format!("\"{text}\""));
            assert_eq!((read.is_ok(), pattern.is_match(text)), (is_money, meets), "{text}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in -Money::MAX.0..=Money::MAX.0) {
            let money = Money(micros);
            let json = serde_json::to_string(&money).unwrap_or_default();
            prop_assert_eq!(sonic_rs::from_str::<Money>(&json).ok(), Some(money), "{}", json);
            prop_assert_eq!(Money::parse(&money.to_string()), Ok(money));
        }
    }
}
