//! `callweave webhook` and `callweave export`: ask a notifier that runs.

use std::io::Write;

use anyhow::Context;
use serde_json::Value;

use super::{Failure, runtime};
use crate::config::{Config, FirstRun, Secret};
use crate::notify::{self, Kind, Remote};

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
pub fn webhook(config: &Config, of: &Asker, asked: Question) -> Result<(), Failure> {
    let answer = of.ask(config, asked)?;
    // A reader that goes away has had enough.
    let _ = writeln!(std::io::stdout(), "{answer:#}");
    Ok(())
}

/// The account's name, and its key.
pub fn account_of(config: &Config, account: Option<&str>) -> Result<(String, Secret), Failure> {
    let mut config = config.clone();
    FirstRun::prepare(&mut config).map_err(Failure::failed)?;
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

/// What is wrong with the webhooks and exports of the configuration, printed like the rest of `check`.
pub fn look_over(config: &Config) -> Result<(), Failure> {
    let mistakes = notify::look_over(config);
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::said("the configuration is wrong")) }
}
