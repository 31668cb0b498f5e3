//! `callweave webhook`: asks a notifier that runs.

use std::io::Write;

use anyhow::Context;

use super::{Failure, runtime};
use crate::config::{Config, FirstRun, Secret};
use crate::notify::{self, Remote};

/// Asks for what `path` names, with the account's key, and prints the answer.
pub fn webhook(
    config: &Config,
    account: Option<String>,
    url: Option<String>,
    method: &str,
    path: &[String],
    query: Option<String>,
    body: Option<String>,
) -> Result<(), Failure> {
    let key = key_of(config, account)?;
    let url = url.unwrap_or_else(|| format!("http://{}", config.listen.collect));
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = runtime()?.block_on(Remote { url, key }.ask(method, &path, query.as_deref(), body));
    let answer = answer.map_err(Failure::failed)?;
    // A reader that goes away has had enough.
    let _ = writeln!(std::io::stdout(), "{answer:#}");
    Ok(())
}

fn key_of(config: &Config, account: Option<String>) -> Result<Secret, Failure> {
    let mut config = config.clone();
    FirstRun::prepare(&mut config).map_err(Failure::failed)?;
    let accounts: Vec<&String> = config.accounts.keys().collect();
    let name = match (account, accounts.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => (*only).clone(),
        (None, _) => return Err(Failure::Usage("there are several accounts; give --account NAME".to_owned())),
    };
    let account = config.accounts.get(&name);
    let account = account.ok_or_else(|| Failure::Usage(format!("the configuration has no account {name:?}")))?;
    Ok(account.keys.first().cloned().with_context(|| format!("account {name} has no key; give it one"))?)
}

/// What is wrong with the webhooks of the configuration, printed like the rest of `check`.
pub fn look_over(config: &Config) -> Result<(), Failure> {
    let mistakes = notify::look_over(config);
    for mistake in &mistakes {
        println!("{mistake}");
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::said("the configuration is wrong")) }
}
