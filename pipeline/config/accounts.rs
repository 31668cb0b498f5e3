//! Accounts of the configuration: their keys and settings.

use std::collections::BTreeMap;

use callweave_core::event::{Body, Event, Text};
use callweave_core::limits::ACCOUNT_BYTES_MAX;
use callweave_core::settings::{Login, Settings};
use callweave_core::time::Time;
use serde_json::Value;

use super::Secret;
use super::check::Mistake;
use super::entries::{Entries, toml_to_json};
use super::given::{Given, kind};

/// The account of a first run.
pub const DEFAULT_ACCOUNT: &str = "default";
/// Shorter keys can be guessed.
const KEY_CHARS_MIN: usize = 16;
/// Longer keys do not fit a header.
const KEY_CHARS_MAX: usize = 1024;
/// Keys of all accounts.
const KEYS_MAX: usize = 100_000;

/// One tenant, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub name: String,
    /// What its senders present.
    pub keys: Vec<Secret>,
    /// Its settings, checked; absent: what the log already knows, else the defaults.
    pub settings: Option<Settings>,
    /// Who may ask by SQL besides those of its settings: the first run's own login.
    pub logins: Vec<Login>,
}

impl Account {
    /// Its settings as an event: they are in force from `time` on. `which` tells apart that they were given, and given again after
    /// others had come, or to another log.
    pub fn settings_event(&self, which: &str, time: Time) -> Option<Event<'_>> {
        let settings = self.settings.as_ref()?;
        let body = Body::AccountSettings(Box::new(settings.clone()));
        let (account, source) = (Text::from(self.name.as_str()), Text::from("configuration"));
        let event = Event { account, source, id: Text::default(), time: Time(0), recorded: Time(0), body };
        // Two roles that start at once say the same event, whatever the time.
        let hash = xxhash_rust::xxh3::xxh3_128(event.to_json().as_bytes());
        Some(Event { id: format!("{hash:032x}-{which}").into(), time, recorded: time, ..event })
    }
}

/// Builds the accounts from what was said of them.
pub fn read(entries: &Entries, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Account> {
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (path, entry) in entries {
        let Some((name, member)) = path.strip_prefix("accounts.").and_then(|rest| rest.rsplit_once('.')) else {
            continue;
        };
        if let Err(what) = name_is_good(name) {
            mistakes.push(Mistake::said(entry.origin.clone(), &format!("accounts.{name}"), &what));
        }
        let account = accounts.entry(name.to_owned()).or_insert_with(|| Account {
            name: name.to_owned(),
            keys: Vec::new(),
            settings: None,
            logins: Vec::new(),
        });
        let given = Given { value: &entry.value, origin: &entry.origin };
        let mut wrong = |what: String| mistakes.push(Mistake::said(entry.origin.clone(), path, &what));
        match member {
            "keys" => match key_list(&given) {
                Ok(keys) => add_keys(account, keys, &mut seen, &mut wrong),
                Err(what) => wrong(what),
            },
            "keys_file" => match given.file_text() {
                Ok(text) => add_keys(account, key_lines(&text), &mut seen, &mut wrong),
                Err(what) => wrong(what),
            },
            "settings" => match settings(&given) {
                Ok(settings) => account.settings = Some(settings),
                Err(all) => all.into_iter().for_each(wrong),
            },
            // An unknown member is told with all other unknown ones.
            _ => {}
        }
    }
    accounts
}

/// As in an event (`callweave_core::event::schema`): what no event can have, no key need be given for.
fn name_is_good(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > ACCOUNT_BYTES_MAX || !name.chars().all(allowed) {
        return Err(format!(
            "{name:?} cannot name an account; give 1 to {ACCOUNT_BYTES_MAX} letters, digits and - _ ."
        ));
    }
    Ok(())
}

fn key_list(given: &Given<'_>) -> Result<Vec<String>, String> {
    match given.value {
        // A variable has no lists.
        Value::String(text) => Ok(text.split(',').map(|key| key.trim().to_owned()).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(key) => Ok(key.clone()),
                other => Err(format!("holds {}; give keys in quotes", kind(other))),
            })
            .collect(),
        other => Err(format!("is {}; give a list of keys", kind(other))),
    }
}

fn key_lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Adds keys to an account. What is said about a key tells its place, never the key.
fn add_keys(
    account: &mut Account,
    keys: Vec<String>,
    seen: &mut BTreeMap<String, String>,
    wrong: &mut impl FnMut(String),
) {
    if keys.is_empty() {
        wrong("holds no key; make one with: openssl rand -hex 24".to_owned());
    }
    for (place, key) in keys.into_iter().enumerate() {
        let place = place + 1;
        if seen.len() >= KEYS_MAX {
            return wrong(format!("there are more than {KEYS_MAX} keys in all; keep fewer"));
        }
        if key.len() < KEY_CHARS_MIN {
            wrong(format!(
                "key {place} is shorter than {KEY_CHARS_MIN} characters; make one with: openssl rand -hex 24"
            ));
        } else if key.len() > KEY_CHARS_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            wrong(format!(
                "key {place} does not fit a header; give {KEY_CHARS_MIN} to {KEY_CHARS_MAX} visible ASCII characters \
                 without spaces"
            ));
        } else if let Some(other) = seen.insert(key.clone(), account.name.clone()) {
            wrong(format!("key {place} is a key of account {other} already; give each key once"));
        } else {
            account.keys.push(Secret::new(key));
        }
    }
}

fn settings(given: &Given<'_>) -> Result<Settings, Vec<String>> {
    let value = settings_value(given).map_err(|what| vec![what])?;
    // What stands in a file of its own is not where the member is.
    let file = given.value.is_string().then(|| given.path()).transpose().map_err(|what| vec![what])?;
    let at = file.map(|path| format!("{}: ", path.display())).unwrap_or_default();
    Settings::read(value).map_err(|all| all.iter().map(|mistake| format!("{at}{mistake}")).collect())
}

/// Settings from a table, or from a file in JSON or TOML.
fn settings_value(given: &Given<'_>) -> Result<Value, String> {
    match given.value {
        Value::Object(_) => Ok(given.value.clone()),
        Value::String(_) => {
            let text = given.file_text()?;
            let path = given.path()?;
            let read = if path.extension().is_some_and(|extension| extension == "toml") {
                toml_to_json(&text)
            } else {
                serde_json::from_str(&text).map_err(|error| error.to_string())
            };
            read.map_err(|error| {
                format!("{} cannot be read: {error}; give JSON, or TOML in a file named .toml", path.display())
            })
        }
        other => Err(format!("is {}; give a table, or the path of a JSON or TOML file", kind(other))),
    }
}

/// Members of settings that nothing reads, and those that stand in their place: in an event they are left alone, in a
/// configuration they are most likely misspelt.
pub fn strange_members(given: &Given<'_>, settings: &Settings) -> Vec<(String, Vec<String>)> {
    match (settings_value(given), serde_json::to_value(settings)) {
        (Ok(given), Ok(known)) => strange_in(&given, &known),
        _ => Vec::new(),
    }
}

/// The same of anything that was read of JSON, as it is written again.
pub fn strange_in(given: &Value, known: &Value) -> Vec<(String, Vec<String>)> {
    let mut strange = Vec::new();
    compare(given, known, "", &mut strange);
    strange
}

/// `known` is what was read of `given`, with all its members.
fn compare(given: &Value, known: &Value, path: &str, strange: &mut Vec<(String, Vec<String>)>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match known.get(name) {
                    Some(known) => compare(value, known, &path, strange),
                    // Nothing is what any member may have.
                    None if value.is_null() => {}
                    None => strange.push((path, known.keys().cloned().collect())),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) if given.len() == known.len() => {
            for (at, (given, known)) in given.iter().zip(known).enumerate() {
                compare(given, known, &format!("{path}[{at}]"), strange);
            }
        }
        _ => {}
    }
}
