//! What the JSON Schema of settings says of texts. A pattern takes whatever the checks take, and refuses what it can: that
//! two names are one, or that a domain is one that many share, no schema can say.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::webhook::FILE_NAME_BYTES_MAX;
use crate::event::inline_schema;
use crate::limits::{ID_BYTES_MAX, LABEL_BYTES_MAX, URL_BYTES_MAX, VOICE_TEXT_BYTES_MAX, WEBHOOK_NAME_BYTES_MAX};
use crate::moment::MomentKind;

/// Of a site: pages name `ACCOUNT/SITE`.
pub(super) const SITE_NAME: &str = "^[^/\\u0000-\\u001f\\u007f]*$";
/// Scheme, host and port; the host is a name, perhaps below a star, or an IPv6 address.
pub(super) const ORIGIN: &str = "^https?://(\\[[0-9A-Fa-f:.]+\\]|(\\*\\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\
                                 (\\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*)(:[1-9][0-9]{0,4})?$";
/// Two labels at least.
pub(super) const DOMAIN: &str = "^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+$";
/// A number, or how numbers begin.
pub(super) const SPAM_NUMBER: &str = "^\\+[0-9]{1,15}\\*?$";
pub(super) const TIME_FORMAT: &str = "^(rfc3339|epoch|epoch_ms|epoch_us)$|%";
pub(super) const LOGIN_NAME: &str = "^[A-Za-z0-9._-]+$";
pub(super) const VERIFIER: &str = "^SCRAM-SHA-256-salted\\$";
pub(super) const LANGUAGE: &str = "^[A-Za-z0-9-]+$";
pub(super) const MENU_KEY: &str = "^[0-9*#]$";
pub(super) const DIGIT: &str = "^[0-9]$";
pub(super) const TWILIO_ACCOUNT: &str = "^[A-Za-z0-9-]+$";
pub(super) const TWILIO_HOST: &str = "^api(\\.[A-Za-z0-9.-]*)?\\.twilio\\.com$";
pub(super) const MEASUREMENT_ID: &str = "^G-[A-Za-z0-9]+$";
pub(super) const GA4_EVENT: &str = "^[A-Za-z][A-Za-z0-9_]{0,39}$";
pub(super) const GOOGLE_CUSTOMER: &str = "^-*([0-9]-*){10}$";
pub(super) const GOOGLE_VERSION: &str = "^v[0-9]+$";
pub(super) const META_VERSION: &str = "^v[0-9.]*$";
pub(super) const STEP_NAME: &str = "^[A-Za-z0-9_]+$";
pub(super) const METHOD: &str = "^(GET|POST|PUT|PATCH)$";
pub(super) const ASK_PATH: &str = "^/[!-~]*$";
pub(super) const POINTER: &str = "^/";
/// The name of a header (RFC 9110, section 5.6.2).
const TOKEN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// What is said to a caller.
pub(super) struct Said;
/// A phone number in E.164, or a SIP or telephone URI.
pub(super) struct Aim;
/// ISO 3166-1 alpha-2.
pub(super) struct Country;
/// The name of a webhook or an export.
pub(super) struct Slug;
pub(super) struct Url;
pub(super) struct MomentName;
/// A file in the folder of secrets.
pub(super) struct FileName;
/// With what webhooks are signed.
pub(super) struct SigningSecret;
/// The value of a header.
pub(super) struct HeaderValue;
/// What an export logs in with.
pub(super) struct ExportSecret;
/// The number that a provider gives something.
pub(super) struct Digits;

inline_schema!([] Said, json_schema!({
    "type": "string", "minLength": 1, "maxLength": VOICE_TEXT_BYTES_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f]*$"
}));
inline_schema!([] Aim, json_schema!({
    "type": "string", "maxLength": LABEL_BYTES_MAX, "pattern": "^((tel:)?\\+[1-9][0-9]{6,14}|sips?:[!-~]+)$"
}));
inline_schema!([] Country, json_schema!({ "type": "string", "pattern": "^[A-Z]{2}$" }));
inline_schema!([] Slug, json_schema!({
    "type": "string", "maxLength": WEBHOOK_NAME_BYTES_MAX, "pattern": "^[A-Za-z0-9_-]+$"
}));
inline_schema!([] Url, json_schema!({
    "type": "string",
    "maxLength": URL_BYTES_MAX,
    "pattern": "^https?://[!\"$-.0-9;->A-~][!\"$-.0->A-~]*([/?][!\"$-~]*)?$",
}));
inline_schema!([] MomentName, json_schema!({ "type": "string", "enum": MomentKind::ALL.map(MomentKind::name) }));
inline_schema!([] FileName, json_schema!({
    "type": "string", "maxLength": FILE_NAME_BYTES_MAX, "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
}));
inline_schema!([] SigningSecret, json_schema!({ "type": "string", "pattern": "^whs(ec|k)_[A-Za-z0-9+/]+=*$" }));
inline_schema!([] HeaderValue, json_schema!({
    "type": "string", "maxLength": LABEL_BYTES_MAX, "pattern": "^[ -~]*$"
}));
inline_schema!([] ExportSecret, json_schema!({ "type": "string", "pattern": "^[ -~]+$" }));
inline_schema!([] Digits, json_schema!({ "type": "string", "pattern": "^[0-9]{1,32}$" }));

/// Names in a table that are looked up by.
pub(super) fn names() -> Value {
    json!({ "minLength": 1, "maxLength": ID_BYTES_MAX, "pattern": "^[^\\u0000-\\u001f\\u007f]*$" })
}

pub(super) fn header_names() -> Value {
    json!({ "pattern": TOKEN })
}

/// Members (a space apart) that must be there: the default that is read for an absent one is a mistake.
pub(super) fn needed(names: &'static str) -> impl FnMut(&mut Schema) {
    let names: Vec<&str> = names.split(' ').collect();
    move |schema: &mut Schema| {
        for name in &names {
            let member = schema.pointer_mut(&format!("/properties/{name}"));
            if let Some(member) = member.and_then(Value::as_object_mut) {
                member.remove("default");
            }
        }
        schema.insert("required".to_owned(), json!(names));
    }
}
