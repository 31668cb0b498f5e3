//! The first run on a machine: where nobody configured an account, one is made, so that events can be posted at once.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use callweave_core::settings::{Login, Role};

use super::{Account, Config, DEFAULT_ACCOUNT, Secret, Verifier};

#[derive(Debug, thiserror::Error)]
pub enum FirstRunError {
    #[error(
        "no account is configured, and {0} is open to other machines; give an account a key ([accounts.NAME] with \
         keys_file), or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error("a secret of account {DEFAULT_ACCOUNT:?} cannot be kept in {}: {error}; let this user write there, or configure an account", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{} is empty; remove it, and the next start makes a new one", .0.display())]
    Empty(PathBuf),
}

/// Whether a folder of the configuration cannot be used for a file in its way: what another start finds no better.
pub fn is_in_the_way(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory)
}

impl FirstRunError {
    /// Whether the configuration is wrong (exit status 2), as against something that broke (1).
    pub fn is_usage(&self) -> bool {
        match self {
            FirstRunError::Open(_) => true,
            FirstRunError::File { error, .. } => is_in_the_way(error),
            FirstRunError::Empty(_) => false,
        }
    }
}

/// The account that a run without configured accounts works with.
#[derive(Debug)]
pub struct FirstRun {
    pub account: Account,
    /// Where its key is kept, mode 0600.
    pub key_file: PathBuf,
    /// The same for the password of its login, which has the account's name.
    pub password_file: PathBuf,
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
        let (key_file, key, made) = kept(&config.data, "key")?;
        let (password_file, password, _) = kept(&config.data, "password")?;
        let verifier = Verifier::of(&password).map_err(|error| {
            let error = std::io::Error::new(ErrorKind::InvalidData, error);
            FirstRunError::File { path: password_file.clone(), error }
        })?;
        let login = Login::new(DEFAULT_ACCOUNT, Role::Manager, verifier.to_string());
        let account = Account {
            name: DEFAULT_ACCOUNT.to_owned(),
            keys: vec![Secret::new(key)],
            settings: None,
            logins: vec![login],
        };
        config.accounts.insert(account.name.clone(), account.clone());
        Ok(Some(FirstRun { account, key_file, password_file, made }))
    }

    /// What to do next, for people; it names the files of secrets and no secret.
    pub fn welcome(&self, collect: SocketAddr, postgres: Option<SocketAddr>) -> String {
        let (account, key, password) = (&self.account.name, self.key_file.display(), self.password_file.display());
        let mut text = format!(
            "No account is configured, so this is account {account:?}; its key is in {key}.\nPost a first event:\n\n  \
             curl -sS http://{collect}/v1/events -H \"Authorization: Bearer $(cat {key})\" -d '{{\"specversion\":\"1.0\",\
             \"id\":\"1\",\"source\":\"shell\",\"type\":\"page_view\",\"time\":\"'$(date -u +%FT%TZ)'\",\
             \"account\":\"{account}\",\"data\":{{\"visitor_id\":\"v1\",\"url\":\"https://example.com/?utm_source=\
             first\"}}}}'\n",
        );
        if let Some(postgres) = postgres {
            text.push_str(&format!(
                "\nAsk by SQL:\n\n  PGPASSWORD=$(cat {password}) psql -h {} -p {} -U {account} callweave -c 'SELECT * FROM page_views'\n",
                postgres.ip(),
                postgres.port(),
            ));
        }
        text
    }
}

/// The account's secret of this kind: its file, what is in it, and whether it was made just now.
fn kept(data: &Path, kind: &str) -> Result<(PathBuf, String, bool), FirstRunError> {
    let path = data.join(format!("{DEFAULT_ACCOUNT}.{kind}"));
    let failed = |error| FirstRunError::File { path: path.clone(), error };
    std::fs::create_dir_all(data).map_err(failed)?;
    let made = keep_new_key(&path).map_err(failed)?;
    let secret = std::fs::read_to_string(&path).map_err(failed)?.trim().to_owned();
    if secret.is_empty() {
        return Err(FirstRunError::Empty(path));
    }
    Ok((path, secret, made))
}

/// What pseudonyms are made with, where the configuration has nothing: the same from run to run.
///
/// # Errors
/// It cannot be kept in the data folder.
pub fn mask_key(config: &Config) -> Result<Secret, FirstRunError> {
    if let Some(key) = &config.query.mask_key {
        return Ok(key.clone());
    }
    let path = config.data.join("mask.key");
    let failed = |error| FirstRunError::File { path: path.clone(), error };
    std::fs::create_dir_all(&config.data).map_err(failed)?;
    keep_new_key(&path).map_err(failed)?;
    Ok(Secret::new(std::fs::read_to_string(&path).map_err(failed)?.trim()))
}

/// Makes the file with a new key, unless it is there; whether it was made. It is whole or absent, also after a crash.
fn keep_new_key(path: &Path) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    // 244 random bits of the operating system.
    let key = format!("cw_{}{}\n", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let draft = path.with_extension(format!("new.{}.{}", std::process::id(), uuid::Uuid::new_v4().simple()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_is_told_from_a_broken_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let prepared = |change: &dyn Fn(&mut Config)| {
            let mut config = Config { data: folder.path().join("data"), ..Config::default() };
            change(&mut config);
            FirstRun::prepare(&mut config).map(drop).map_err(|error| error.is_usage())
        };
        assert_eq!(prepared(&|_| {}), Ok(()));
        assert_eq!(prepared(&|it| it.listen.collect.set_ip([0, 0, 0, 0].into())), Err(true));
        assert_eq!(prepared(&|it| it.data = file.clone()), Err(true));
        assert_eq!(prepared(&|it| it.data = file.join("below")), Err(true));
        std::fs::write(folder.path().join(format!("{DEFAULT_ACCOUNT}.key")), "").expect("written");
        assert_eq!(prepared(&|it| it.data = folder.path().to_owned()), Err(false));
    }
}
