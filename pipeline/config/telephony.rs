//! Telephone systems of the accounts: what providers sign with, and what is followed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use callweave_core::telephony::asterisk::Layout;
use callweave_core::telephony::is_public_key;
use callweave_core::telephony::threecx::{self, ThreeCx};
use serde::Deserialize;
use serde_json::Value;

use super::check::Mistake;
use super::entries::{Entries, Entry, Origin};
use super::given::{Given, kind};
use super::{Config, Secret};

/// Members that hold a secret, or stand for a file that does with `_file` behind.
const SECRETS: &[&str] = &[
    "twilio_auth_token",
    "signalwire_token",
    "telnyx_public_key",
    "plivo_auth_token",
    "vonage_signature_secret",
    "bandwidth_credentials",
    "freeswitch_credentials",
];
/// Those of them that sign the URL they were told, and so need `public_url`.
const SIGN_URLS: &[&str] = &["twilio_auth_token", "signalwire_token", "plivo_auth_token"];
/// Systems that one account follows.
const FOLLOWED_MAX: usize = 64;

/// The telephone systems of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Telephony {
    /// Without a slash at the end; absent: Twilio's own.
    pub twilio_api_url: Option<String>,
    /// By the member's name.
    secrets: BTreeMap<&'static str, Secret>,
    pub follow: Vec<Follow>,
}

/// A telephone system that is read from, not one that posts.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// Unique in the account: its events' source is `SYSTEM/NAME`, and what was read is remembered under it.
    pub name: String,
    /// IANA zone of times without one.
    pub timezone: String,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// Asterisk's call records (`Master.csv`), as it writes them.
    AsteriskCdr { file: PathBuf, columns: Option<String> },
    /// Asterisk's channel events (CEL), as it writes them.
    AsteriskCel { file: PathBuf, columns: Option<String> },
    /// Asterisk's manager interface.
    Ami { address: String, user: String, secret: Secret },
    /// 3CX, which connects and sends a line a call.
    ThreeCx { listen: SocketAddr, allow: Vec<IpAddr>, columns: String },
}

impl How {
    /// As `format` names it.
    pub fn format(&self) -> &'static str {
        match self {
            How::AsteriskCdr { .. } => "asterisk",
            How::AsteriskCel { .. } => "asterisk-cel",
            How::Ami { .. } => "ami",
            How::ThreeCx { .. } => "3cx",
        }
    }
}

impl Telephony {
    /// What the member of this name holds.
    pub fn secret(&self, member: &str) -> Option<&Secret> {
        self.secrets.get(member)
    }

    pub fn with_secret(mut self, member: &'static str, secret: Secret) -> Telephony {
        self.secrets.insert(member, secret);
        self
    }
}

/// Takes what was said of telephone systems.
pub fn read(entries: &Entries, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Telephony> {
    let mut all: BTreeMap<String, Telephony> = BTreeMap::new();
    for (path, entry) in entries {
        let Some((name, member)) = path.strip_prefix("accounts.").and_then(|rest| rest.rsplit_once('.')) else {
            continue;
        };
        let telephony = all.entry(name.to_owned()).or_default();
        if let Err(whats) = put(telephony, member, entry) {
            mistakes.extend(whats.iter().map(|what| Mistake::said(entry.origin.clone(), path, what)));
        }
        if let Some(plain) = path.strip_suffix("_file").filter(|_| is_secret_file(member))
            && entries.contains_key(plain)
        {
            let what = format!("stands beside {path}; keep one of them");
            mistakes.push(Mistake::said(entry.origin.clone(), plain, &what));
        }
    }
    all
}

fn is_secret_file(member: &str) -> bool {
    member.strip_suffix("_file").is_some_and(is_secret)
}

/// Whether the member of an account holds a secret.
pub fn is_secret(member: &str) -> bool {
    SECRETS.contains(&member)
}

fn put(telephony: &mut Telephony, member: &str, entry: &Entry) -> Result<(), Vec<String>> {
    let given = Given { value: &entry.value, origin: &entry.origin };
    let one = |what: String| vec![what];
    match member {
        "twilio_api_url" => telephony.twilio_api_url = Some(given.base_url().map_err(one)?),
        "follow" => telephony.follow = follows(&given)?,
        _ => {
            let plain = member.strip_suffix("_file").unwrap_or(member);
            let Some(name) = SECRETS.iter().find(|name| **name == plain) else { return Ok(()) };
            let secret = match plain == member {
                true => given.text().map(Secret::new),
                false => given.secret_file(),
            };
            let secret = secret.map_err(one)?;
            if plain.ends_with("_credentials") && !secret.reveal().contains(':') {
                return Err(one("has no colon; write it like USER:PASSWORD".to_owned()));
            }
            if plain.ends_with("_public_key") && !is_public_key(secret.reveal()) {
                return Err(one("is no public key; give the 32 bytes in base64 that the provider shows".to_owned()));
            }
            telephony.secrets.insert(name, secret);
        }
    }
    Ok(())
}

/// What only shows when members are seen together.
pub fn together(config: &Config, entries: &Entries, mistakes: &mut Vec<Mistake>) {
    if config.public_url.is_some() {
        return;
    }
    for (name, telephony) in &config.telephony {
        for secret in SIGN_URLS.iter().filter(|secret| telephony.secret(secret).is_some()) {
            let what =
                "needs to know the address that the provider was told, for that is what it signs; give public_url";
            let member = format!("accounts.{name}.{secret}");
            let file = format!("{member}_file");
            let (member, entry) = match entries.get(&member) {
                Some(entry) => (member, Some(entry)),
                None => (file.clone(), entries.get(&file)),
            };
            let origin = entry.map_or(Origin::Default, |entry| entry.origin.clone());
            mistakes.push(Mistake::said(origin, &member, what));
        }
    }
}

/// One table of `follow`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    format: String,
    file: Option<String>,
    columns: Option<String>,
    timezone: Option<String>,
    connect: Option<String>,
    user: Option<String>,
    secret: Option<String>,
    secret_file: Option<String>,
    listen: Option<String>,
    #[serde(default)]
    allow: Vec<IpAddr>,
}

fn follows(given: &Given<'_>) -> Result<Vec<Follow>, Vec<String>> {
    let Value::Array(items) = given.value else {
        return Err(vec![format!("is {}; give tables under [[accounts.NAME.follow]]", kind(given.value))]);
    };
    if items.len() > FOLLOWED_MAX {
        return Err(vec![format!("has {} tables; give at most {FOLLOWED_MAX}", items.len())]);
    }
    let (mut follows, mut wrong): (Vec<Follow>, Vec<String>) = (Vec::new(), Vec::new());
    for (place, item) in items.iter().enumerate() {
        let read = serde_json::from_value::<Written>(item.clone())
            .map_err(|error| format!("{error}; see docs/telephony.md"))
            .and_then(|written| written.checked(given.origin));
        match read {
            Ok(follow) if follows.iter().any(|other| other.name == follow.name) => {
                wrong.push(format!("table {} has the name {:?} of another; give each its own", place + 1, follow.name));
            }
            Ok(follow) => follows.push(follow),
            Err(what) => wrong.push(format!("table {} {what}", place + 1)),
        }
    }
    if wrong.is_empty() { Ok(follows) } else { Err(wrong) }
}

impl Written {
    fn checked(self, origin: &Origin) -> Result<Follow, String> {
        let name = self.name.clone().unwrap_or_else(|| self.format.clone());
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) || name.starts_with('.') {
            return Err(format!("has the name {name:?}; give 1 to 64 letters, digits and - _ ."));
        }
        let timezone = self.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        if timezone.parse::<chrono_tz::Tz>().is_err() {
            return Err(format!("has the time zone {timezone:?}; give an IANA name such as Europe/Berlin"));
        }
        let how = self.how(origin)?;
        Ok(Follow { name, timezone, how })
    }

    fn how(self, origin: &Origin) -> Result<How, String> {
        let needs = |member: &str| format!("has no {member}; give it, see docs/telephony.md");
        let file = || {
            let file = self.file.as_deref().ok_or_else(|| needs("file"))?;
            Ok::<_, String>(origin.base().join(file))
        };
        match self.format.as_str() {
            "asterisk" => {
                if let Some(Err(error)) = self.columns.as_deref().map(Layout::parse) {
                    return Err(error.to_string());
                }
                Ok(How::AsteriskCdr { file: file()?, columns: self.columns })
            }
            "asterisk-cel" => Ok(How::AsteriskCel { file: file()?, columns: self.columns }),
            "ami" => {
                let secret = match (&self.secret, &self.secret_file) {
                    (Some(secret), None) => Secret::new(secret.as_str()),
                    (None, Some(path)) => Given { value: &Value::String(path.clone()), origin }.secret_file()?,
                    (Some(_), Some(_)) => return Err("has both secret and secret_file; keep one of them".to_owned()),
                    (None, None) => return Err(needs("secret_file")),
                };
                let user = self.user.ok_or_else(|| needs("user"))?;
                // Both stand in a line each of what is sent.
                if [user.as_str(), secret.reveal()].iter().any(|text| text.contains(char::is_control)) {
                    return Err("has a user or secret with control characters; take them out".to_owned());
                }
                let address = self.connect.ok_or_else(|| needs("connect"))?;
                if address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                    return Err(format!("connects to {address:?}; write it like pbx.example.com:5038"));
                }
                Ok(How::Ami { address, user, secret })
            }
            "3cx" => {
                let listen = Value::String(self.listen.ok_or_else(|| needs("listen"))?);
                let listen = Given { value: &listen, origin }.address()?;
                if self.allow.is_empty() {
                    return Err("lets nobody connect; give allow, the addresses of the telephone system".to_owned());
                }
                let columns = self.columns.unwrap_or_else(|| threecx::STANDARD.to_owned());
                ThreeCx::new(String::new(), &columns, chrono_tz::Tz::UTC).map_err(|error| error.to_string())?;
                Ok(How::ThreeCx { listen, allow: self.allow, columns })
            }
            other => Err(format!("has the format {other:?}; give asterisk, asterisk-cel, ami or 3cx")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(member: &str, value: Value) -> Result<Telephony, Vec<String>> {
        let mut telephony = Telephony::default();
        let entry = Entry { origin: Origin::Default, value };
        put(&mut telephony, member, &entry).map(|()| telephony)
    }

    #[test]
    fn secrets_are_taken_and_checked() {
        let told = check("twilio_auth_token", json!("hush")).expect("a token");
        assert_eq!(told.secret("twilio_auth_token").map(Secret::reveal), Some("hush"));
        assert!(check("freeswitch_credentials", json!("user")).is_err());
        assert!(check("freeswitch_credentials", json!("user:password")).is_ok());
        assert!(check("twilio_api_url", json!("ftp://x")).is_err());
    }

    #[test]
    fn what_is_followed_is_checked_whole() {
        let good = json!([
            {"format": "asterisk", "file": "/var/log/asterisk/cdr-csv/Master.csv", "timezone": "Europe/Berlin"},
            {"format": "ami", "name": "pbx", "connect": "10.0.0.5:5038", "user": "callweave", "secret": "x"},
            {"format": "3cx", "listen": "0.0.0.0:5015", "allow": ["10.0.0.6"], "columns": "historyid,callid,time-start,time-end,from-no,to-no"},
        ]);
        let follow = check("follow", good).expect("three systems").follow;
        assert_eq!(follow.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["asterisk", "pbx", "3cx"]);
        let bad = json!([
            {"format": "asterisk"},
            {"format": "fax", "file": "x"},
            {"format": "ami", "connect": "pbx", "user": "u", "secret": "s"},
            {"format": "3cx", "listen": "127.0.0.1:1", "columns": "a"},
            {"format": "asterisk", "file": "x", "timezone": "Nowhere"},
            {"format": "asterisk", "file": "x", "fle": "x"},
            {"format": "asterisk", "file": "x", "name": "../x"},
            {"format": "asterisk", "file": "x"},
            {"format": "asterisk", "file": "y"},
        ]);
        let wrong = check("follow", bad).expect_err("mistakes");
        assert_eq!(wrong.len(), 8, "{wrong:#?}");
    }
}
