//! Who may ask, by the settings in force: those of the configuration, and those that the log was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use callweave_core::settings::{Login, Role};
use callweave_core::time::Time;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::access::{Access, MaskKey};
use super::bounds::Bounds;
use super::error::QueryError;
use super::session::QuerySession;
use super::tries::Tries;
use crate::config::{Account, Verifier};
use crate::log::SharedLog;
use crate::log::settings::{Mark, Told};

/// For so long what the log said counts as new.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// 4,096 rounds take some milliseconds of a core.
const HASHED_AT_ONCE: usize = 2;

/// The logins of all configured accounts.
pub struct Logins {
    log: Option<SharedLog>,
    clock: fn() -> Time,
    lake: QuerySession,
    mask: MaskKey,
    accounts: HashMap<Arc<str>, Known>,
    tries: Tries,
    /// Passwords that are looked at at once: that is slow for good reason, and everything else goes on beside it.
    hashing: Semaphore,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    #[error("the user or the password is wrong")]
    Wrong,
    #[error("too many passwords of this login were wrong: ask again in {} seconds", .0.as_secs() + 1)]
    Wait(Duration),
}

/// Who has proven a password: one login of one account, with the password that it then had. What is asked later is looked up by this, and
/// never by a name that somebody else may have by then.
#[derive(Clone)]
pub(super) struct Entry {
    account: Arc<str>,
    name: String,
    verifier: Verifier,
}

/// Why nothing more is answered to who was let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    #[error("the login {0:?} is no longer there: log in as another")]
    Gone(String),
    #[error("the password of the login {0:?} was changed: log in again, with the new one")]
    Changed(String),
}

struct Known {
    /// Besides those of its settings.
    own: Vec<Login>,
    now: Mutex<Now>,
    /// Held by whoever asks the log: one at a time.
    asking: tokio::sync::Mutex<Told>,
}

struct Now {
    looked: Option<Instant>,
    /// What the log has the settings by whose logins these are; none: the configuration's.
    mark: Option<Mark>,
    readers: HashMap<String, Arc<Reader>>,
}

/// One login's way to the lake.
pub struct Reader {
    pub account: Arc<str>,
    pub login: Login,
    pub verifier: Verifier,
    pub(super) session: QuerySession,
    places: Arc<Semaphore>,
    /// What the right password is known by once it was given: who asks at each request is not hashed each time.
    proven: OnceLock<hmac::Tag>,
    key: hmac::Key,
}

impl Logins {
    /// `log`: where settings are told; without one those of the configuration hold.
    pub fn new<'a>(
        accounts: impl IntoIterator<Item = &'a Account>,
        log: Option<SharedLog>,
        clock: fn() -> Time,
        lake: QuerySession,
        mask: MaskKey,
    ) -> Logins {
        let hashing = Semaphore::new(HASHED_AT_ONCE);
        let mut logins = Logins { log, clock, lake, mask, accounts: HashMap::new(), tries: Tries::default(), hashing };
        for account in accounts {
            let name: Arc<str> = account.name.as_str().into();
            let known = Known {
                own: account.logins.clone(),
                now: Mutex::new(Now { looked: None, mark: None, readers: HashMap::new() }),
                asking: tokio::sync::Mutex::default(),
            };
            let of_settings = account.settings.as_ref().map_or(&[][..], |settings| &settings.logins);
            logins.put(&name, &known, of_settings);
            logins.accounts.insert(name, known);
        }
        logins
    }

    /// Gets to know who may ask, also for when the log is away. See [`QuerySession::look_ahead`].
    pub(super) async fn look_ahead(&self) {
        for (account, known) in &self.accounts {
            self.look(account, known).await;
        }
        self.lake.look_ahead().await;
    }

    /// Somebody by name: `anna@acme`, or `anna` where `database` names the account or only one account has an `anna`. Whose a name is changes
    /// with the settings of any account: only who proves the password next may ask by it ([`Logins::still`] is for later).
    pub async fn find(&self, user: &str, database: Option<&str>) -> Option<Arc<Reader>> {
        if let Some((name, account)) = user.rsplit_once('@') {
            return self.of(account, name).await;
        }
        if let Some(account) = database
            && let Some(reader) = self.of(account, user).await
        {
            return Some(reader);
        }
        let mut found = None;
        for account in self.accounts.keys() {
            if let Some(reader) = self.of(account, user).await
                && found.replace(reader).is_some()
            {
                return None;
            }
        }
        found
    }

    /// The login of who was let in, as it is now.
    ///
    /// # Errors
    /// It is no longer there, or has another password.
    pub(super) async fn still(&self, entry: &Entry) -> Result<Arc<Reader>, Ended> {
        let reader = self.of(&entry.account, &entry.name).await;
        let whose = || format!("{}@{}", entry.name, entry.account);
        let reader = reader.ok_or_else(|| Ended::Gone(whose()))?;
        if reader.verifier == entry.verifier { Ok(reader) } else { Err(Ended::Changed(whose())) }
    }

    /// Somebody by name and password; as slow for a name that nobody has.
    ///
    /// # Errors
    /// Either is wrong, or too many passwords were wrong shortly before.
    pub async fn enter(&self, user: &str, password: &str) -> Result<Arc<Reader>, NoEntry> {
        let found = self.find(user, None).await;
        if let Some(reader) = found.as_ref().filter(|reader| reader.has_proven(password)) {
            return Ok(Arc::clone(reader));
        }
        let _place = self.hashing.acquire().await;
        let name = Logins::name(found.as_deref(), user);
        self.may_try(&name)?;
        let verifier = match &found {
            Some(reader) => reader.verifier.clone(),
            None => Verifier::of_nobody(user, user.as_bytes()),
        };
        let tried = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || verifier.fits(&tried)).await.unwrap_or(false);
        match found.filter(|_| fits) {
            Some(reader) => {
                reader.proven.get_or_init(|| hmac::sign(&reader.key, password.as_bytes()));
                Ok(reader)
            }
            None => {
                self.was_wrong(&name);
                Err(NoEntry::Wrong)
            }
        }
    }

    /// What wrong passwords are counted by.
    pub(super) fn name(found: Option<&Reader>, user: &str) -> String {
        found.map_or_else(|| user.to_owned(), |reader| format!("{}@{}", reader.login.name, reader.account))
    }

    /// # Errors
    /// Too many passwords of this [`Logins::name`] were wrong.
    pub(super) fn may_try(&self, name: &str) -> Result<(), NoEntry> {
        self.tries.wait(name, std::time::Instant::now()).map_or(Ok(()), |wait| Err(NoEntry::Wait(wait)))
    }

    pub(super) fn was_wrong(&self, name: &str) {
        self.tries.wrong(name, std::time::Instant::now());
    }

    async fn of(&self, account: &str, name: &str) -> Option<Arc<Reader>> {
        let (account, known) = self.accounts.get_key_value(account)?;
        self.look(account, known).await;
        lock(&known.now).readers.get(name).cloned()
    }

    /// Asks the log if that was a while ago. One at a time asks; others go by what is known, unless nothing is yet.
    async fn look(&self, account: &Arc<str>, known: &Known) {
        let Some(log) = &self.log else { return };
        let looked = lock(&known.now).looked;
        if looked.is_some_and(|at| at.elapsed() < FRESH_FOR) {
            return;
        }
        let mut told = match looked {
            None => known.asking.lock().await,
            Some(_) => match known.asking.try_lock() {
                Ok(told) => told,
                Err(_) => return,
            },
        };
        if lock(&known.now).looked != looked {
            return;
        }
        if let Err(error) = told.look_in_time(log, account, (self.clock)()).await {
            tracing::warn!(%account, %error, "logins cannot be read; the last known stay");
        }
        let before = lock(&known.now).mark;
        if let Some(told) = told.in_force().filter(|told| Some(told.mark) != before) {
            self.put(account, known, &told.settings.logins);
            lock(&known.now).mark = Some(told.mark);
        }
        lock(&known.now).looked = Some(Instant::now());
    }

    /// Keeps the readers whose login is the same: what they run goes on counting.
    fn put(&self, account: &Arc<str>, known: &Known, logins: &[Login]) {
        let mut now = lock(&known.now);
        let mut readers = HashMap::new();
        for login in known.own.iter().chain(logins) {
            let kept = now.readers.get(&login.name).filter(|reader| reader.login == *login).cloned();
            match kept.map_or_else(|| self.reader(account, login).map(Arc::new), Ok) {
                Ok(reader) => {
                    readers.insert(login.name.clone(), reader);
                }
                Err(error) => tracing::warn!(%account, login = %login.name, %error, "login cannot be used"),
            }
        }
        now.readers = readers;
    }

    fn reader(&self, account: &Arc<str>, login: &Login) -> Result<Reader, QueryError> {
        let verifier = login.verifier.parse().map_err(|error| QueryError::Login(format!("{error}")))?;
        let mask = (login.role == Role::Analyst).then(|| self.mask.clone());
        let access = Access { account: Arc::clone(account), mask };
        Ok(Reader {
            account: Arc::clone(account),
            login: login.clone(),
            verifier,
            session: self.lake.for_access(access, (login.memory_mib as usize) << 20)?,
            places: Arc::new(Semaphore::new(login.concurrent as usize)),
            proven: OnceLock::new(),
            key: hmac::Key::new(hmac::HMAC_SHA256, uuid::Uuid::new_v4().as_bytes()),
        })
    }
}

impl Reader {
    fn has_proven(&self, password: &str) -> bool {
        let proven = self.proven.get();
        proven.is_some_and(|tag| hmac::verify(&self.key, password.as_bytes(), tag.as_ref()).is_ok())
    }

    /// For who has proven this login's password.
    pub(super) fn entry(&self) -> Entry {
        Entry { account: Arc::clone(&self.account), name: self.login.name.clone(), verifier: self.verifier.clone() }
    }

    /// How long one query may take.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.login.seconds.into())
    }

    /// What one query may take, once there is a place for it. `time` may make it shorter than the login has.
    ///
    /// # Errors
    /// No place became free in that time.
    pub async fn bounds(&self, time: Option<Duration>, cancel: CancellationToken) -> Result<Arc<Bounds>, QueryError> {
        self.bounds_of(time, self.login.rows, cancel).await
    }

    /// The same of a page: one row more tells whether there is another, and is not given.
    ///
    /// # Errors
    /// No place became free in that time.
    pub async fn bounds_of_page(&self) -> Result<Arc<Bounds>, QueryError> {
        self.bounds_of(None, self.login.rows.saturating_add(1), CancellationToken::new()).await
    }

    async fn bounds_of(
        &self,
        time: Option<Duration>,
        rows: u64,
        cancel: CancellationToken,
    ) -> Result<Arc<Bounds>, QueryError> {
        let time = time.map_or(self.time(), |time| time.min(self.time()));
        let place = tokio::select! {
            place = timeout(time, Arc::clone(&self.places).acquire_owned()) => place,
            () = cancel.cancelled() => return Err(QueryError::Cancelled),
        };
        match place {
            Ok(Ok(place)) => Ok(Arc::new(Bounds::new(time, rows, cancel, Some(place)))),
            _ => Err(QueryError::Busy { concurrent: self.login.concurrent }),
        }
    }

    /// What planning may take of a statement that is not run: a query's time, and no place.
    pub fn bounds_of_plan(&self, cancel: CancellationToken) -> Arc<Bounds> {
        Arc::new(Bounds::new(self.time(), self.login.rows, cancel, None))
    }
}

/// ADBC's driver for Flight SQL leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// User and password of `Basic BASE64` (RFC 7617).
pub(super) fn basic(value: &str) -> Option<(String, String)> {
    let (_, encoded) = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// What is held while it is poisoned is whole: nobody panics halfway through a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use callweave_core::settings::Settings;
    use tempfile::TempDir;

    use super::*;
    use crate::log::embedded::{EmbeddedLog, EmbeddedOptions};
    use crate::log::settings::tell as tell_log;

    type Failure = Box<dyn std::error::Error>;

    /// Nothing here takes this long.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn login(name: &str, password: &str) -> Result<Login, Failure> {
        Ok(Login::new(name, Role::Manager, Verifier::of(password)?.to_string()))
    }

    /// Of the accounts acme, which has no login, and beta, which has `theirs`.
    fn logins(lake: &TempDir, theirs: Login) -> Result<Logins, Failure> {
        let account = |name: &str, logins| Account { name: name.to_owned(), keys: Vec::new(), settings: None, logins };
        let accounts = [account("acme", Vec::new()), account("beta", vec![theirs])];
        let lake = QuerySession::open(&lake.path().to_string_lossy())?;
        Ok(Logins::new(&accounts, None, || Time(0), lake, MaskKey::new(b"key")))
    }

    /// As if settings of the account had come.
    fn tell(logins: &Logins, account: &str, now: &[Login]) -> Result<(), Failure> {
        let (name, known) = logins.accounts.get_key_value(account).ok_or("no such account")?;
        logins.put(name, known, now);
        Ok(())
    }

    async fn account(logins: &Logins, entry: &Entry) -> Result<String, Ended> {
        logins.still(entry).await.map(|reader| reader.account.to_string())
    }

    #[tokio::test]
    async fn who_was_let_in_becomes_nobody_else() -> Result<(), Failure> {
        let lake = TempDir::new()?;
        let logins = logins(&lake, login("bert", "a password of beta")?)?;
        let bare = logins.enter("bert", "a password of beta").await?.entry();
        let mine = login("bert", "my own password")?;
        tell(&logins, "acme", std::slice::from_ref(&mine))?;
        assert!(logins.find("bert", None).await.is_none(), "two have the name");
        assert_eq!(account(&logins, &bare).await, Ok("beta".to_owned()), "and who came by it stays who it was");

        let entry = logins.enter("bert@acme", "my own password").await?.entry();
        assert_eq!(account(&logins, &entry).await, Ok("acme".to_owned()));
        tell(&logins, "acme", &[])?;
        let by_name = logins.find("bert", Some("acme")).await.map(|reader| reader.account.to_string());
        assert_eq!(by_name.as_deref(), Some("beta"), "the name is another's now");
        assert_eq!(account(&logins, &entry).await, Err(Ended::Gone("bert@acme".to_owned())));
        tell(&logins, "acme", &[mine])?;
        assert_eq!(account(&logins, &entry).await, Ok("acme".to_owned()), "put back as it was");
        Ok(())
    }

    #[tokio::test]
    async fn settings_of_a_time_to_come_shut_nobody_out() -> Result<(), Failure> {
        let (folder, lake) = (TempDir::new()?, TempDir::new()?);
        let log = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).await?;
        let log: SharedLog = Arc::new(log);
        let acme = Account { name: "acme".to_owned(), keys: Vec::new(), settings: None, logins: Vec::new() };
        let anna = Settings { logins: vec![login("anna", "the password of anna")?], ..Settings::default() };
        tell_log(&log, "acme", vec![(Time::EARLIEST, anna)]).await;
        tell_log(&log, "acme", vec![(Time::EARLIEST.plus(2), Settings::default())]).await;
        let is_there = async |clock: fn() -> Time| {
            let lake = QuerySession::open(&lake.path().to_string_lossy())?;
            let logins = Logins::new([&acme], Some(log.clone()), clock, lake, MaskKey::new(b"key"));
            Ok::<_, Failure>(logins.find("anna@acme", None).await.is_some())
        };
        let before: fn() -> Time = || Time::EARLIEST.plus(1);
        let then: fn() -> Time = || Time::EARLIEST.plus(2);
        // A busy machine's log may not answer in time.
        let tries = async {
            while !is_there(before).await? {}
            Ok::<_, Failure>(())
        };
        timeout(PATIENCE, tries).await.map_err(|_| "nobody is let in")??;
        assert!(!is_there(then).await?, "their time has come");
        Ok(())
    }

    #[tokio::test]
    async fn another_password_ends_what_the_old_one_opened() -> Result<(), Failure> {
        let lake = TempDir::new()?;
        let logins = logins(&lake, login("bert", "a password of beta")?)?;
        let anna = login("anna", "the old password")?;
        tell(&logins, "acme", std::slice::from_ref(&anna))?;
        let before = logins.enter("anna@acme", "the old password").await?;
        let entry = before.entry();
        tell(&logins, "acme", &[Login { role: Role::Analyst, ..anna }])?;
        let after = logins.still(&entry).await?;
        assert_eq!(after.login.role, Role::Analyst);
        assert!(!Arc::ptr_eq(&before, &after), "what ends cursors");
        tell(&logins, "acme", &[login("anna", "the new password")?])?;
        assert_eq!(account(&logins, &entry).await, Err(Ended::Changed("anna@acme".to_owned())));
        let again = logins.enter("anna@acme", "the new password").await?.entry();
        assert_eq!(account(&logins, &again).await, Ok("acme".to_owned()));
        Ok(())
    }
}
