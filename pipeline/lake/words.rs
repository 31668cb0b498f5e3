//! Text columns of few values: each value is held once, and rows say which. Neither Arrow nor Parquet's encoder then
//! has to look at a row's text again.

use std::sync::Arc;

use deltalake_core::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringBuilder, UInt32Array};
use deltalake_core::arrow::datatypes::{DataType, UInt32Type};
use deltalake_core::arrow::error::ArrowError;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A row's number of a value. A dictionary of ours begins with null, whose number is [`NULL`].
pub type WordArray = DictionaryArray<UInt32Type>;

pub const NULL: u32 = 0;

/// Whether a column is a [`WordArray`].
pub fn is_words(column: &dyn Array) -> bool {
    column.as_dictionary_opt::<UInt32Type>().is_some_and(|words| words.values().data_type() == &DataType::Utf8)
}

/// The values that there are, numbered from 1 on as they come.
#[derive(Default)]
pub struct Words {
    places: HashTable<u32>,
    hashes: Vec<u64>,
    /// All values, one behind the other.
    text: String,
    /// Where each begins, and the last ends.
    ends: Vec<usize>,
}

impl Words {
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The value of a number that was given.
    pub fn get(&self, number: u32) -> &str {
        let at = number as usize;
        let from = if at > 1 { self.ends[at - 2] } else { 0 };
        &self.text[from..self.ends[at - 1]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (1..=self.len() as u32).map(|number| self.get(number))
    }

    pub fn number(&mut self, value: &str) -> u32 {
        let hash = xxh3_64(value.as_bytes());
        let same = |number: &u32| self.hashes[*number as usize - 1] == hash && self.get(*number) == value;
        if let Some(number) = self.places.find(hash, same) {
            return *number;
        }
        self.text.push_str(value);
        self.ends.push(self.text.len());
        self.hashes.push(hash);
        let number = self.hashes.len() as u32;
        let hashes = &self.hashes;
        self.places.insert_unique(hash, number, |number| hashes[*number as usize - 1]);
        number
    }
}

/// Builds a [`WordArray`].
pub struct WordBuilder {
    words: Words,
    numbers: Vec<u32>,
    /// The last row's: neighbours are often alike.
    last: u32,
}

impl WordBuilder {
    pub fn with_capacity(rows: usize) -> WordBuilder {
        WordBuilder { words: Words::default(), numbers: Vec::with_capacity(rows), last: NULL }
    }

    pub fn append(&mut self, value: Option<&str>) {
        let number = match value {
            None => NULL,
            Some(value) if self.last != NULL && self.words.get(self.last) == value => self.last,
            Some(value) => {
                self.last = self.words.number(value);
                self.last
            }
        };
        self.numbers.push(number);
    }

    pub fn finish(self) -> Result<ArrayRef, ArrowError> {
        let mut values = StringBuilder::with_capacity(self.words.len() + 1, self.words.text_bytes());
        values.append_null();
        self.words.iter().for_each(|word| values.append_value(word));
        let numbers = UInt32Array::from(self.numbers);
        Ok(Arc::new(WordArray::try_new(numbers, Arc::new(values.finish()))?))
    }
}

/// A column of text as words, whatever it is now.
pub fn words(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if is_words(column) {
        return Ok(Arc::clone(column));
    }
    let mut builder = WordBuilder::with_capacity(column.len());
    column.as_string::<i32>().iter().for_each(|value| builder.append(value));
    builder.finish()
}

/// What each number of `array` is among `words`; null stays null.
pub fn numbers_among(words: &mut Words, array: &WordArray) -> Vec<u32> {
    let values = array.values().as_string::<i32>();
    values.iter().map(|value| value.map_or(NULL, |value| words.number(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back(rows in prop::collection::vec(prop::option::of("[ab]{0,3}|\\PC{0,9}"), 0..200)) {
            let mut builder = WordBuilder::with_capacity(rows.len());
            rows.iter().for_each(|row| builder.append(row.as_deref()));
            let array = builder.finish()?;
            let words = array.as_dictionary::<UInt32Type>();
            let values = words.values().as_string::<i32>();
            let back = words.keys().values().iter().map(|key| {
                (*key != NULL).then(|| values.value(*key as usize).to_owned())
            });
            prop_assert_eq!(back.collect::<Vec<_>>(), rows);
            let mut all = Words::default();
            all.number("another");
            let numbers = numbers_among(&mut all, words);
            prop_assert_eq!(numbers[0], NULL);
            for (at, number) in numbers.iter().enumerate().skip(1) {
                prop_assert_eq!(all.get(*number), values.value(at));
            }
        }
    }
}
