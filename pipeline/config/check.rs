//! The three layers put together and looked over: every mistake at once, with where, what, and how to mend it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use callweave_core::settings::Route;

use super::entries::{self, Entries, Flags, Origin, PREFIX, SHORT};
use super::given::Given;
use super::members::{self, ACCOUNT_MEMBERS, MEMBERS};
use super::{Config, DEFAULT_ACCOUNT, Door, FirstRunError, Listen, accounts, telephony};

/// Something in the configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub origin: Origin,
    /// The member; empty where the whole is meant.
    pub member: String,
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

/// All mistakes of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {}:\n{}", counted(.0.len()), lines(.0))]
pub struct Mistakes(pub Vec<Mistake>);

/// What `callweave check` tells.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What holds, for people.
    pub right: Vec<String>,
    pub wrong: Vec<Mistake>,
    /// What a role finds wrong with what is its own, in its words.
    pub beside: Vec<String>,
    /// What can be used, and is hardly meant.
    pub doubtful: Vec<Mistake>,
}

impl Mistake {
    pub(super) fn new(origin: Origin, member: &str, what: String, mend: &str) -> Mistake {
        Mistake { origin, member: member.to_owned(), what, mend: mend.to_owned() }
    }

    /// From a sentence whose last part, after a semicolon, is how to mend it.
    pub(super) fn said(origin: Origin, member: &str, text: &str) -> Mistake {
        let (what, mend) = text.rsplit_once("; ").unwrap_or((text, ""));
        Mistake::new(origin, member, what.to_owned(), mend)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.member.is_empty() {
            write!(f, "{}: ", self.member)?;
        }
        write!(f, "{}", self.what)?;
        if self.mend.is_empty() { Ok(()) } else { write!(f, "; {}", self.mend) }
    }
}

impl Report {
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty() && self.beside.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.right.iter().try_for_each(|line| writeln!(f, "ok     {line}"))?;
        self.doubtful.iter().try_for_each(|doubt| writeln!(f, "warn   {doubt}"))?;
        self.wrong.iter().try_for_each(|mistake| writeln!(f, "wrong  {mistake}"))?;
        self.beside.iter().try_for_each(|mistake| writeln!(f, "wrong  {mistake}"))?;
        match self.wrong.len() + self.beside.len() {
            0 => writeln!(f, "The configuration is right."),
            count => writeln!(f, "The configuration has {}.", counted(count)),
        }
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("  {mistake}")).collect::<Vec<_>>().join("\n")
}

/// The configuration, from file, variables ([`super::environment`]) and flags. Opens no port and makes no file.
///
/// # Errors
/// With every mistake there is.
pub fn load(flags: &Flags, variables: &[(String, String)]) -> Result<Config, Mistakes> {
    let Read { mut config, wrong, entries, .. } = read(flags, variables);
    config.doubtful = doubts(&config, &entries).iter().map(Mistake::to_string).collect();
    if wrong.is_empty() { Ok(config) } else { Err(Mistakes(wrong)) }
}

/// The same, told: what holds and what is wrong, also what only whoever starts would find. `look_over` tells what roles find wrong
/// with what is their own.
pub fn check(flags: &Flags, variables: &[(String, String)], look_over: fn(&Config) -> Vec<String>) -> Report {
    let Read { config, mut wrong, strange, entries, file } = read(flags, variables);
    wrong.extend(refused(&config, &entries));
    let mut right = vec![match &file {
        Some(path) => format!("file {}", path.display()),
        None => "no file: variables, flags and defaults".to_owned(),
    }];
    if wrong.is_empty() {
        right.extend(told(&config));
    }
    let doubtful = strange.into_iter().chain(doubts(&config, &entries)).collect();
    Report { right, wrong, beside: look_over(&config), doubtful }
}

/// Where a member was said.
fn origin_of(member: &str, entries: &Entries) -> Origin {
    entries.get(member).map_or(Origin::Default, |entry| entry.origin.clone())
}

/// What `up` does not start with, though each member can be used, and other commands may.
fn refused(config: &Config, entries: &Entries) -> Vec<Mistake> {
    let mut refused = Vec::new();
    let mut wrong = |member: &str, what: &str| refused.push(Mistake::said(origin_of(member, entries), member, what));
    if config.accounts.is_empty() && !config.listen.collect.ip().is_loopback() {
        wrong("listen.collect", &FirstRunError::Open(config.listen.collect).to_string());
    }
    let Listen { collect, admin, postgres, flight, .. } = config.listen;
    let mut taken = vec![("listen.collect", collect), ("listen.admin", admin)];
    for (member, door) in [("listen.postgres", postgres), ("listen.flight", flight)] {
        let Door::At(address) = door else { continue };
        let meets = |other: SocketAddr| {
            let is_any = other.ip().is_unspecified() || address.ip().is_unspecified();
            other.port() == address.port() && address.port() != 0 && (is_any || other.ip() == address.ip())
        };
        if let Some((other, _)) = taken.iter().find(|(_, other)| meets(*other)) {
            wrong(member, &format!("{address} is the address of {other}, too; give another port"));
        }
        taken.push((member, address));
    }
    match (&config.query.tls_certificate, &config.query.tls_key) {
        (Some(_), None) => {
            wrong("query.tls_certificate", "has no key; give query.tls_key, or take the certificate out")
        }
        (None, Some(_)) => {
            wrong("query.tls_key", "has no certificate; give query.tls_certificate, or take the key out")
        }
        _ => {}
    }
    let lake = config.lake();
    for (member, path) in [("data", config.data.as_path()), ("lake", Path::new(lake.trim_start_matches("file://")))] {
        // Whoever makes a folder needs every folder above it.
        if let Some(file) = path.ancestors().find(|it| it.exists()).filter(|it| !it.is_dir()) {
            wrong(member, &format!("{} is a file, not a folder; give another folder", file.display()));
        }
    }
    refused
}

fn doubts(config: &Config, entries: &Entries) -> Vec<Mistake> {
    let mut doubts = Vec::new();
    let origin = |member: &str| origin_of(member, entries);
    for account in config.accounts.values() {
        let Some(settings) = &account.settings else { continue };
        let member = format!("accounts.{}.settings", account.name);
        let told = settings.warnings();
        doubts.extend(told.iter().map(|doubt| Mistake::said(origin(&member), &member, &doubt.to_string())));
        if let Some(entry) = entries.get(&member) {
            let given = Given { value: &entry.value, origin: &entry.origin };
            let strange = accounts::strange_members(&given, settings).into_iter();
            doubts.extend(strange.map(|(name, known)| strange_member(&entry.origin, &member, &name, known)));
        }
        let is_by_place = |route: &Route| route.country.is_some() || route.region.is_some() || route.city.is_some();
        if config.places.is_none() && settings.routes.iter().any(is_by_place) {
            let what = "has routes by country, region or city, and none is ever known; name a database with places";
            doubts.push(Mistake::said(origin(&member), &member, what));
        }
        let Some(age) = config.retention.log_age else { continue };
        for pool in &settings.pools {
            let minutes = pool.hold_minutes + pool.cooldown_minutes;
            if age.as_secs_f64() < minutes * 60.0 {
                let days = (minutes / (24.0 * 60.0)).ceil();
                let what = format!(
                    "is shorter than a number of pool {:?} of account {} is held and rests, {minutes} minutes: it would \
                     go to another visitor too early; give {days} days or more",
                    pool.name, account.name
                );
                doubts.push(Mistake::said(origin("retention.log_days"), "retention.log_days", &what));
            }
        }
    }
    doubts
}

/// What was read of a configuration.
struct Read {
    config: Config,
    wrong: Vec<Mistake>,
    /// Variables that bear our prefix and name nothing like a member.
    strange: Vec<Mistake>,
    entries: Entries,
    file: Option<PathBuf>,
}

fn told(config: &Config) -> Vec<String> {
    let mut told = vec![
        format!("data in {}", config.data.display()),
        match &config.nats {
            Some(nats) => format!("log on NATS at {}", nats.url),
            None => "log embedded in the data folder".to_owned(),
        },
        format!("lake at {}", config.lake()),
        format!("events at http://{}, metrics and health at http://{}", config.listen.collect, config.listen.admin),
    ];
    if let Some(places) = &config.places {
        told.push(format!("places from {}", places.display()));
    }
    for account in config.accounts.values() {
        let settings = if account.settings.is_some() { "settings given" } else { "settings as the log has them" };
        told.push(format!("account {}: {} keys, {settings}", account.name, account.keys.len()));
    }
    if config.accounts.is_empty() {
        told.push(format!(
            "no account: a run on this machine's own address makes {DEFAULT_ACCOUNT:?} with a key of its own"
        ));
    }
    told
}

fn read(flags: &Flags, variables: &[(String, String)]) -> Read {
    let (mut entries, mut mistakes) = (Entries::new(), Vec::new());
    let file = entries::read_file(flags, variables, &mut entries, &mut mistakes);
    entries::read_variables(variables, &mut entries);
    entries::read_flags(flags, &mut entries);
    drop_replaced_secrets(&mut entries);

    let mut config = Config::default();
    let mut strange = Vec::new();
    for (name, entry) in &entries {
        let given = Given { value: &entry.value, origin: &entry.origin };
        match members::find(name) {
            Some(member) => {
                if let Err(what) = (member.set)(&mut config, &given) {
                    mistakes.push(Mistake::said(entry.origin.clone(), name, &what));
                }
            }
            None if is_account_member(name) => {}
            None => match (nearest(name, &entry.origin), &entry.origin) {
                // Whoever starts the program keeps things there, too: a script that has its path in CALLWEAVE_BIN.
                (None, Origin::Variable(_)) => strange.push(left_alone(name, &entry.origin)),
                (nearest, origin) => mistakes.push(unknown(name, nearest, origin)),
            },
        }
    }
    config.accounts = accounts::read(&entries, &mut mistakes);
    config.telephony = telephony::read(&entries, &mut mistakes);
    telephony::together(&config, &entries, &mut mistakes);
    together(&config, &entries, &mut mistakes);
    mistakes.sort_by_key(|mistake| match &mistake.origin {
        Origin::File { line, .. } => (0, *line),
        Origin::Variable(_) => (1, 0),
        Origin::Flag(_) | Origin::Default => (2, 0),
    });
    Read { config, wrong: mistakes, strange, entries, file }
}

/// A secret and the file that holds it are one thing: a variable that gives one of them replaces the other of the file.
fn drop_replaced_secrets(entries: &mut Entries) {
    let twin = |name: &str| {
        let plain = name.strip_suffix("_file").unwrap_or(name);
        let of_account = || plain.strip_prefix("accounts.").and_then(|rest| rest.rsplit_once('.'));
        let is_secret = matches!(plain, "nats.password" | "nats.token")
            || of_account().is_some_and(|(_, member)| telephony::is_secret(member));
        let twin = if plain == name { format!("{name}_file") } else { plain.to_owned() };
        is_secret.then_some(twin)
    };
    let of_variables = entries.iter().filter(|(_, entry)| matches!(entry.origin, Origin::Variable(_)));
    let replaced: Vec<String> = of_variables.filter_map(|(name, _)| twin(name)).collect();
    for name in replaced {
        if entries.get(&name).is_some_and(|entry| matches!(entry.origin, Origin::File { .. })) {
            entries.remove(&name);
        }
    }
}

fn is_account_member(name: &str) -> bool {
    let member = name.strip_prefix("accounts.").and_then(|rest| rest.rsplit_once('.')).map(|(_, member)| member);
    member.is_some_and(|member| ACCOUNT_MEMBERS.iter().any(|(known, ..)| *known == member))
}

/// What only shows when members are seen together.
fn together(config: &Config, entries: &Entries, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |member: &str, what: &str| mistakes.push(Mistake::said(origin_of(member, entries), member, what));
    for (plain, file) in [("nats.password", "nats.password_file"), ("nats.token", "nats.token_file")] {
        if entries.contains_key(plain) && entries.contains_key(file) {
            wrong(plain, &format!("stands beside {file}; keep one of them"));
        }
    }
    if let Some(nats) = &config.nats {
        if !entries.contains_key("nats.url") {
            let first = entries.keys().find(|name| name.starts_with("nats.")).cloned().unwrap_or_default();
            wrong(&first, "has no server to be used with; give nats.url");
        }
        if nats.user.is_some() && nats.password.is_none() {
            wrong("nats.user", "has no password; give nats.password_file");
        }
        if nats.user.is_none() && nats.password.is_some() {
            let member = if entries.contains_key("nats.password") { "nats.password" } else { "nats.password_file" };
            wrong(member, "has no user; give nats.user");
        }
        let ways = [nats.credentials_file.is_some(), nats.user.is_some(), nats.token.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            wrong("nats.url", "has several ways to log in; keep one of credentials_file, user and token");
        }
    }
    if config.limits.memory_bytes < config.limits.body_bytes.saturating_mul(2) {
        let what = "holds fewer than two bodies of limits.body_bytes, packed and unpacked; raise it, or lower that";
        wrong(
            if entries.contains_key("limits.memory_bytes") { "limits.memory_bytes" } else { "limits.body_bytes" },
            what,
        );
    }
}

/// The member that was likely meant.
fn nearest(name: &str, origin: &Origin) -> Option<String> {
    let is_variable = matches!(origin, Origin::Variable(_));
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let near = |known: String| {
        // A member that was put into the wrong table, or into none. In the environment, `user` or `url` may be anybody's.
        let moved = last(&known) == last(name) && (!is_variable || name.contains(['.', '_']));
        let distance = if moved { 0 } else { edits(name, &known) };
        let most = if is_variable { (known.len() / 4).max(1) } else { edits_most(&known) };
        (distance <= most).then_some((distance, known))
    };
    let short = SHORT.iter().map(|(short, _)| (*short).to_owned()).filter(|_| !name.contains('.'));
    candidates(name).chain(short).filter_map(near).min().map(|(_, known)| known)
}

fn unknown(name: &str, nearest: Option<String>, origin: &Origin) -> Mistake {
    let mend = match (nearest, origin) {
        (Some(known), Origin::Variable(_)) => {
            format!("did you mean {PREFIX}{}?", known.to_ascii_uppercase().replace('.', "__"))
        }
        (Some(known), _) => format!("did you mean {known}?"),
        (None, _) => "take it out; docs/configuration.md has all members".to_owned(),
    };
    Mistake::new(origin.clone(), name, "there is no such member".to_owned(), &mend)
}

fn strange_member(origin: &Origin, member: &str, name: &str, known: Vec<String>) -> Mistake {
    let last = name.rsplit('.').next().unwrap_or(name);
    let near = known.into_iter().map(|known| (edits(last, &known), known)).min();
    let mend = match near {
        Some((distance, known)) if distance <= edits_most(&known) => format!("did you mean {known}?"),
        _ => "`callweave schema account_settings` has all members".to_owned(),
    };
    Mistake::new(origin.clone(), member, format!("{name}: there is no such member"), &mend)
}

fn left_alone(name: &str, origin: &Origin) -> Mistake {
    Mistake::new(origin.clone(), name, "there is no such member".to_owned(), "it is left alone")
}

/// Names that may have been meant: members in full, and within an account its own.
fn candidates(name: &str) -> impl Iterator<Item = String> {
    let account = name.strip_prefix("accounts.").and_then(|rest| rest.split('.').next()).unwrap_or("NAME");
    let of_account = ACCOUNT_MEMBERS.iter().map(move |(member, ..)| format!("accounts.{account}.{member}"));
    MEMBERS.iter().map(|member| member.name.to_owned()).chain(of_account)
}

/// So many letters may be wrong in what was likely meant.
fn edits_most(known: &str) -> usize {
    1 + known.len() / 4
}

/// Edit distance, in which two letters that changed places count once. What is longer than any name counts up to there.
fn edits(a: &str, b: &str) -> usize {
    let short = |text: &str| text.chars().take(128).collect::<String>();
    strsim::osa_distance(&short(a), &short(b))
}
