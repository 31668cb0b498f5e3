//! One subscription, made ready: its filter read, its secrets found, its body's shape known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callweave_core::settings::Webhook;
use callweave_core::webhook::{SecretError, Shape, SigningKey, TemplateError};
use url::Url;

use super::filter::{Filter, FilterError, is_column};
use crate::config::Config;

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
    #[error("the secrets in {path} cannot be used: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("a secret {0}")]
    Secret(#[from] SecretError),
}

/// Where secrets come from.
#[derive(Clone)]
pub struct Secrets {
    /// What those are derived from that nobody gave.
    pub master: Arc<[u8; 32]>,
    pub folder: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Subscription {
    /// `ACCOUNT/NAME`: what it is known by on disk. Neither part has a slash in it.
    pub of: Arc<str>,
    pub account: Arc<str>,
    pub webhook: Webhook,
    pub url: Url,
    pub filter: Option<Filter>,
    pub shape: Shape,
    pub keys: Vec<SigningKey>,
}

/// The name of a subscription on disk.
pub fn name_of(account: &str, webhook: &str) -> Arc<str> {
    format!("{account}/{webhook}").into()
}

impl Subscription {
    /// # Errors
    /// It cannot be used as it is.
    pub fn new(account: &str, webhook: &Webhook, secrets: &Secrets) -> Result<Subscription, SubscriptionError> {
        let of = name_of(account, &webhook.name);
        let shape = Shape::of(webhook)?;
        if let Some(name) = shape.unknown_name(is_column) {
            return Err(SubscriptionError::Name(name.to_owned()));
        }
        Ok(Subscription {
            url: Url::parse(&webhook.url).map_err(SubscriptionError::Url)?,
            filter: webhook.filter.as_deref().map(Filter::parse).transpose()?,
            keys: secrets.keys(&of, webhook)?,
            account: account.into(),
            webhook: webhook.clone(),
            shape,
            of,
        })
    }

    pub fn wants(&self, moment: &str) -> bool {
        let moments = &self.webhook.moments;
        moments.is_empty() || moments.iter().any(|wanted| wanted == moment)
    }
}

impl Secrets {
    /// The texts that sign for a webhook.
    pub fn texts(&self, of: &str, webhook: &Webhook) -> Result<Vec<String>, SubscriptionError> {
        if let Some(name) = &webhook.secret_file {
            let path = self.folder.as_ref().ok_or(SubscriptionError::NoFolder)?.join(name);
            return read(&path).map_err(|reason| SubscriptionError::File { path, reason });
        }
        if !webhook.secrets.is_empty() {
            return Ok(webhook.secrets.iter().map(|secret| secret.reveal().to_owned()).collect());
        }
        Ok(vec![SigningKey::derived(&self.master, of)])
    }

    fn keys(&self, of: &str, webhook: &Webhook) -> Result<Vec<SigningKey>, SubscriptionError> {
        let texts = self.texts(of, webhook)?;
        Ok(texts.iter().map(|text| SigningKey::parse(text)).collect::<Result<_, _>>()?)
    }
}

/// What is wrong with the webhooks of a configuration, beyond what its settings' own check tells.
pub fn look_over(config: &Config) -> Vec<String> {
    // No secret is made for a look.
    let secrets = Secrets { master: Arc::new([0; 32]), folder: config.notify.secrets.clone() };
    let mut mistakes = Vec::new();
    for (account, settings) in config.accounts.values().filter_map(|it| Some((&it.name, it.settings.as_ref()?))) {
        for (at, webhook) in settings.webhooks.iter().enumerate() {
            if let Err(error) = Subscription::new(account, webhook, &secrets) {
                mistakes.push(format!("accounts.{account}.settings: webhooks[{at}] ({}): {error}", webhook.name));
            }
        }
    }
    mistakes
}

fn read(path: &Path) -> Result<Vec<String>, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() || about.len() > SECRETS_BYTES_MAX {
        return Err(format!("it is no file of up to {SECRETS_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<String> = lines.map(str::to_owned).collect();
    if secrets.is_empty() { Err("it holds none; write one a line".to_owned()) } else { Ok(secrets) }
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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
        Secrets { master: Arc::new([7; 32]), folder: folder.map(Path::to_owned) }
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
            (|it| it.url = "https://exa mple/".into(), "url cannot be read"),
        ];
        for (change, expected) in table {
            let told = Subscription::new("acme", &webhook(change), &secrets(None)).err();
            let told = told.map(|error| error.to_string()).unwrap_or_default();
            assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{expected}: {told}");
        }
    }

    #[test]
    fn secrets_come_from_a_file_or_are_derived() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = SigningKey::shared(&[1; 32]);
        std::fs::write(folder.path().join("crm"), format!("# old\n{line}\n\n{line}\n")).expect("a file");
        let from_file = webhook(|it| it.secret_file = Some("crm".into()));
        let all = secrets(Some(folder.path()));
        assert_eq!(all.texts("acme/crm", &from_file).expect("two"), [line.clone(), line]);
        let missing = webhook(|it| it.secret_file = Some("none".into()));
        assert!(matches!(all.texts("acme/crm", &missing), Err(SubscriptionError::File { .. })));
        let derived = all.texts("acme/crm", &webhook(|_| {})).expect("one");
        assert!(derived.len() == 1 && derived[0].starts_with("whsec_"));
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
