//! What a page is told, written by hand into one buffer: this is the answer to every page view.

use std::io::Write;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use callweave_core::phone::Phone;
use callweave_core::time::Time;
use serde::Serialize;

use super::super::replies::Fate;

/// An answer to a page.
pub struct Told<'a> {
    /// Letters, digits, `-` and `_` alone.
    pub visitor: &'a str,
    pub server_time: Time,
    pub numbers: &'a [Number],
    /// An object in JSON.
    pub settings: &'a str,
    /// Events that could not be used.
    pub refused: &'a [Fate],
}

/// A number to show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Number {
    /// What stands on the page in its place; null: nothing that is known of.
    pub replaces: Option<Phone>,
    pub number: Phone,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// As the number's own country writes it.
    pub national: String,
    pub international: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    pub how: &'static str,
}

#[derive(Serialize)]
struct Refused<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: &'a Option<String>,
    reason: &'a str,
}

impl Told<'_> {
    /// The body. `<`, `>` and `&` are escaped wherever they stand in text: whatever a page makes of it, nothing that was
    /// sent becomes a tag.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        // Writing to a Vec cannot fail, and every value here can be written.
        let _ =
            write!(out, "{{\"visitor_id\":\"{}\",\"server_time\":\"{}\",\"numbers\":", self.visitor, self.server_time);
        if self.numbers.is_empty() {
            out.extend_from_slice(b"[]");
        } else {
            escaped(&mut out, &self.numbers);
        }
        let _ = write!(out, ",\"settings\":{}", self.settings);
        if !self.refused.is_empty() {
            let refused: Vec<Refused<'_>> = self
                .refused
                .iter()
                .map(|fate| Refused {
                    index: fate.index,
                    path: &fate.path,
                    reason: fate.reason.as_deref().unwrap_or_default(),
                })
                .collect();
            out.extend_from_slice(b",\"refused\":");
            escaped(&mut out, &refused);
        }
        out.push(b'}');
        out
    }

    pub fn response(&self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.body()).into_response()
    }
}

fn escaped(out: &mut Vec<u8>, value: &impl Serialize) {
    let text = serde_json::to_vec(value).unwrap_or_else(|_| b"[]".to_vec());
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' => out.extend_from_slice(b"\\u0026"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::replies::Status;
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn answers_are_json_without_a_tag_in_them() {
        let number = Number {
            replaces: Some(Phone(14155550100)),
            number: Phone(14155550123),
            extension: None,
            national: "(415) 555-0123".into(),
            international: "+1 415-555-0123".into(),
            pool: Some("<main>".into()),
            lease_id: Some("l1".into()),
            expires_at: Some(Time(1_795_176_001_000_000)),
            how: "leased",
        };
        let reason = "\"</script><script>alert(1)&\" is not JSON".to_owned();
        let fate = Fate { index: 3, id: None, status: Status::Refused, path: None, reason: Some(reason.clone()) };
        let told = Told {
            visitor: "v1",
            server_time: Time(1_795_176_001_000_000),
            numbers: &[number],
            settings: "{\"heartbeat_seconds\":30}",
            refused: &[fate],
        };
        let body = told.body();
        assert!(!body.iter().any(|byte| b"<>&".contains(byte)));
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            value,
            json!({
                "visitor_id": "v1",
                "server_time": "2026-11-20T12:00:01.000000Z",
                "numbers": [{
                    "replaces": "+14155550100", "number": "+14155550123", "national": "(415) 555-0123",
                    "international": "+1 415-555-0123", "pool": "<main>", "lease_id": "l1",
                    "expires_at": "2026-11-20T12:00:01.000000Z", "how": "leased",
                }],
                "settings": {"heartbeat_seconds": 30},
                "refused": [{"index": 3, "reason": reason}],
            })
        );
        let none = Told { numbers: &[], refused: &[], ..told };
        assert_eq!(serde_json::from_slice::<Value>(&none.body()).expect("JSON")["numbers"], json!([]));
    }
}
