//! `callweave webhook` and `callweave export`: ask a notifier that runs.

use anyhow::Context;
use serde_json::Value;

use super::{Failure, print, runtime};
use crate::config::{Config, FirstRun, FirstRunError, Secret};
use crate::notify::{Kind, Remote};

impl From<FirstRunError> for Failure {
    fn from(error: FirstRunError) -> Failure {
        if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
    }
}

/// Whom to ask, and for whom.
#[derive(Debug, Clone)]
pub struct Asker {
    pub kind: Kind,
    /// The only one, if absent.
    pub account: Option<String>,
    pub url: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub method: &'static str,
    pub path: Vec<String>,
    pub query: Option<String>,
    pub body: Option<String>,
}

impl Asker {
    /// # Errors
    /// Nobody answers, or the answer is no.
    pub fn ask(&self, config: &Config, asked: Question) -> Result<Value, Failure> {
        let key = account_of(config, self.account.as_deref())?.1;
        let url = self.url.clone().unwrap_or_else(|| format!("http://{}", config.listen.collect));
        let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        let remote = Remote { url, key };
        let answer = remote.ask(self.kind, asked.method, &path, asked.query.as_deref(), asked.body);
        runtime()?.block_on(answer).map_err(Failure::failed)
    }
}

/// Asks, with the account's key, and prints the answer.
///
/// # Errors
/// Nobody answers, the answer is no, or it tells of an attempt that came to nothing.
pub fn webhook(config: &Config, of: &Asker, asked: Question) -> Result<(), Failure> {
    let answer = of.ask(config, asked)?;
    print(&format!("{answer:#}\n"))?;
    match lost(&answer) {
        Some(outcome) => Err(Failure::said(format!("the attempt was not delivered: {outcome}"))),
        None => Ok(()),
    }
}

/// What became of the one attempt that an answer tells of, if it was not delivered. An export that leaves the made-up call out by
/// its own rules (`skipped`) did what it is to do.
fn lost(answer: &Value) -> Option<&str> {
    let outcome = answer["attempt"]["outcome"].as_str()?;
    let word = outcome.split(':').next().unwrap_or(outcome);
    (!matches!(word, "delivered" | "skipped")).then_some(outcome)
}

/// The account's name, and its key.
pub fn account_of(config: &Config, account: Option<&str>) -> Result<(String, Secret), Failure> {
    let mut config = config.clone();
    FirstRun::prepare(&mut config)?;
    let accounts: Vec<&String> = config.accounts.keys().collect();
    let name = match (account, accounts.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [only]) => (*only).clone(),
        (None, _) => return Err(Failure::Usage("there are several accounts; give --account NAME".to_owned())),
    };
    let account = config.accounts.get(&name);
    let account = account.ok_or_else(|| Failure::Usage(format!("the configuration has no account {name:?}")))?;
    let key = account.keys.first().cloned().with_context(|| format!("account {name} has no key; give it one"))?;
    Ok((name, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attempt_that_was_not_delivered_is_a_failure() {
        for (answer, expected) in [
            (json!({"attempt": {"outcome": "delivered"}}), None),
            (json!({"attempt": {"outcome": "skipped: no click id"}}), None),
            (json!({"attempt": {"outcome": "failed: status 503"}}), Some("failed: status 503")),
            (json!({"attempt": {"outcome": "refused: no such address"}}), Some("refused: no such address")),
            (json!({"attempt": {"outcome": "gone: status 410"}}), Some("gone: status 410")),
            (json!({"attempts": [{"outcome": "failed: status 503"}]}), None),
            (json!({"removed": "crm"}), None),
            (json!("text"), None),
        ] {
            assert_eq!(lost(&answer), expected, "{answer}");
        }
    }
}
