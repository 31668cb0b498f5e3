//! The first run on a machine: where nobody configured an account, one is made, so that events can be posted at once.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Account, Config, DEFAULT_ACCOUNT, Secret};

#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    #[error(
        "no account is configured, and {0} is open to other machines; give an account a key ([accounts.NAME] with \
         keys_file), or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error("the key of account {DEFAULT_ACCOUNT:?} cannot be kept in {}: {error}; let this user write there, or configure an account", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{} holds no key; remove it, and the next start makes a new one", .0.display())]
    Empty(PathBuf),
}

/// The account that a run without configured accounts works with.
#[derive(Debug)]
pub struct FirstRun {
    pub account: Account,
    /// Where its key is kept, mode 0600.
    pub key_file: PathBuf,
    /// Whether the key was made just now.
    pub made: bool,
}

impl FirstRun {
    /// Gives a configuration without accounts the account `default`, and says so; `None` where accounts are configured.
    ///
    /// # Errors
    /// Events would be taken from other machines, or the key cannot be kept.
    pub fn prepare(config: &mut Config) -> Result<Option<FirstRun>, FirstRunError> {
        if !config.accounts.is_empty() {
            return Ok(None);
        }
        if !config.listen.collect.ip().is_loopback() {
            return Err(FirstRunError::Open(config.listen.collect));
        }
        let key_file = config.data.join(format!("{DEFAULT_ACCOUNT}.key"));
        let failed = |error| FirstRunError::File { path: key_file.clone(), error };
        std::fs::create_dir_all(&config.data).map_err(failed)?;
        let made = keep_new_key(&key_file).map_err(failed)?;
        let key = std::fs::read_to_string(&key_file).map_err(failed)?.trim().to_owned();
        if key.is_empty() {
            return Err(FirstRunError::Empty(key_file));
        }
        let account = Account { name: DEFAULT_ACCOUNT.to_owned(), keys: vec![Secret::new(key)], settings: None };
        config.accounts.insert(account.name.clone(), account.clone());
        Ok(Some(FirstRun { account, key_file, made }))
    }

    /// What to do next, for people; it names the key's file and not the key.
    pub fn welcome(&self, collect: SocketAddr) -> String {
        format!(
            "No account is configured, so this is account {account:?}; its key is in {file}.\nPost a first event:\n\n  \
             curl -sS http://{collect}/v1/events -H \"Authorization: Bearer $(cat {file})\" -d '{{\"specversion\":\"1.0\",\
             \"id\":\"1\",\"source\":\"shell\",\"type\":\"page_view\",\"time\":\"'$(date -u +%FT%TZ)'\",\
             \"account\":\"{account}\",\"data\":{{\"visitor_id\":\"v1\",\"url\":\"https://example.com/?utm_source=\
             first\"}}}}'\n",
            account = self.account.name,
            file = self.key_file.display(),
        )
    }
}

/// Makes the file with a new key, unless it is there; whether it was made. It is whole or absent, also after a crash.
fn keep_new_key(path: &Path) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    // 244 random bits of the operating system.
    let key = format!("cw_{}{}\n", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, a link leaves the key of another process that started at the same time in its place.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
