//! Phone numbers as people write them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use callweave_core::phone::Phone;
use phonenumber::Mode;

/// Numbers whose forms are remembered; beyond it they are made anew. Only accounts' own numbers are shown.
const KEPT_MAX: usize = 100_000;

/// One number in both of its forms, by libphonenumber's metadata.
#[derive(Debug, PartialEq, Eq)]
pub struct Forms {
    /// As its own country writes it: `(415) 555-0123`, `020 7946 0000`.
    pub national: String,
    /// `+1 415-555-0123`.
    pub international: String,
}

/// Forms that were made before: making them takes tens of microseconds of regular expressions.
#[derive(Default)]
pub struct Written {
    known: RwLock<HashMap<Phone, Arc<Forms>>>,
}

impl Written {
    pub fn of(&self, number: Phone) -> Arc<Forms> {
        if let Some(forms) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return forms.clone();
        }
        let forms = Arc::new(Forms::of(number));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        known.insert(number, forms.clone());
        forms
    }
}

impl Forms {
    /// A number of no country that is known is written as it is.
    fn of(number: Phone) -> Forms {
        let plain = number.to_string();
        match phonenumber::parse(None, &plain) {
            Ok(number) => Forms {
                national: number.format().mode(Mode::National).to_string(),
                international: number.format().mode(Mode::International).to_string(),
            },
            Err(_) => Forms { national: plain.clone(), international: plain },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_their_countries_do() {
        let written = Written::default();
        for (number, national, international) in [
            ("+14155550123", "(415) 555-0123", "+1 415-555-0123"),
            ("+442079460123", "020 7946 0123", "+44 20 7946 0123"),
            ("+493012345678", "030 12345678", "+49 30 12345678"),
            ("+33142685300", "01 42 68 53 00", "+33 1 42 68 53 00"),
            ("+74951234567", "8 (495) 123-45-67", "+7 495 123-45-67"),
        ] {
            let number = Phone::parse(number).expect("a number");
            for _ in 0..2 {
                let forms = written.of(number);
                assert_eq!((forms.national.as_str(), forms.international.as_str()), (national, international));
            }
        }
    }
}
