//! What the interfaces of advertising systems share: access tokens, and time.

use serde_json::Value;

use super::{Ask, Reply, Step, Terms, What};
use crate::settings::Hidden;
use crate::time::Time;
use crate::webhook::form_pairs;

/// Asks for an access token by the refresh token (RFC 6749, section 6).
pub(super) fn token(terms: &Terms<'_>, url: &str, scope: Option<&str>) -> Step {
    let secret = |name| terms.secret(name);
    let mut pairs = vec![
        ("grant_type", "refresh_token"),
        ("client_id", secret("client_id")),
        ("client_secret", secret("client_secret")),
        ("refresh_token", secret("refresh_token")),
    ];
    pairs.extend(scope.map(|scope| ("scope", scope)));
    pairs.retain(|(_, value)| !value.is_empty());
    let body = Some(("application/x-www-form-urlencoded", form_pairs(&pairs).into_bytes()));
    Step::Ask(Box::new(Ask { method: "POST", url: Hidden::new(url), headers: vec![], body, what: What::Token }))
}

pub(super) fn bearer(token: &str) -> (&'static str, Hidden) {
    ("authorization", Hidden::new(format!("Bearer {token}")))
}

/// The answer as JSON; null where it is none.
pub(super) fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or(Value::Null)
}

/// `2026-11-20T12:34:56Z` cut to seconds, as (`2026-11-20`, `12:34:56`).
pub(super) fn seconds(time: Time) -> (String, String) {
    let text = time.to_string();
    (text.get(..10).unwrap_or_default().to_owned(), text.get(11..19).unwrap_or_default().to_owned())
}
