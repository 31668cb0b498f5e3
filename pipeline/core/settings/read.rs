//! Settings read from JSON, and every mistake in them told at once: of shape, where the reader stops at the first, and of meaning.
//!
//! What cannot be read is told, taken out (or filled in, where it must be there), and the rest is read again. So no mistake hides
//! another; what would only come of what was taken out is not told.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

use super::{Mistake, Settings};
use crate::event::{known_variant, mistake_of_shape};
use crate::limits::{MISTAKES_TOLD_MAX, SETTINGS_READ_BYTES_MAX};
use crate::time::shortened;

impl Settings {
    /// Reads settings, and looks them over.
    ///
    /// # Errors
    /// With every mistake there is.
    pub fn read(value: Value) -> Result<Settings, Vec<Mistake>> {
        match Settings::deserialize(&value) {
            Ok(settings) if value.is_object() => settings.check().map(|()| settings),
            _ => Err(mistakes(value)),
        }
    }
}

/// All that is wrong with settings that cannot be read.
pub(crate) fn mistakes(value: Value) -> Vec<Mistake> {
    if !value.is_object() {
        return vec![Mistake { path: String::new(), message: "settings are a JSON object".to_owned() }];
    }
    let mut reading = Reading { value, ..Reading::default() };
    let settings = reading.read_all();
    let of_meaning = settings.and_then(|settings| settings.check().err()).unwrap_or_default();
    let of_meaning: Vec<Mistake> = of_meaning.into_iter().filter_map(|mistake| reading.by_itself(mistake)).collect();
    reading.told.extend(of_meaning);
    reading.told
}

enum Step {
    Member(String),
    At(usize),
}

#[derive(Default)]
struct Reading {
    value: Value,
    told: Vec<Mistake>,
    /// Items that were taken out of lists, by the list's path: what their places were, in order.
    gone: BTreeMap<String, Vec<usize>>,
    /// How many values were tried in place of a member that must be there.
    filled: BTreeMap<String, usize>,
}

/// A mistake of meaning that comes of a name that could not be read: whose, and what it says.
const OF_NAMES: &[(&str, &str, &str)] = &[
    ("pools", ".name", "there is no pool called"),
    ("sites", ".name", "there is no site called"),
    ("numbers", ".number", "is not among the numbers"),
];

impl Reading {
    /// What can be read once all else is told.
    fn read_all(&mut self) -> Option<Settings> {
        let bytes = self.value.to_string().len().max(1);
        for _ in 0..SETTINGS_READ_BYTES_MAX / bytes {
            let error = match serde_path_to_error::deserialize(&self.value) {
                Ok(settings) => return Some(settings),
                Err(error) => error,
            };
            let steps = steps(error.path());
            if !self.mend(steps, &error.inner().to_string()) || self.told.len() >= MISTAKES_TOLD_MAX {
                break;
            }
        }
        None
    }

    /// Tells the mistake, and makes what is there readable in that place.
    fn mend(&mut self, mut steps: Vec<Step>, message: &str) -> bool {
        let problem = mistake_of_shape(message);
        let is_missing = !problem.path.is_empty();
        if is_missing {
            steps.push(Step::Member(problem.path));
        }
        let place = self.path(&steps);
        // Of something a part of which was told, that part is what is wrong.
        if !self.told.iter().any(|told| lies_in(&told.path, &place)) {
            self.told.push(Mistake { path: place.clone(), message: problem.message });
        }
        let filled = self.filled.get(&place).copied();
        if !is_missing && filled.is_none() {
            return self.take_out(&steps);
        }
        let filled = filled.unwrap_or_default();
        self.filled.insert(place, filled + 1);
        let stands_in = match known_variant(message) {
            Some(known) if filled <= STAND_INS => Some(json!(known)),
            _ => stand_in(filled, self.told.len()),
        };
        match (stands_in, steps.split_last()) {
            (Some(value), Some((Step::Member(name), holder))) => match self.holder(holder) {
                Some(Value::Object(members)) => {
                    members.insert(name.clone(), value);
                    true
                }
                _ => false,
            },
            (_, Some((_, holder))) => self.take_out(holder),
            (_, None) => false,
        }
    }

    fn take_out(&mut self, steps: &[Step]) -> bool {
        let Some((last, before)) = steps.split_last() else { return false };
        let list = self.path(before);
        match (self.holder(before), last) {
            (Some(Value::Object(members)), Step::Member(name)) => members.remove(name).is_some(),
            (Some(Value::Array(items)), Step::At(at)) if *at < items.len() => {
                items.remove(*at);
                let at = self.place(&list, *at);
                let gone = self.gone.entry(list).or_default();
                gone.insert(gone.partition_point(|other| *other < at), at);
                true
            }
            _ => false,
        }
    }

    fn holder(&mut self, steps: &[Step]) -> Option<&mut Value> {
        steps.iter().try_fold(&mut self.value, |value, step| match step {
            Step::Member(name) => value.get_mut(name.as_str()),
            Step::At(at) => value.get_mut(*at),
        })
    }

    /// Where an item of a list stood at first.
    fn place(&self, list: &str, at: usize) -> usize {
        let gone = self.gone.get(list).into_iter().flatten();
        gone.fold(at, |at, gone| if *gone <= at { at + 1 } else { at })
    }

    /// In the user's words: `pools[0].name`.
    fn path(&self, steps: &[Step]) -> String {
        let mut path = String::new();
        for step in steps {
            match step {
                Step::Member(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(shortened(name));
                }
                Step::At(at) => {
                    let at = self.place(&path, *at);
                    // A text takes all that is written.
                    let _ = write!(path, "[{at}]");
                }
            }
        }
        path
    }

    /// The mistake with the places that things had at first; nothing for one that comes of another that was told.
    fn by_itself(&self, mistake: Mistake) -> Option<Mistake> {
        let (mut path, mut rest) = (String::new(), mistake.path.as_str());
        while let Some((before, after)) = rest.split_once('[')
            && let Some((at, behind)) = after.split_once(']')
            && let Ok(at) = at.parse::<usize>()
        {
            path.push_str(before);
            let at = self.place(&path, at);
            let _ = write!(path, "[{at}]");
            rest = behind;
        }
        path.push_str(rest);
        // Hours of a day are compared with each other, whatever could not be read among them.
        let compares = path.starts_with("business_hours.");
        let is_told = |told: &Mistake| lies_in(&path, &told.path) || (!compares && lies_in(&told.path, &path));
        let lacks_a_name = |(list, name, words): &(&str, &str, &str)| {
            let of_it = |told: &Mistake| {
                let item = told.path.strip_prefix(list);
                item.is_some_and(|item| item.is_empty() || item.ends_with(']') || item.ends_with(name))
            };
            mistake.message.contains(words) && self.told.iter().any(of_it)
        };
        let follows = self.told.iter().any(is_told) || OF_NAMES.iter().any(lacks_a_name);
        (!follows).then_some(Mistake { path, ..mistake })
    }
}

/// Whether one path is the other, or below it.
fn lies_in(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::At(*index)),
        Segment::Map { key } => Some(Step::Member(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// What is tried, one after the other, in place of a member that must be there, beside a word that the reader itself names.
const STAND_INS: usize = 5;

/// No two are the same number.
fn stand_in(tried: usize, told: usize) -> Option<Value> {
    Some(match tried {
        0 => json!(format!("+999000000{told:03}")),
        1 => json!(1),
        2 => json!(true),
        3 => json!([]),
        4 => json!({}),
        _ => return None,
    })
}
