//! JSON Schemas of the events, made from the types that read them. Lengths in JSON Schema count characters where our
//! limits count bytes, so that a long text in many scripts can meet its schema and still be over the limit.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::kind::Kind;
use super::{
    AdCost, Call, CallNote, CallRecord, CallTag, Deal, Erase, Heartbeat, LeaseGranted, LeaseReleased, LeaseRenewed,
    PageView, PoolExhausted, Transcript, WebEvent,
};
use crate::limits::{ACCOUNT_BYTES_MAX, EXTENSION_BYTES_MAX, ID_BYTES_MAX};
use crate::settings::Settings;

/// The JSON Schema (2020-12) of a whole event of this type, envelope and data; nothing for an unknown type.
pub fn schema(type_name: &str) -> Option<Value> {
    let kind = Kind::of(type_name)?;
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let data = data(kind, &mut generator);
    let definitions = generator.take_definitions(true);
    let id = Id::json_schema(&mut generator);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name(),
        "description": data.get("description").cloned().unwrap_or_default(),
        "type": "object",
        "properties": {
            "specversion": { "const": "1.0", "description": "The version of CloudEvents." },
            "id": described(&id, "Names the event, together with account and source."),
            "source": described(&id, "Who tells it, such as web/main."),
            "type": { "const": kind.name() },
            "time": { "type": "string", "format": "date-time", "description": "When it happened. From 2000 to 2261, and at most 24 hours after recordedtime." },
            "account": {
                "type": "string",
                "pattern": format!("^[A-Za-z0-9._-]{{1,{ACCOUNT_BYTES_MAX}}}$"),
                "description": "The tenant whose event it is.",
            },
            "recordedtime": { "type": ["string", "null"], "format": "date-time", "description": "When the collector took it in." },
            "data": data,
        },
        "required": ["specversion", "id", "source", "type", "time", "account", "data"],
    });
    if !definitions.is_empty()
        && let Value::Object(members) = &mut schema
    {
        members.insert("$defs".to_owned(), Value::Object(definitions));
    }
    Some(schema)
}

/// The schema of `data`, whole in itself but for shared definitions.
fn data(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    let schema = match kind {
        Kind::PageView => PageView::json_schema(generator),
        Kind::WebEvent => WebEvent::json_schema(generator),
        Kind::Heartbeat => Heartbeat::json_schema(generator),
        Kind::LeaseGranted => LeaseGranted::json_schema(generator),
        Kind::LeaseRenewed => LeaseRenewed::json_schema(generator),
        Kind::LeaseReleased => LeaseReleased::json_schema(generator),
        Kind::PoolExhausted => PoolExhausted::json_schema(generator),
        Kind::Call => Call::json_schema(generator),
        Kind::CallRecord => CallRecord::json_schema(generator),
        Kind::CallTag => CallTag::json_schema(generator),
        Kind::CallNote => CallNote::json_schema(generator),
        Kind::Transcript => Transcript::json_schema(generator),
        Kind::Deal => Deal::json_schema(generator),
        Kind::AdCost => AdCost::json_schema(generator),
        Kind::AccountSettings => Settings::json_schema(generator),
        Kind::Erase => Erase::json_schema(generator),
    };
    schema.to_value()
}

fn described(schema: &Schema, description: &str) -> Value {
    let mut schema = schema.clone();
    schema.insert("description".to_owned(), description.into());
    schema.to_value()
}

/// `anyOf` that asks for at least one of these members, and not as null.
pub(crate) fn some_of(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "required": [name], "properties": { *name: { "type": "string" } } })).collect()
}

/// What is looked up by: not empty, short, no control characters.
pub(crate) struct Id;
/// Text of a length between these.
pub(crate) struct Limited<const MIN: usize, const MAX: usize>;
/// ISO 4217.
pub(crate) struct Currency;
/// What a caller dials after the number.
pub(super) struct Extension;
/// IPv4 or IPv6.
pub(super) struct Ip;

/// Schemas that stand where they are used, so that they need no name.
macro_rules! inline_schema {
    ([$($generics:tt)*] $type:ty, $schema:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}
pub(crate) use inline_schema;

inline_schema!([] Id, json_schema!({
    "type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f]*$"
}));
inline_schema!([] Currency, json_schema!({ "type": "string", "pattern": "^[A-Z]{3}$" }));
inline_schema!([] Extension, json_schema!({
    "type": "string", "pattern": format!("^[0-9*#]{{1,{EXTENSION_BYTES_MAX}}}$")
}));
inline_schema!([] Ip, json_schema!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] }));
inline_schema!([const MIN: usize, const MAX: usize] Limited<MIN, MAX>, {
    let mut schema = json_schema!({ "type": "string", "maxLength": MAX });
    if MIN > 0 {
        schema.insert("minLength".to_owned(), MIN.into());
    }
    schema
});
