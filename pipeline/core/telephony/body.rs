//! Bodies of requests: forms and JSON, by what they look like and not by what their header says.

use serde_json::{Map, Value};

use crate::limits::{FORM_PAIRS_MAX, HOOK_BYTES_MAX, NESTING_MAX};

/// The pairs of a form (WHATWG URL, `application/x-www-form-urlencoded`): `+` is a space, blank values stay. Pairs beyond
/// the limit are passed over.
pub(super) fn pairs(body: &[u8]) -> Vec<(String, String)> {
    let decoded = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        percent_encoding::percent_decode(&spaced).decode_utf8_lossy().into_owned()
    };
    let pair = |part: &[u8]| match memchr::memchr(b'=', part) {
        Some(at) => (decoded(&part[..at]), decoded(&part[at + 1..])),
        None => (decoded(part), String::new()),
    };
    body.split(|&b| b == b'&').filter(|part| !part.is_empty()).take(FORM_PAIRS_MAX).map(pair).collect()
}

/// The pairs of a URL's query.
pub(super) fn query(url: &str) -> Vec<(String, String)> {
    let url = url.split('#').next().unwrap_or(url);
    url.split_once('?').map_or(Vec::new(), |(_, query)| pairs(query.as_bytes()))
}

/// A body as an object of members: of JSON, or the pairs of a form (the first of a name counts).
///
/// # Errors
/// With the reason, in words that follow "the body".
pub(super) fn members(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.trim_ascii_start().first() == Some(&b'{') {
        return match json(body)? {
            Value::Object(members) => Ok(members),
            _ => Err("is not a JSON object".to_owned()),
        };
    }
    sized(body)?;
    let mut members = Map::new();
    for (name, value) in pairs(body) {
        members.entry(name).or_insert(Value::String(value));
    }
    if members.is_empty() { Err("is empty".to_owned()) } else { Ok(members) }
}

/// Any JSON.
///
/// # Errors
/// With the reason, in words that follow "the body".
pub(super) fn json(body: &[u8]) -> Result<Value, String> {
    let text = checked(body)?;
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

/// The text of a body that may be read as JSON: UTF-8, and neither too long nor nested too deeply.
pub(super) fn checked(body: &[u8]) -> Result<&str, String> {
    sized(body)?;
    let text = std::str::from_utf8(body).map_err(|error| format!("is not UTF-8: byte {}", error.valid_up_to() + 1))?;
    // serde_json stops at 128 levels by itself; the limit of events is the same for both.
    if crate::event::nests_deeper_than(body, NESTING_MAX) {
        return Err(format!("nests more than {NESTING_MAX} arrays and objects in each other"));
    }
    Ok(text)
}

fn sized(body: &[u8]) -> Result<(), String> {
    if body.len() > HOOK_BYTES_MAX {
        return Err(format!("has {} bytes, and may have {HOOK_BYTES_MAX} at most", body.len()));
    }
    Ok(())
}

/// Reads members by name: text, numbers as text, nothing for null and empty.
pub(super) trait Members {
    fn member(&self, name: &str) -> Option<&Value>;

    fn text(&self, name: &str) -> Option<String> {
        text(self.member(name)?)
    }

    /// The first of these names that says something.
    fn any(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    fn seconds(&self, name: &str) -> Option<f64> {
        let seconds: f64 = self.text(name)?.parse().ok()?;
        (0.0..=crate::limits::CALL_SECONDS_MAX).contains(&seconds).then_some(seconds)
    }
}

impl Members for Map<String, Value> {
    fn member(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Members for Value {
    fn member(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

/// A scalar as text; nothing for null, empty text, and what is no scalar.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(it) => Some(it.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms() {
        let expected = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
        };
        for (body, pairs_of) in [
            ("a=1&b=&c&=d", &[("a", "1"), ("b", ""), ("c", ""), ("", "d")][..]),
            ("a=%2B1+2%20&&a=x", &[("a", "+1 2 "), ("a", "x")]),
            ("a=%zz%ff", &[("a", "%zz\u{fffd}")]),
            ("", &[]),
        ] {
            assert_eq!(pairs(body.as_bytes()), expected(pairs_of), "{body}");
        }
        assert_eq!(query("https://x/?a=b#c=d"), expected(&[("a", "b")]));
        assert_eq!(pairs("a&".repeat(FORM_PAIRS_MAX + 5).as_bytes()).len(), FORM_PAIRS_MAX);
    }

    #[test]
    fn looks_at_the_body() {
        assert_eq!(members(b" {\"a\":1}").unwrap().text("a"), Some("1".into()));
        assert_eq!(members(b"a=1").unwrap().text("a"), Some("1".into()));
        for bad in [&b"{"[..], b"", b"{\"a\":\xff}", &[b'{'; 100], &vec![b'a'; HOOK_BYTES_MAX + 1]] {
            assert!(members(bad).is_err());
        }
        assert!(json("[".repeat(65).as_bytes()).unwrap_err().contains("nests"));
    }
}
