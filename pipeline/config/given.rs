//! What was given for a member, read as the kind of thing that the member takes. Every error tells how to mend it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::entries::Origin;
use super::values::{GIB, KIB, MIB};
use super::{Door, Network, Secret};

/// What was given for a member.
pub struct Given<'a> {
    pub value: &'a Value,
    pub origin: &'a Origin,
}

impl Given<'_> {
    /// Text that is not empty.
    pub fn text(&self) -> Result<&str, String> {
        match self.value {
            Value::String(text) if text.trim().is_empty() => Err("is empty; give a value or leave it out".to_owned()),
            Value::String(text) => Ok(text.trim()),
            other => Err(format!("is {}; give text in quotes", kind(other))),
        }
    }

    pub fn path(&self) -> Result<PathBuf, String> {
        Ok(self.origin.base().join(self.text()?))
    }

    /// A path of a file that can be read.
    pub fn file(&self) -> Result<PathBuf, String> {
        let path = self.path()?;
        match std::fs::File::open(&path).and_then(|file| file.metadata()) {
            Ok(about) if about.is_file() => Ok(path),
            Ok(_) => Err(format!("{} is not a file; give the path of one", path.display())),
            Err(error) => {
                Err(format!("{} cannot be read: {error}; give a file that this user may read", path.display()))
            }
        }
    }

    /// The text of a small file.
    pub fn file_text(&self) -> Result<String, String> {
        const BYTES_MAX: u64 = 16 * MIB;
        let path = self.file()?;
        let about = std::fs::metadata(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if about.len() > BYTES_MAX {
            return Err(format!("{} has {} bytes; give a file of at most {BYTES_MAX}", path.display(), about.len()));
        }
        std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}; give a text file in UTF-8", path.display()))
    }

    pub fn secret_file(&self) -> Result<Secret, String> {
        match self.file_text()?.trim() {
            "" => Err(format!("{} is empty; put the secret into it", self.path()?.display())),
            secret => Ok(Secret::new(secret)),
        }
    }

    pub fn long_secret_file(&self) -> Result<Secret, String> {
        const CHARACTERS_MIN: usize = 16;
        let secret = self.secret_file()?;
        match secret.reveal().chars().count() {
            count if count < CHARACTERS_MIN => Err(format!(
                "{} holds {count} characters; put at least {CHARACTERS_MIN} into it, such as of `openssl rand -hex 32`",
                self.path()?.display(),
            )),
            _ => Ok(secret),
        }
    }

    /// Addresses of workers, each once.
    pub fn workers(&self) -> Result<Vec<url::Url>, String> {
        let mut workers = Vec::new();
        for text in self.text()?.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let wrong = |what: &str| format!("{text:?} {what}; write it like http://10.0.0.2:8816");
            let url = url::Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
            if url.scheme() != "http" || url.port().is_none() {
                return Err(wrong("is no worker's address"));
            }
            if url.path() != "/" || url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
                return Err(wrong("has more than a host and a port"));
            }
            if !workers.contains(&url) {
                workers.push(url);
            }
        }
        Ok(workers)
    }

    pub fn places(&self) -> Result<PathBuf, String> {
        let path = self.file()?;
        if path.extension().is_some_and(|extension| extension == "mmdb") {
            return Ok(path);
        }
        Err(format!("{} is not a .mmdb file; give a database in MaxMind's format", path.display()))
    }

    pub fn lake(&self) -> Result<String, String> {
        let text = self.text()?;
        match text.split_once("://") {
            None => Ok(self.path()?.to_string_lossy().into_owned()),
            Some(("file", path)) if path.starts_with('/') => Ok(text.to_owned()),
            Some(("file", _)) => Err(format!("{text:?} has no absolute path; write it like file:///srv/lake")),
            Some((scheme, _)) => Err(format!("{scheme}:// cannot be written yet; give a path or a file:// URL")),
        }
    }

    /// Servers of NATS, each read as its client does: what no role could start with is told before.
    pub fn nats_url(&self) -> Result<String, String> {
        let text = self.text()?;
        for server in text.split(',').map(str::trim) {
            let (scheme, host) = server.split_once("://").unwrap_or(("nats", server));
            match scheme {
                "nats" | "tls" => {}
                "ws" | "wss" => {
                    return Err(format!("{scheme}:// is not spoken here; write it like nats://127.0.0.1:4222"));
                }
                _ => return Err(format!("{scheme}:// is not NATS; write it like nats://127.0.0.1:4222")),
            }
            if host.contains('@') {
                return Err("holds a user or token; give nats.user and nats.password_file, or nats.token_file".into());
            }
            let wrong = |what: &str| Err(format!("{server:?} {what}; write it like nats://127.0.0.1:4222"));
            if host.is_empty() || host.contains(char::is_whitespace) {
                return wrong("names no server");
            }
            match url::Url::parse(&format!("{scheme}://{host}")) {
                Ok(url) if url.host_str().is_none_or(str::is_empty) => return wrong("names no server"),
                Ok(url) if url.port() == Some(0) => return wrong("has no port of 1 to 65535"),
                Ok(_) => {}
                Err(error) => return wrong(&format!("is no server's address ({error})")),
            }
        }
        Ok(text.to_owned())
    }

    /// What paths are put behind: without a slash, query or fragment at its end.
    pub fn base_url(&self) -> Result<String, String> {
        let text = self.text()?;
        let wrong = |what: &str| Err(format!("{text:?} {what}; write it like https://calls.example.com"));
        match url::Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "https" | "http") => wrong("is no address of the web"),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => wrong("has more than a path"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => wrong("holds a user"),
            Ok(_) => Ok(text.trim_end_matches('/').to_owned()),
            Err(error) => wrong(&format!("is no URL ({error})")),
        }
    }

    pub fn address(&self) -> Result<SocketAddr, String> {
        let text = self.text()?;
        let wrong = || format!("{text:?} is not an address and a port; write it like 127.0.0.1:8090 or [::]:8090");
        match text.strip_prefix("localhost:") {
            Some(port) => port.parse().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).map_err(|_| wrong()),
            None => text.parse().map_err(|_| wrong()),
        }
    }

    pub fn door(&self) -> Result<Door, String> {
        match self.text()? {
            "off" => Ok(Door::Closed),
            _ => self.address().map(Door::At),
        }
    }

    /// Addresses and networks, from a list or from text with commas.
    pub fn networks(&self) -> Result<Vec<Network>, String> {
        let texts: Vec<&str> = match self.value {
            Value::String(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
            Value::Array(items) => {
                let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                texts.ok_or("holds something else than text; give addresses and networks in quotes")?
            }
            other => return Err(format!("is {}; give a list of addresses and networks", kind(other))),
        };
        let network = |text: &str| {
            text.parse::<Network>()
                .map_err(|error| format!("{text:?} {error}; give an address, or a network such as 10.0.0.0/8"))
        };
        texts.into_iter().map(network).collect()
    }

    pub fn count(&self, min: u64, max: u64) -> Result<u64, String> {
        let number = match self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            Some(number) => Err(format!("{number} is out of range; give {min} to {max}")),
            None => Err(format!("{} is not a whole number; give {min} to {max}", self.value)),
        }
    }

    pub fn seconds(&self, min: u64, max: u64) -> Result<Duration, String> {
        self.count(min, max).map(Duration::from_secs)
    }

    pub fn bytes(&self, min: u64, max: u64) -> Result<u64, String> {
        let number = match self.value {
            Value::String(text) => bytes(text),
            other => other.as_u64(),
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            Some(number) => Err(format!("{number} bytes are out of range; give {min} to {max}")),
            None => Err(format!("{} is not a number of bytes; write it like 16777216 or \"16 MiB\"", self.value)),
        }
    }
}

/// `16777216`, `16 MiB`, `16MB`. Powers of 1024 with an `i`, of 1000 without.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => KIB,
        "mib" => MIB,
        "gib" => GIB,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// What kind of thing a value is, for people.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
