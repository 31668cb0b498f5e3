//! What the command line asks of a notifier that runs, by its HTTP interface.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use url::Url;

use super::subscription::Kind;
use crate::config::Secret;

/// A test waits for its receiver.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("{0} is no address such as http://127.0.0.1:8090")]
    Address(String),
    #[error("no notifier answers at {at}: {reason}; start `callweave up` or `callweave notify`, or give --url")]
    Away { at: String, reason: String },
    #[error("{0}")]
    Refused(String),
}

/// A running notifier, and the key to ask it with.
pub struct Remote {
    pub url: String,
    pub key: Secret,
}

impl Remote {
    /// Asks for what stands under `/v1/webhooks` or `/v1/exports`, as `path`'s parts name it.
    ///
    /// # Errors
    /// Nobody answers, or the answer is no.
    pub async fn ask(
        &self,
        kind: Kind,
        method: &str,
        path: &[&str],
        query: Option<&str>,
        body: Option<String>,
    ) -> Result<Value, RemoteError> {
        let bad = || RemoteError::Address(self.url.clone());
        let mut url = Url::parse(&self.url).map_err(|_| bad())?;
        let of = format!("{}s", kind.name());
        url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(["v1", &of]).extend(path);
        url.set_query(query);
        let away =
            |error: reqwest::Error| RemoteError::Away { at: self.url.clone(), reason: error.without_url().to_string() };
        let client = Client::builder().timeout(PATIENCE).no_proxy().build().map_err(away)?;
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        let request = client.request(method, url).bearer_auth(self.key.reveal()).body(body.unwrap_or_default());
        let answer = request.send().await.map_err(away)?;
        let taken = answer.status().is_success();
        let text = answer.text().await.map_err(away)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if taken {
            return Ok(value);
        }
        Err(RemoteError::Refused(value["detail"].as_str().map_or_else(|| value.to_string(), str::to_owned)))
    }
}
