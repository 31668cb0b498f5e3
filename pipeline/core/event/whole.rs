//! Whole numbers. For JSON Schema `25.0` and `2.5e1` are the integer 25, and so they are here: what keeps a column of numbers
//! with gaps as floats writes them so.

use std::fmt;
use std::marker::PhantomData;

use serde::de::Unexpected;
use serde::{Deserialize, Deserializer, de};

/// Up to here a float tells every whole number from its neighbours: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads a whole number, with or without a fraction of zeros. Formats that are not for people keep their own way.
pub(crate) fn only<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + TryFrom<u64>,
    D: Deserializer<'de>,
{
    if from.is_human_readable() { from.deserialize_u64(Visitor(PhantomData)) } else { T::deserialize(from) }
}

/// The same, or nothing for null.
pub(crate) fn optional<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + TryFrom<u64>,
    D: Deserializer<'de>,
{
    Ok(Option::<Whole<T>>::deserialize(from)?.map(|whole| whole.0))
}

struct Whole<T>(T);

impl<'de, T: Deserialize<'de> + TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Whole<T>, D::Error> {
        only(from).map(Whole)
    }
}

struct Visitor<T>(PhantomData<T>);

impl<T: TryFrom<u64>> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0 on")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        if number < 0.0 || number.fract() != 0.0 {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        if number > EXACT_MAX {
            return Err(E::custom(format_args!(
                "{number:e} is more than 2^53, above which a whole number has neither a point nor an exponent: write its \
                 digits alone"
            )));
        }
        // Whole, from 0 to 2^53.
        self.visit_u64(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Told {
        #[serde(deserialize_with = "only")]
        must: u8,
        #[serde(default, deserialize_with = "optional")]
        may: Option<u64>,
    }

    #[test]
    fn a_fraction_of_zeros_is_none() {
        for (number, expected) in [
            ("25", Ok(25)),
            ("25.0", Ok(25)),
            ("2.5e1", Ok(25)),
            ("-0", Ok(0)),
            ("-0.0", Ok(0)),
            ("9007199254740992.0", Ok(1 << 53)),
            ("9007199254740993", Ok((1 << 53) + 1)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("25.5", Err("floating point `25.5`, expected a whole number from 0 on")),
            ("-1", Err("integer `-1`, expected a whole number from 0 on")),
            ("-1.0", Err("floating point `-1.0`, expected a whole number from 0 on")),
            ("9007199254740994.0", Err("9.007199254740994e15 is more than 2^53")),
            ("1e300", Err("1e300 is more than 2^53")),
            ("\"25\"", Err("expected a whole number from 0 on")),
            ("[25]", Err("expected a whole number from 0 on")),
        ] {
            let json = format!(r#"{{"must":7.0,"may":{number}}}"#);
            let of_value = serde_json::from_str::<serde_json::Value>(&json).map(serde_json::from_value::<Told>);
            let read = [
                sonic_rs::from_str::<Told>(&json).map_err(|error| error.to_string()),
                serde_json::from_str::<Told>(&json).map_err(|error| error.to_string()),
                of_value.unwrap().map_err(|error| error.to_string()),
            ];
            for read in read {
                match (read, expected) {
                    (Ok(told), Ok(expected)) => assert_eq!(told, Told { must: 7, may: Some(expected) }, "{number}"),
                    (Err(told), Err(words)) => assert!(told.contains(words), "{told:?} lacks {words:?}"),
                    (read, _) => panic!("{number}: {read:?}"),
                }
            }
        }
    }

    #[test]
    fn numbers_are_as_large_as_their_types() {
        for (json, expected) in [
            (r#"{"must":255.0}"#, Some(Told { must: 255, may: None })),
            (r#"{"must":255,"may":null}"#, Some(Told { must: 255, may: None })),
            (r#"{"must":256}"#, None),
            (r#"{"must":256.0}"#, None),
            (r#"{"must":null}"#, None),
            (r#"{"may":1}"#, None),
        ] {
            assert_eq!(sonic_rs::from_str::<Told>(json).ok(), expected, "{json}");
        }
        let told = Told { must: 3, may: Some(u64::MAX) };
        let bytes = postcard::to_stdvec(&told).unwrap();
        assert_eq!(postcard::from_bytes::<Told>(&bytes), Ok(told));
    }
}
