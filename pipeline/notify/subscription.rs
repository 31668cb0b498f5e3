//! One subscription, made ready: its filter read, its secrets found, its body's shape known. An export is one, too: only what is sent
//! differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callweave_core::export;
use callweave_core::settings::{Export, Hidden, Mistake, Settings, Webhook};
use callweave_core::time::{MICROS_PER_HOUR, MICROS_PER_SECOND, Time};
use callweave_core::webhook::{SecretError, Shape, SigningKey, TemplateError, signatures};
use serde_json::{Map, Value};
use url::Url;

use super::export::Exporter;
use super::filter::{Filter, FilterError, is_column};
use super::send::{ANSWER_KEPT, Answer, Outgoing, Sender};
use crate::config::{Account, Config};

/// The longest file of secrets that is read.
const SECRETS_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    #[error("url cannot be read: {0}")]
    Url(url::ParseError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("body {0}")]
    Template(#[from] TemplateError),
    #[error("{0:?} is no member of a moment's row; docs/webhooks.md has all")]
    Name(String),
    #[error("secret_file needs a folder: give notify.secrets in the configuration")]
    NoFolder,
    #[error("secret_file {0}")]
    FileName(&'static str),
    #[error("an account whose name begins with a dot has no folder of secrets: leave secret_file out")]
    Dotted,
    /// The same whatever lies elsewhere: nobody learns of others' files.
    #[error(
        "there is no such file in the account's own folder: secret_file is {0} in the folder notify.secrets; a file beside the \
         accounts' folders must be moved there"
    )]
    NoFile(String),
    #[error("the secrets in {file} cannot be used: {reason}")]
    File { file: String, reason: String },
    #[error("a secret {0}")]
    Secret(#[from] SecretError),
    #[error("line {line} of {file} is no name=value")]
    Line { file: String, line: usize },
    #[error("{file} has no {name}")]
    Missing { file: String, name: &'static str },
    #[error("it names no provider, or several: give one of ga4, google_ads, microsoft_ads, meta and crm")]
    Provider,
}

/// What an account's settings name: an address that is told, or a provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Webhook(Webhook),
    /// With the account's currency.
    Export(Box<Export>, String),
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Webhook,
    Export,
}

impl Entry {
    /// All of an account.
    pub fn all(settings: &Settings) -> Vec<Entry> {
        let exports = settings.exports.iter().map(|it| Entry::Export(Box::new(it.clone()), settings.currency.clone()));
        settings.webhooks.iter().cloned().map(Entry::Webhook).chain(exports).collect()
    }

    pub fn name(&self) -> &str {
        match self {
            Entry::Webhook(it) => &it.name,
            Entry::Export(it, _) => &it.name,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Entry::Webhook(_) => Kind::Webhook,
            Entry::Export(..) => Kind::Export,
        }
    }

    pub fn is_enabled(&self) -> bool {
        match self {
            Entry::Webhook(it) => it.enabled,
            Entry::Export(it, _) => it.enabled,
        }
    }

    /// What it is known by on disk.
    pub fn of(&self, account: &str) -> Arc<str> {
        self.kind().of(account, self.name())
    }
}

impl Kind {
    /// `ACCOUNT/NAME`, of an export `ACCOUNT/export:NAME`. No name has a slash or a colon in it.
    pub fn of(self, account: &str, name: &str) -> Arc<str> {
        match self {
            Kind::Webhook => format!("{account}/{name}").into(),
            Kind::Export => format!("{account}/export:{name}").into(),
        }
    }

    /// As addresses and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::Export => "export",
        }
    }
}

/// Where secrets come from.
#[derive(Clone)]
pub struct Secrets {
    /// What those are derived from that nobody gave.
    pub master: Arc<[u8; 32]>,
    pub folder: Option<PathBuf>,
    /// Files beside the accounts' folders, as they were before there were any: see [`Secrets::beside`].
    pub beside: Arc<BTreeSet<(String, String)>>,
}

#[derive(Debug)]
pub struct Subscription {
    /// What it is known by on disk: see [`Kind::of`].
    pub of: Arc<str>,
    pub account: Arc<str>,
    /// All where it is empty.
    moments: Vec<String>,
    pub filter: Option<Filter>,
    /// A call's moments wait for those before them.
    pub ordered: bool,
    /// Microseconds that a moment waits before it is sent.
    pub delay: i64,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Webhook(Box<Hook>),
    Export(Box<Exporter>),
}

/// Where a webhook is posted, and how.
#[derive(Debug)]
struct Hook {
    webhook: Webhook,
    url: Url,
    shape: Shape,
    keys: Vec<SigningKey>,
}

impl Subscription {
    /// # Errors
    /// It cannot be used as it is.
    pub fn new(account: &str, entry: &Entry, secrets: &Secrets) -> Result<Subscription, SubscriptionError> {
        let of = entry.of(account);
        let filter = |sql: &Option<String>| sql.as_deref().map(Filter::parse).transpose();
        let account: Arc<str> = account.into();
        match entry {
            Entry::Webhook(webhook) => Ok(Subscription {
                filter: filter(&webhook.filter)?,
                moments: webhook.moments.clone(),
                ordered: webhook.ordered,
                delay: 0,
                target: Target::Webhook(Box::new(Hook::new(&of, &account, webhook, secrets)?)),
                account,
                of,
            }),
            Entry::Export(export, currency) => {
                let provider = export.provider().ok_or(SubscriptionError::Provider)?;
                let known = secrets.of_export(&account, export, provider.secrets())?;
                Ok(Subscription {
                    filter: filter(&export.filter)?,
                    moments: export.wanted(),
                    // What a call's first moment makes in a CRM, the next one finds.
                    ordered: true,
                    delay: (export.delay_hours() * MICROS_PER_HOUR as f64) as i64,
                    target: Target::Export(Box::new(Exporter::new((**export).clone(), currency.clone(), known))),
                    account,
                    of,
                })
            }
        }
    }

    pub fn wants(&self, moment: &str) -> bool {
        self.moments.is_empty() || self.moments.iter().any(|wanted| wanted == moment)
    }

    /// Whether a moment has waited long enough. What need not wait does not, though the log's clock be ahead of ours.
    pub fn is_ripe(&self, appended: Time, now: Time) -> bool {
        self.delay == 0 || appended.plus(self.delay) <= now
    }

    /// The deal that a moment is of, where it is to be sent once.
    pub fn told_once<'e>(&self, event: &'e Map<String, Value>) -> Option<&'e str> {
        match &self.target {
            Target::Webhook(_) => None,
            Target::Export(exporter) => export::told_once(event, &exporter.export),
        }
    }

    /// Sends a moment, once. `text` is the event as it came, `id` the same on every try.
    pub async fn deliver(
        &self,
        event: &Map<String, Value>,
        text: &str,
        id: &str,
        sender: &Sender,
        clock: fn() -> Time,
    ) -> Answer {
        match &self.target {
            Target::Webhook(hook) => hook.deliver(event, text, id, sender, clock()).await,
            Target::Export(exporter) => exporter.deliver(event, sender, clock).await,
        }
    }
}

impl Hook {
    fn new(of: &str, account: &str, webhook: &Webhook, secrets: &Secrets) -> Result<Hook, SubscriptionError> {
        let shape = Shape::of(webhook)?;
        if let Some(name) = shape.unknown_name(is_column) {
            return Err(SubscriptionError::Name(name.to_owned()));
        }
        let url = Url::parse(&webhook.url).map_err(SubscriptionError::Url)?;
        Ok(Hook { url, keys: secrets.keys(of, account, webhook)?, webhook: webhook.clone(), shape })
    }

    async fn deliver(&self, event: &Map<String, Value>, text: &str, id: &str, sender: &Sender, now: Time) -> Answer {
        let body = match self.shape.render(event, text.as_bytes()) {
            Ok(body) => body,
            Err(error) => return Answer::trouble(error.to_string()),
        };
        let timestamp = now.0.div_euclid(MICROS_PER_SECOND);
        let mut headers: Vec<(&str, String)> =
            self.webhook.headers.iter().map(|(name, value)| (&**name, value.reveal().to_owned())).collect();
        headers.extend([
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures(&self.keys, id, timestamp, &body.bytes)),
        ]);
        let outgoing = Outgoing {
            method: "POST",
            url: &self.url,
            headers,
            body: Some((body.content_type, body.bytes)),
            connect_seconds: self.webhook.connect_seconds,
            answer_seconds: self.webhook.answer_seconds,
            keep: ANSWER_KEPT,
        };
        sender.send(outgoing, now).await
    }
}

impl Secrets {
    /// What changes where a file of secrets does.
    pub fn marks(&self, of: &str, account: &str, entry: &Entry) -> Vec<String> {
        match entry {
            Entry::Webhook(webhook) => self.texts(of, account, webhook).unwrap_or_default(),
            Entry::Export(export, _) => {
                let known = self.of_export(account, export, &[]).unwrap_or_default();
                known.iter().map(|(name, value)| format!("{name}={}", value.reveal())).collect()
            }
        }
    }

    /// The secrets of an export by name.
    fn of_export(
        &self,
        account: &str,
        export: &Export,
        needed: &[&'static str],
    ) -> Result<BTreeMap<String, Hidden>, SubscriptionError> {
        let Some(name) = &export.secret_file else { return Ok(export.secrets.clone()) };
        let lines = self.own(account, name, export.secret_file_mistake())?;
        let file = format!("{account}/{name}");
        let mut known = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            let wrong = || SubscriptionError::Line { file: file.clone(), line: at + 1 };
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            known.insert(name.trim().to_owned(), Hidden::new(value.trim()));
        }
        match needed.iter().find(|name| !known.contains_key(**name)) {
            Some(name) => Err(SubscriptionError::Missing { file, name }),
            None => Ok(known),
        }
    }

    /// The texts that sign for a webhook.
    pub fn texts(&self, of: &str, account: &str, webhook: &Webhook) -> Result<Vec<String>, SubscriptionError> {
        if let Some(name) = &webhook.secret_file {
            return match (self.own(account, name, webhook.secret_file_mistake()), &self.folder) {
                (Err(error @ (SubscriptionError::NoFile(_) | SubscriptionError::Dotted)), Some(folder))
                    if self.beside.contains(&(account.to_owned(), name.clone())) =>
                {
                    read(&folder.join(name), name)?.ok_or(error)
                }
                (own, _) => own,
            };
        }
        if !webhook.secrets.is_empty() {
            return Ok(webhook.secrets.iter().map(|secret| secret.reveal().to_owned()).collect());
        }
        Ok(vec![SigningKey::derived(&self.master, of)])
    }

    /// The lines of a file in the account's own folder: what is no plain name of a file, or of a folder, is not opened.
    fn own(&self, account: &str, name: &str, mistake: Option<&'static str>) -> Result<Vec<String>, SubscriptionError> {
        if let Some(mistake) = mistake {
            return Err(SubscriptionError::FileName(mistake));
        }
        let folder = self.folder.as_ref().ok_or(SubscriptionError::NoFolder)?;
        // `..` is an account's name, too.
        if account.starts_with('.') {
            return Err(SubscriptionError::Dotted);
        }
        let file = format!("{account}/{name}");
        read(&folder.join(&file), &file)?.ok_or(SubscriptionError::NoFile(file))
    }

    /// The files that webhooks of the configuration name, each with its account: whoever wrote the configuration may have meant one
    /// beside the accounts' folders. Nobody who has a key alone is believed that.
    pub fn beside<'a>(accounts: impl Iterator<Item = &'a Account>) -> Arc<BTreeSet<(String, String)>> {
        let named = accounts.flat_map(|account| {
            let webhooks = account.settings.iter().flat_map(|settings| &settings.webhooks);
            webhooks.filter_map(|webhook| Some((account.name.clone(), webhook.secret_file.clone()?)))
        });
        Arc::new(named.collect())
    }

    fn keys(&self, of: &str, account: &str, webhook: &Webhook) -> Result<Vec<SigningKey>, SubscriptionError> {
        let texts = self.texts(of, account, webhook)?;
        Ok(texts.iter().map(|text| SigningKey::parse(text)).collect::<Result<_, _>>()?)
    }
}

/// What is wrong with the webhooks and exports of a configuration, beyond what its settings' own check tells.
pub fn look_over(config: &Config) -> Vec<String> {
    // No secret is made for a look.
    let (folder, beside) = (config.notify.secrets.clone(), Secrets::beside(config.accounts.values()));
    let secrets = Secrets { master: Arc::new([0; 32]), folder, beside };
    let mut mistakes = Vec::new();
    for (account, settings) in config.accounts.values().filter_map(|it| Some((&it.name, it.settings.as_ref()?))) {
        for entry in Entry::all(settings) {
            if let Err(error) = Subscription::new(account, &entry, &secrets) {
                let (kind, name) = (entry.kind().name(), entry.name());
                mistakes.push(format!("accounts.{account}.settings: the {kind} {name}: {error}"));
            }
        }
    }
    mistakes
}

/// What is wrong with the filters of settings, and with the names that bodies have in them: what the settings' own check cannot tell.
pub fn mistakes(settings: &Settings) -> Vec<Mistake> {
    let filters = settings.webhooks.iter().map(|it| &it.filter).enumerate().map(|(at, it)| ("webhooks", at, it));
    let of_exports = settings.exports.iter().map(|it| &it.filter).enumerate().map(|(at, it)| ("exports", at, it));
    let mut mistakes = Vec::new();
    for (list, at, filter) in filters.chain(of_exports) {
        if let Some(Err(error)) = filter.as_deref().map(Filter::parse) {
            mistakes.push(Mistake { path: format!("{list}[{at}].filter"), message: error.to_string() });
        }
    }
    for (at, webhook) in settings.webhooks.iter().enumerate() {
        if let Ok(shape) = Shape::of(webhook)
            && let Some(name) = shape.unknown_name(is_column)
        {
            let member = if webhook.body.is_some() { "body" } else { "fields" };
            let message = SubscriptionError::Name(name.to_owned()).to_string();
            mistakes.push(Mistake { path: format!("webhooks[{at}].{member}"), message });
        }
    }
    mistakes
}

/// The lines of a file of secrets; nothing where there is none. `file` is what the file is called in messages.
fn read(path: &Path, file: &str) -> Result<Option<Vec<String>>, SubscriptionError> {
    let wrong = |reason: String| SubscriptionError::File { file: file.to_owned(), reason };
    let about = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        about => about.map_err(|error| wrong(error.to_string()))?,
    };
    if !about.is_file() || about.len() > SECRETS_BYTES_MAX {
        return Err(wrong(format!("it is no file of up to {SECRETS_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<String> = lines.map(str::to_owned).collect();
    if secrets.is_empty() { Err(wrong("it holds none; write one a line".to_owned())) } else { Ok(Some(secrets)) }
}

/// The secret that others are derived from: made once, in a file that only this user may read.
///
/// # Errors
/// It cannot be read, or made.
pub fn master(folder: &Path) -> Result<[u8; 32], std::io::Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = folder.join("master.key");
    match std::fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            let text =
                format!("{} does not hold 32 bytes: restore it, or move it away for new secrets", path.display());
            std::io::Error::other(text)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Two random ids have 244 random bits.
            let mut key = [0; 32];
            key[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            key[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            let fresh = folder.join("master.key.new");
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            std::fs::File::open(folder)?.sync_all()?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(folder: Option<&Path>) -> Secrets {
        Secrets { master: Arc::new([7; 32]), folder: folder.map(Path::to_owned), beside: Arc::default() }
    }

    fn webhook(change: impl FnOnce(&mut Webhook)) -> Webhook {
        let mut webhook = Webhook { name: "crm".into(), url: "https://example.com/".into(), ..Webhook::default() };
        change(&mut webhook);
        webhook
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        type Change = fn(&mut Webhook);
        let table: &[(Change, &str)] = &[
            (|_| {}, ""),
            (|it| it.filter = Some("colour = 1".into()), "the filter cannot be used"),
            (|it| it.fields = vec!["colour".into()], "\"colour\" is no member"),
            (|it| it.body = Some("{{colour}}".into()), "\"colour\" is no member"),
            (|it| it.body = Some("{{caller}} {{moment}} {{changes|json}}".into()), ""),
            (|it| it.secret_file = Some("crm".into()), "secret_file needs a folder"),
            (|it| it.secret_file = Some("/etc/passwd".into()), "secret_file is not the name of a file"),
            (|it| it.url = "https://exa mple/".into(), "url cannot be read"),
        ];
        for (change, expected) in table {
            let told = Subscription::new("acme", &Entry::Webhook(webhook(change)), &secrets(None)).err();
            let told = told.map(|error| error.to_string()).unwrap_or_default();
            assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{expected}: {told}");
        }
    }

    #[test]
    fn secrets_come_from_a_file_or_are_derived() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = SigningKey::shared(&[1; 32]);
        std::fs::create_dir(folder.path().join("acme")).expect("a folder");
        std::fs::write(folder.path().join("acme/crm"), format!("# old\n{line}\n\n{line}\n")).expect("a file");
        let from_file = webhook(|it| it.secret_file = Some("crm".into()));
        let all = secrets(Some(folder.path()));
        assert_eq!(all.texts("acme/crm", "acme", &from_file).expect("two"), [line.clone(), line]);
        let derived = all.texts("acme/crm", "acme", &webhook(|_| {})).expect("one");
        assert!(derived.len() == 1 && derived[0].starts_with("whsec_"));
    }

    #[test]
    fn a_webhook_reads_no_file_of_others_and_learns_of_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = SigningKey::shared(&[1; 32]);
        std::fs::create_dir_all(folder.path().join("secrets/acme")).expect("a folder");
        for file in ["outside", "secrets/flat", "secrets/acme/crm", "secrets/plain"] {
            std::fs::write(folder.path().join(file), &line).expect("a file");
        }
        let named = |file: &str| webhook(|it| it.secret_file = Some(file.into()));
        let inside = folder.path().join("secrets");
        let all = secrets(Some(inside.as_path()));
        let told = |account: &str, file: &str| {
            let told = all.texts("of", account, &named(file)).map_err(|error| error.to_string());
            told.expect_err("none of the account's own").replace(&format!("/{file} "), "/NAME ")
        };
        assert!(all.texts("of", "acme", &named("crm")).is_ok());
        // What is there and what is not is told in the same words.
        let none = told("beta", "none");
        assert!(none.contains("secret_file is beta/NAME in the folder"), "{none}");
        for file in ["flat", "crm", "acme"] {
            assert_eq!(told("beta", file), none, "{file}");
        }
        assert_eq!(told("plain", "none"), none.replace("beta", "plain"));
        let path = told("beta", "/nowhere/at/all");
        assert!(path.starts_with("secret_file is not the name of a file"), "{path}");
        let outside = folder.path().join("outside").display().to_string();
        for file in ["../outside", "acme/crm", "..", ".", "", outside.as_str()] {
            assert_eq!(all.texts("of", "beta", &named(file)).expect_err(file).to_string(), path, "{file}");
        }
        for account in [".", ".."] {
            let error = all.texts("of", account, &named("outside")).expect_err(account);
            assert!(matches!(error, SubscriptionError::Dotted), "{error}");
        }
    }

    #[test]
    fn a_file_beside_the_folders_is_read_for_the_configuration_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = SigningKey::shared(&[1; 32]);
        std::fs::write(folder.path().join("crm"), &line).expect("a file");
        let configured = webhook(|it| it.secret_file = Some("crm".into()));
        let settings = Settings { webhooks: vec![configured.clone()], ..Settings::default() };
        let account = |name: &str, settings| Account { name: name.into(), keys: vec![], settings, logins: vec![] };
        let accounts = [account("acme", Some(settings)), account("beta", None)];
        let all = Secrets { beside: Secrets::beside(accounts.iter()), ..secrets(Some(folder.path())) };
        assert_eq!(all.texts("acme/crm", "acme", &configured).expect("one"), [line]);
        assert!(matches!(all.texts("beta/crm", "beta", &configured), Err(SubscriptionError::NoFile(_))));
        let other = SigningKey::shared(&[2; 32]);
        std::fs::create_dir(folder.path().join("acme")).expect("a folder");
        std::fs::write(folder.path().join("acme/crm"), &other).expect("a file");
        assert_eq!(all.texts("acme/crm", "acme", &configured).expect("its own first"), [other]);
    }

    #[test]
    fn an_export_has_its_secrets_from_its_accounts_folder_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("acme")).expect("a folder");
        std::fs::write(folder.path().join("acme/ga"), "# of the stream\napi_secret = s=1\n").expect("a file");
        std::fs::write(folder.path().join("acme/bad"), "api_secret\n").expect("a file");
        std::fs::write(folder.path().join("acme/other"), "token=x\n").expect("a file");
        std::fs::write(folder.path().join("ga"), "api_secret=x\n").expect("a file");
        let all = secrets(Some(folder.path()));
        for (account, file, expected) in [
            ("acme", "ga", ""),
            ("other", "ga", "there is no such file in the account's own folder: secret_file is other/ga in "),
            ("..", "ga", "has no folder of secrets"),
            (".", "ga", "has no folder of secrets"),
            ("other", "../acme/ga", "secret_file is not the name of a file"),
            ("acme", "bad", "line 1 of "),
            ("acme", "other", " has no api_secret"),
        ] {
            let export: Export = serde_json::from_value(serde_json::json!({
                "name": "ga", "ga4": {"measurement_id": "G-1"}, "secret_file": file,
            }))
            .expect("an export");
            let told = Subscription::new(account, &Entry::Export(Box::new(export), "EUR".into()), &all).err();
            let told = told.map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{account} {file}: {told}");
            assert!(!told.contains("s=1"));
        }
    }

    #[test]
    fn the_master_secret_is_made_once_and_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let made = master(folder.path()).expect("made");
        assert_eq!(made, master(folder.path()).expect("read"));
        let about = std::fs::metadata(folder.path().join("master.key")).expect("a file");
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
}
