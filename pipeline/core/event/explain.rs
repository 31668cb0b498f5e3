//! The slow way: bytes that were not read are looked at again, to say what is wrong with which member.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess};
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use super::check::{self, Problem, quoted};
use super::decode::{Failure, Rejected};
use super::envelope::{Data, Envelope, Reader};
use super::kind::Kind;
use crate::settings::{self, Mistake};
use crate::time::shortened;

/// What is told of a rejection's reason, in bytes: the rest is somebody's own text.
const REASON_BYTES_MAX: usize = 16_384;

pub(super) fn rejected(bytes: &[u8], failure: Failure) -> Rejected {
    let text = String::from_utf8_lossy(bytes);
    let mut probe = Probe::default();
    // What was seen before the bytes stopped making sense still counts. Its depth is bounded by serde_json.
    let _ = (&mut probe).deserialize(&mut serde_json::Deserializer::from_str(&text));
    let Problem { path, reason } = match failure {
        Failure::Problem(problem) => *problem,
        Failure::NotUtf8 => not_utf8(bytes),
        Failure::Unread(error) => unread(&text, &error),
    };
    let mut reason = if path.is_empty() { reason } else { format!("{path}: {reason}") };
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Rejected { account: probe.account, reason, path, raw: bytes.to_vec() }
}

fn not_utf8(bytes: &[u8]) -> Problem {
    let at = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let byte = bytes.get(at).copied().unwrap_or_default();
    Problem { path: String::new(), reason: format!("is not UTF-8: byte {} is 0x{byte:02X}", at + 1) }
}

/// Why this text is no event.
fn unread(text: &str, error: &sonic_rs::Error) -> Problem {
    let whole = |reason: String| Problem { path: String::new(), reason };
    if text.trim_ascii().is_empty() {
        return whole("is empty".to_owned());
    }
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return whole(format!("is not JSON: {}", position(&error)));
    }
    if !text.trim_ascii_start().starts_with('{') {
        return whole(format!("is {}, and an event is a JSON object", shape(text)));
    }
    match typed(text, None) {
        Some(first) => of_settings(text, &first).unwrap_or(first),
        None => whole(format!("is not JSON: {}", without_position(&error.to_string()))),
    }
}

/// All mistakes in an account's settings, of which the reader told the first.
fn of_settings(text: &str, first: &Problem) -> Option<Problem> {
    let path = first.path.strip_prefix("data.")?;
    let mut event: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    if Kind::of(event.get("type")?.as_str()?) != Some(Kind::AccountSettings) {
        return None;
    }
    let mut mistakes = settings::mistakes(event.remove("data")?);
    // What JSON as such passes over: a member that stands there twice.
    if mistakes.iter().all(|mistake| mistake.path != path) {
        mistakes.insert(0, Mistake { path: path.to_owned(), message: first.reason.clone() });
    }
    Some(check::together(&mistakes))
}

fn shape(text: &str) -> &'static str {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// serde_json's words, with the line only where there are several.
fn position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    match error.line() {
        0 | 1 => format!("{what} at column {}", error.column()),
        line => format!("{what} at line {line}, column {}", error.column()),
    }
}

/// Reads the text again with an eye on where it is.
fn typed(text: &str, kind: Option<Kind>) -> Option<Problem> {
    let mut json = sonic_rs::Deserializer::from_str(text);
    let mut track = Track::new();
    let mut envelope = Envelope::default();
    let reader = Reader { kind, into: &mut envelope };
    let result = reader.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    match result {
        Ok(()) if kind.is_none() && matches!(envelope.data, Data::Skipped) => {
            envelope.kind.and_then(|kind| typed(text, Some(kind)))
        }
        Ok(()) => None,
        Err(error) => Some(in_words(&member(&track.path()), &without_position(&error.to_string()))),
    }
}

/// `data.segments[3].text`.
fn member(path: &Path) -> String {
    let mut member = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => member.push_str(&format!("[{index}]")),
            Segment::Map { key } => {
                if !member.is_empty() {
                    member.push('.');
                }
                member.push_str(shortened(key));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    member
}

/// sonic-rs appends where it was, and a picture of it.
fn without_position(message: &str) -> String {
    let first = message.split("\n\n").next().unwrap_or(message);
    first.rsplit_once(" at line ").map_or(first, |(what, _)| what).to_owned()
}

/// serde's messages, which speak of Rust, in words about JSON.
fn in_words(path: &str, message: &str) -> Problem {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(name) = between(message, "missing field `", "`") {
        return Problem { path: inner(name), reason: "is missing".to_owned() };
    }
    if let Some(name) = between(message, "duplicate field `", "`") {
        let member = if path.ends_with(name) { path.to_owned() } else { inner(name) };
        return Problem { path: member, reason: "stands here twice".to_owned() };
    }
    let reason = if let Some((name, known)) = variant(message) {
        format!("{} is not one of {}", quoted(name), known.replace("` or `", "`, `").replace('`', ""))
    } else if let Some((found, expected)) = mismatch(message) {
        format!("is {found}, and should be {expected}")
    } else if message.eq_ignore_ascii_case("invalid number") {
        "is not a decimal number such as 19.99".to_owned()
    } else {
        message.to_owned()
    };
    Problem { path: path.to_owned(), reason }
}

fn between<'m>(message: &'m str, before: &str, after: &str) -> Option<&'m str> {
    message.strip_prefix(before)?.split(after).next()
}

fn variant(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("unknown variant `")?;
    let (name, known) = rest.rsplit_once("`, expected ")?;
    // The name is somebody's own and may hold anything; the list of what is known starts at the first of ours.
    let (name, known) = name.split_once("`, expected ").map_or((name, known), |(name, _)| (name, known));
    Some((name, known.trim_start_matches("one of ")))
}

/// What the reader says of settings: what is wrong, and the member if it is one that is missing.
pub(crate) fn mistake_of_shape(message: &str) -> Mistake {
    let Problem { path, reason } = in_words("", message);
    Mistake { path, message: reason }
}

/// The first of the words that are known in a place where another stood.
pub(crate) fn known_variant(message: &str) -> Option<&str> {
    let (_, known) = variant(message)?;
    known.split('`').find(|word| !word.is_empty())
}

/// `invalid type: integer `5`, expected a string`.
fn mismatch(message: &str) -> Option<(String, &str)> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length "].iter().find_map(|p| message.strip_prefix(p))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let length = message.starts_with("invalid length");
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let value = value.trim_matches('`');
    let found = match kind {
        _ if length => format!("{found} items long"),
        "string" => format!("the text {}", shortened(value)),
        "integer" => format!("the number {value}"),
        "floating" => format!("the number {}", value.trim_start_matches("point `")),
        "boolean" => value.to_owned(),
        "sequence" => "an array".to_owned(),
        "map" => "an object".to_owned(),
        "unit" | "null" | "Option" => "null".to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected {
        "u64" | "u32" | "u8" => "a whole number from 0 on",
        "f64" => "a number",
        "i64" => "a whole number",
        "unit" => "null",
        "a sequence" => "an array",
        "a map" => "an object",
        "a tuple of size 2" => "two of them: from and to",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    Some((found, expected))
}

/// Finds the account, as far as the text can be read.
#[derive(Default)]
struct Probe {
    account: Option<String>,
}

impl<'de> DeserializeSeed<'de> for &mut Probe {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for &mut Probe {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "account" {
                self.account = map.next_value::<String>().map(Some)?.filter(|name| super::check::is_account(name));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
