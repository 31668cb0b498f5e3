//! Who is told of moments: the subscriptions of an account.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Mistake;
use super::check::quoted;
use super::shape::{self, FileName, HeaderValue, MomentName, SigningSecret, Slug, Url};
use crate::event::whole;
use crate::limits::{
    LABEL_BYTES_MAX, URL_BYTES_MAX, WEBHOOK_ANSWER_SECONDS_MAX, WEBHOOK_CONNECT_SECONDS_MAX, WEBHOOK_FIELDS_MAX,
    WEBHOOK_FILTER_BYTES_MAX, WEBHOOK_HEADERS_MAX, WEBHOOK_NAME_BYTES_MAX, WEBHOOK_SECRETS_MAX,
    WEBHOOK_TEMPLATE_BYTES_MAX, WEBHOOKS_MAX,
};
use crate::moment::MomentKind;
use crate::webhook::{SigningKey, Template};

/// One subscription. What is absent has the default that stands with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(transform = shape::needed("name url"))]
pub struct Webhook {
    /// Letters, digits, `-` and `_`. How far it was told is kept by this name, whatever else changes.
    #[schemars(with = "Slug")]
    pub name: String,
    /// Where moments are posted.
    #[schemars(with = "Url")]
    pub url: String,
    /// `call.started`, `call.ended` and so on; all if absent.
    #[schemars(with = "Vec<MomentName>")]
    pub moments: Vec<String>,
    /// An SQL expression over the row: `outcome = 'missed' AND in_business_hours`. Where it is not true, nothing is sent.
    #[schemars(length(min = 1, max = WEBHOOK_FILTER_BYTES_MAX))]
    pub filter: Option<String>,
    /// Members of the row to send, in place of the whole event; also `moment`, `moment_id`, `time` and `changes`.
    #[schemars(length(max = WEBHOOK_FIELDS_MAX))]
    pub fields: Vec<String>,
    /// The body in a shape of the receiver's own, with `{{member}}` (inside of a string) and `{{member|json}}` (a value).
    #[schemars(length(max = WEBHOOK_TEMPLATE_BYTES_MAX))]
    pub body: Option<String>,
    pub encoding: Encoding,
    /// Sent with each request. Their values are not shown again.
    #[schemars(
        with = "BTreeMap<String, HeaderValue>",
        extend("propertyNames" = shape::header_names(), "maxProperties" = WEBHOOK_HEADERS_MAX)
    )]
    pub headers: BTreeMap<String, Hidden>,
    /// `whsec_…` (HMAC-SHA256) or `whsk_…` (Ed25519); each signs, so that a receiver can change to another. They stand in the log
    /// as the settings do: with none here and no `secret_file`, callweave makes one of its own and keeps it out of the log.
    #[schemars(with = "Vec<SigningSecret>", length(max = WEBHOOK_SECRETS_MAX))]
    pub secrets: Vec<Hidden>,
    /// The name of a file in the folder `ACCOUNT` of `notify.secrets`, one secret a line.
    #[schemars(with = "Option<FileName>")]
    pub secret_file: Option<String>,
    /// Time to connect. 3 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = WEBHOOK_CONNECT_SECONDS_MAX))]
    pub connect_seconds: u32,
    /// Time for the whole answer. 10 if absent.
    #[serde(deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = WEBHOOK_ANSWER_SECONDS_MAX))]
    pub answer_seconds: u32,
    /// Off, nothing is sent; on again, it goes on where it stopped, as far as the log of moments reaches back.
    pub enabled: bool,
    /// A call's moments wait for those before them; those of other calls do not.
    pub ordered: bool,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// JSON as `application/cloudevents+json`: the event as the CloudEvents HTTP binding has it. Of `fields` and `body`, as `json`.
    #[default]
    CloudEvents,
    /// The same as `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

/// Text that is never shown by `Debug`, and so in no message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: impl Into<String>) -> Hidden {
        Hidden(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Default for Webhook {
    fn default() -> Webhook {
        Webhook {
            name: String::new(),
            url: String::new(),
            moments: Vec::new(),
            filter: None,
            fields: Vec::new(),
            body: None,
            encoding: Encoding::default(),
            headers: BTreeMap::new(),
            secrets: Vec::new(),
            secret_file: None,
            connect_seconds: 3,
            answer_seconds: 10,
            enabled: true,
            ordered: false,
        }
    }
}

impl Webhook {
    /// Why `secret_file` is no name of a file: what leads out of a folder is not to be opened.
    pub fn secret_file_mistake(&self) -> Option<&'static str> {
        self.secret_file.as_deref().and_then(file_mistake)
    }
}

/// What file systems take for one name.
pub(super) const FILE_NAME_BYTES_MAX: usize = 255;

/// Headers that are ours, or the connection's.
const HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

pub(super) fn mistakes(webhooks: &[Webhook]) -> Vec<Mistake> {
    let mut look = Look { mistakes: Vec::new(), at: 0 };
    if webhooks.len() > WEBHOOKS_MAX {
        let message = format!("has {} entries, and may have {WEBHOOKS_MAX} at most", webhooks.len());
        look.mistakes.push(Mistake { path: "webhooks".to_owned(), message });
    }
    for (at, webhook) in webhooks.iter().enumerate().take(WEBHOOKS_MAX) {
        look.at = at;
        look.names(webhook);
        if webhooks[..at].iter().any(|before| before.name == webhook.name) {
            look.say("name", format!("two webhooks are called {}", quoted(&webhook.name)));
        }
        look.bounds(webhook);
        look.shape(webhook);
        look.secrets(webhook);
    }
    look.mistakes
}

struct Look {
    mistakes: Vec<Mistake>,
    at: usize,
}

impl Look {
    fn say(&mut self, member: &str, message: String) {
        self.mistakes.push(Mistake { path: format!("webhooks[{}].{member}", self.at), message });
    }

    fn names(&mut self, webhook: &Webhook) {
        if let Some(mistake) = name_mistake(&webhook.name) {
            self.say("name", mistake);
        }
        if let Some(mistake) = url_mistake(&webhook.url) {
            self.say("url", mistake.to_owned());
        }
        for mistake in moment_mistakes(&webhook.moments) {
            self.say("moments", mistake);
        }
    }

    fn bounds(&mut self, webhook: &Webhook) {
        for (member, length, max) in [
            ("filter", webhook.filter.as_ref().map_or(0, String::len), WEBHOOK_FILTER_BYTES_MAX),
            ("body", webhook.body.as_ref().map_or(0, String::len), WEBHOOK_TEMPLATE_BYTES_MAX),
        ] {
            if length > max {
                self.say(member, format!("has {length} bytes, and may have {max} at most"));
            }
        }
        for (member, count, max) in [
            ("fields", webhook.fields.len(), WEBHOOK_FIELDS_MAX),
            ("headers", webhook.headers.len(), WEBHOOK_HEADERS_MAX),
            ("secrets", webhook.secrets.len(), WEBHOOK_SECRETS_MAX),
        ] {
            if count > max {
                self.say(member, format!("has {count} entries, and may have {max} at most"));
            }
        }
        for (member, seconds, max) in [
            ("connect_seconds", webhook.connect_seconds, WEBHOOK_CONNECT_SECONDS_MAX),
            ("answer_seconds", webhook.answer_seconds, WEBHOOK_ANSWER_SECONDS_MAX),
        ] {
            if !(1..=max).contains(&seconds) {
                self.say(member, format!("{seconds} is not between 1 and {max}"));
            }
        }
    }

    fn shape(&mut self, webhook: &Webhook) {
        if webhook.filter.as_ref().is_some_and(|filter| filter.trim().is_empty()) {
            self.say("filter", "is empty; leave it out to be told of everything".to_owned());
        }
        if webhook.body.is_some() && !webhook.fields.is_empty() {
            self.say("body", "stands beside fields; keep one of them".to_owned());
        }
        if let Some(body) = &webhook.body
            && let Err(mistake) = Template::parse(body)
        {
            self.say("body", mistake.to_string());
        }
        for (name, value) in &webhook.headers {
            let lower = name.to_ascii_lowercase();
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                self.say("headers", format!("{} is no name of a header", quoted(name)));
            } else if HEADERS.contains(&lower.as_str()) {
                self.say("headers", format!("{} is set by callweave; leave it out", quoted(name)));
            }
            let value = value.reveal();
            if value.len() > LABEL_BYTES_MAX || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                let message =
                    format!("the value of {} is not up to {LABEL_BYTES_MAX} visible characters", quoted(name));
                self.say("headers", message);
            }
        }
    }

    /// What is said about a secret tells its place, never the secret.
    fn secrets(&mut self, webhook: &Webhook) {
        for (place, secret) in webhook.secrets.iter().enumerate() {
            if let Err(mistake) = SigningKey::parse(secret.reveal()) {
                self.say(&format!("secrets[{place}]"), mistake.to_string());
            }
        }
        if let Some(mistake) = webhook.secret_file_mistake() {
            self.say("secret_file", mistake.to_owned());
        }
        if webhook.secret_file.is_some() && !webhook.secrets.is_empty() {
            self.say("secret_file", "stands beside secrets; keep one of them".to_owned());
        }
    }
}

pub(super) fn name_mistake(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let right = !name.is_empty() && name.len() <= WEBHOOK_NAME_BYTES_MAX && name.chars().all(plain);
    (!right).then(|| format!("{} is not 1 to {WEBHOOK_NAME_BYTES_MAX} letters, digits, - and _", quoted(name)))
}

pub(super) fn moment_mistakes(moments: &[String]) -> impl Iterator<Item = String> {
    let unknown = moments.iter().filter(|moment| !MomentKind::ALL.iter().any(|known| known.name() == *moment));
    unknown.map(|moment| {
        let known: Vec<&str> = MomentKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("{} is not one of {}", quoted(moment), known.join(", "))
    })
}

pub(super) fn file_mistake(file: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let right =
        !file.is_empty() && file.len() <= FILE_NAME_BYTES_MAX && !file.starts_with('.') && file.chars().all(plain);
    (!right).then_some("is not the name of a file: letters, digits, - _ and dots inside")
}

pub(super) fn url_mistake(url: &str) -> Option<&'static str> {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Some("is no address such as https://example.com/hook");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("is too long, or has characters in it that a URL has as %XX");
    }
    if authority.contains('@') {
        return Some("has a user or password in it: give them as the header Authorization");
    }
    if authority.is_empty() || authority.starts_with(':') || url.contains('#') {
        return Some("names no host, or has a # in it");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl FnOnce(&mut Webhook)) -> Vec<String> {
        let mut webhook = Webhook { name: "crm".into(), url: "https://example.com/hook".into(), ..Webhook::default() };
        change(&mut webhook);
        mistakes(&[webhook]).into_iter().map(|mistake| mistake.to_string()).collect()
    }

    #[test]
    fn says_what_is_wrong_with_a_webhook() {
        type Change = fn(&mut Webhook);
        let table: &[(Change, &str)] = &[
            (|_| {}, ""),
            (|it| it.name = "a b".into(), "webhooks[0].name: \"a b\" is not 1 to 64"),
            (|it| it.url = "ftp://example.com".into(), "webhooks[0].url: is no address"),
            (|it| it.url = "https://ann:secret@example.com".into(), "webhooks[0].url: has a user or password"),
            (|it| it.url = "https://:80/".into(), "webhooks[0].url: names no host"),
            (|it| it.url = "http://10.0.0.7:8080/x?y=z".into(), ""),
            (
                |it| it.moments = vec!["call.rang".into()],
                "webhooks[0].moments: \"call.rang\" is not one of call.started",
            ),
            (|it| it.filter = Some(" ".into()), "webhooks[0].filter: is empty"),
            (|it| it.body = Some("{{caller".into()), "webhooks[0].body: "),
            (
                |it| (it.body, it.fields) = (Some("x".into()), vec!["caller".into()]),
                "webhooks[0].body: stands beside fields",
            ),
            (|it| drop(it.headers.insert("Host".into(), Hidden::new("x"))), "webhooks[0].headers: \"Host\" is set by"),
            (
                |it| drop(it.headers.insert("X".into(), Hidden::new("a\r\nb"))),
                "webhooks[0].headers: the value of \"X\"",
            ),
            (|it| it.secrets = vec![Hidden::new("hush")], "webhooks[0].secrets[0]: "),
            (|it| it.secret_file = Some("../key".into()), "webhooks[0].secret_file: is not the name of a file"),
            (|it| it.connect_seconds = 0, "webhooks[0].connect_seconds: 0 is not between 1 and 10"),
        ];
        for (change, expected) in table {
            let told = told(change);
            match *expected {
                "" => assert!(told.is_empty(), "{told:?}"),
                expected => assert!(told.len() == 1 && told[0].starts_with(expected), "{expected}: {told:?}"),
            }
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let webhook = Webhook { secrets: vec![Hidden::new("hush")], ..Webhook::default() };
        assert!(!format!("{webhook:?}").contains("hush"));
        let read: Webhook =
            serde_json::from_str("{\"secrets\":[\"hush\"],\"headers\":{\"a\":\"b\"}}").expect("a webhook");
        assert_eq!((read.secrets[0].reveal(), read.headers["a"].reveal()), ("hush", "b"));
    }
}
