//! What a body says: the event as it is, some members of its row, or a template of the receiver's own.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::limits::WEBHOOK_BODY_BYTES_MAX;
use crate::moment::Beside;
use crate::settings::{Encoding, Webhook};
use crate::time::shortened;

const CLOUD_EVENT: &str = "application/cloudevents+json; charset=utf-8";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// What `application/x-www-form-urlencoded` leaves as it is, but for the space (WHATWG URL, 5.2).
const FORM_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');
/// What may be named beside the members of the row, and which member of the event it is.
const OF_EVENT: [(&str, &str); 3] = [("moment", "type"), ("moment_id", "id"), ("time", "time")];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("has {{{{ at byte {0} that is not closed: write {{{{member}}}}")]
    Open(usize),
    #[error("names {0:?}, which is no member: letters, digits and _, then perhaps |json")]
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("the body has {0} bytes, over the {WEBHOOK_BODY_BYTES_MAX} that are sent")]
    TooLong(usize),
}

/// Text with places to fill.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    /// Inside of a string.
    Member(String),
    /// As a JSON value.
    Json(String),
}

impl Template {
    /// # Errors
    /// A place that is not closed, or names nothing.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let (mut parts, mut rest, mut at) = (Vec::new(), text, 0);
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, behind)) = after.split_once("}}") else {
                return Err(TemplateError::Open(at + before.len()));
            };
            at += before.len() + inside.len() + 4;
            parts.push(Part::Text(before.to_owned()));
            let name = inside.trim();
            let (name, json) = name.strip_suffix("|json").map_or((name, false), |name| (name.trim(), true));
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(TemplateError::Name(shortened(name).to_owned()));
            }
            let name = name.to_owned();
            parts.push(if json { Part::Json(name) } else { Part::Member(name) });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Member(name) | Part::Json(name) => Some(name.as_str()),
        })
    }

    /// With the members of the event's row. A form's places are URL-encoded.
    pub(crate) fn fill(&self, event: &Map<String, Value>, form: bool) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Member(name) if form => form_encode(&plain(member(event, name)), &mut filled),
                Part::Member(name) => {
                    let quoted = Value::String(plain(member(event, name))).to_string();
                    filled.push_str(&quoted[1..quoted.len() - 1]);
                }
                Part::Json(name) => {
                    let json = member(event, name).to_string();
                    if form { form_encode(&json, &mut filled) } else { filled.push_str(&json) }
                }
            }
        }
        filled
    }
}

/// What a webhook's body is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    what: What,
    encoding: Encoding,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Event,
    Fields(Vec<String>),
    Template(Template),
}

/// A body, and the type it is sent as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

impl Shape {
    /// # Errors
    /// The template cannot be read.
    pub fn of(webhook: &Webhook) -> Result<Shape, TemplateError> {
        let what = match &webhook.body {
            Some(body) => What::Template(Template::parse(body)?),
            None if webhook.fields.is_empty() => What::Event,
            None => What::Fields(webhook.fields.clone()),
        };
        Ok(Shape { what, encoding: webhook.encoding })
    }

    /// The first name that is neither a member of the event nor one of the row's, as `is_column` knows them.
    pub fn unknown_name(&self, is_column: impl Fn(&str) -> bool) -> Option<&str> {
        let known = |name: &&str| {
            let more = ["deal_id", "changes"].contains(name) || Beside::NAMES.contains(name);
            !(more || is_column(name) || OF_EVENT.iter().any(|(own, _)| own == name))
        };
        match &self.what {
            What::Event => None,
            What::Fields(fields) => fields.iter().map(String::as_str).find(known),
            What::Template(template) => template.names().find(known),
        }
    }

    /// The body of an event (a CloudEvents object whose `data` is the row). `text` is the same event as it came.
    ///
    /// # Errors
    /// It is longer than may be sent.
    pub fn render(&self, event: &Map<String, Value>, text: &[u8]) -> Result<Body, RenderError> {
        let form = self.encoding == Encoding::Form;
        let bytes = match &self.what {
            What::Event if !form => text.to_vec(),
            What::Event => {
                let row = event.get("data").and_then(Value::as_object);
                let names = row.into_iter().flat_map(|row| row.keys().map(String::as_str));
                pairs(event, OF_EVENT.iter().map(|(name, _)| *name).chain(names)).into_bytes()
            }
            What::Fields(fields) if form => pairs(event, fields.iter().map(String::as_str)).into_bytes(),
            What::Fields(fields) => {
                let members = fields.iter().map(|name| (name.clone(), member(event, name).clone()));
                Value::Object(members.collect()).to_string().into_bytes()
            }
            What::Template(template) => template.fill(event, form).into_bytes(),
        };
        if bytes.len() > WEBHOOK_BODY_BYTES_MAX {
            return Err(RenderError::TooLong(bytes.len()));
        }
        let content_type = match (self.encoding, &self.what) {
            (Encoding::Form, _) => FORM,
            (Encoding::CloudEvents, What::Event) => CLOUD_EVENT,
            (Encoding::CloudEvents | Encoding::Json, _) => JSON,
        };
        Ok(Body { content_type, bytes })
    }
}

fn member<'a>(event: &'a Map<String, Value>, name: &str) -> &'a Value {
    let own = OF_EVENT.iter().find(|(own, _)| *own == name).and_then(|(_, of)| event.get(*of));
    let of_row = || event.get("data").and_then(|data| data.get(name));
    own.or_else(of_row).unwrap_or(&Value::Null)
}

/// The value as text: nothing for what is not known.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn pairs<'a>(event: &Map<String, Value>, names: impl Iterator<Item = &'a str>) -> String {
    let mut pairs = String::new();
    for name in names {
        if !pairs.is_empty() {
            pairs.push('&');
        }
        form_encode(name, &mut pairs);
        pairs.push('=');
        form_encode(&plain(member(event, name)), &mut pairs);
    }
    pairs
}

/// As `application/x-www-form-urlencoded`.
pub(crate) fn form_pairs(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        form_encode(name, &mut text);
        text.push('=');
        form_encode(value, &mut text);
    }
    text
}

fn form_encode(text: &str, to: &mut String) {
    for (at, word) in text.split(' ').enumerate() {
        let _ = write!(to, "{}{}", if at == 0 { "" } else { "+" }, utf8_percent_encode(word, FORM_SET));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const EVENT: &str = r#"{"id":"call.started:c1:e1","type":"call.started","time":"2026-11-20T12:00:00.000000Z","data":{"call_id":"c1","caller":"+14155550123","agent":"Ann \"Ace\" Süß","talk_seconds":1.5,"campaign":null,"changes":[]}}"#;

    fn rendered(change: impl FnOnce(&mut Webhook)) -> (&'static str, String) {
        let mut webhook = Webhook::default();
        change(&mut webhook);
        let event: Map<String, Value> = serde_json::from_str(EVENT).expect("an event");
        let body = Shape::of(&webhook).expect("a shape").render(&event, EVENT.as_bytes()).expect("a body");
        (body.content_type, String::from_utf8(body.bytes).expect("text"))
    }

    #[test]
    fn bodies_come_in_many_shapes() {
        type Change = fn(&mut Webhook);
        let table: &[(Change, &str, &str)] = &[
            (|_| {}, CLOUD_EVENT, EVENT),
            (|it| it.encoding = Encoding::Json, JSON, EVENT),
            (
                |it| it.fields = ["moment", "caller", "talk_seconds", "campaign"].map(String::from).to_vec(),
                JSON,
                r#"{"moment":"call.started","caller":"+14155550123","talk_seconds":1.5,"campaign":null}"#,
            ),
            (
                |it| {
                    (it.fields, it.encoding) =
                        (["caller", "agent", "campaign"].map(String::from).to_vec(), Encoding::Form)
                },
                FORM,
                "caller=%2B14155550123&agent=Ann+%22Ace%22+S%C3%BC%C3%9F&campaign=",
            ),
            (
                |it| it.encoding = Encoding::Form,
                FORM,
                "moment=call.started&moment_id=call.started%3Ac1%3Ae1&time=2026-11-20T12%3A00%3A00.000000Z&call_id=c1&\
                 caller=%2B14155550123&agent=Ann+%22Ace%22+S%C3%BC%C3%9F&talk_seconds=1.5&campaign=&changes=%5B%5D",
            ),
            (
                |it| {
                    it.body = Some(r#"{"text":"Call of {{ caller }} to {{agent}}","s":{{talk_seconds|json}},"c":{{campaign|json}}}"#.into())
                },
                JSON,
                r#"{"text":"Call of +14155550123 to Ann \"Ace\" Süß","s":1.5,"c":null}"#,
            ),
            (
                |it| (it.body, it.encoding) = (Some("v={{talk_seconds}}&who={{agent}}".into()), Encoding::Form),
                FORM,
                "v=1.5&who=Ann+%22Ace%22+S%C3%BC%C3%9F",
            ),
        ];
        for (change, content_type, body) in table {
            assert_eq!(rendered(change), (*content_type, (*body).to_owned()));
        }
    }

    #[test]
    fn names_that_nobody_knows_are_told() {
        let columns = ["caller"];
        for (fields, expected) in
            [(vec!["caller", "moment", "changes"], None), (vec!["caller", "colour"], Some("colour"))]
        {
            let fields = fields.into_iter().map(String::from).collect();
            let shape = Shape::of(&Webhook { fields, ..Webhook::default() }).expect("a shape");
            assert_eq!(shape.unknown_name(|name| columns.contains(&name)), expected);
        }
        for (text, expected) in [
            ("a {{b", TemplateError::Open(2)),
            ("{{}}", TemplateError::Name(String::new())),
            ("{{a b}}", TemplateError::Name("a b".into())),
        ] {
            assert_eq!(Template::parse(text).err(), Some(expected), "{text}");
        }
    }

    proptest! {
        /// Whatever stands in a row, a template's strings stay strings.
        #[test]
        fn no_value_breaks_out_of_a_string(value in "\\PC{0,40}|[\"\\\\\u{0}-\u{1f}]{0,9}") {
            let event: Map<String, Value> = Map::from_iter([("data".to_owned(), json!({ "agent": value }))]);
            let template = Template::parse("{\"text\":\"{{agent}}\",\"same\":{{agent|json}}}").expect("a template");
            let filled: Value = serde_json::from_str(&template.fill(&event, false)).expect("JSON");
            prop_assert_eq!(filled, json!({ "text": value, "same": value }));
        }
    }
}
