//! Secrets, and finding the account that a presented key belongs to.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::Account;

/// Text that is never shown: not in logs, not in errors, not by `Debug`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// Whom a key lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: Arc<str>,
    /// The key's place among all keys: what a limit for each key is kept by.
    pub key: usize,
}

/// All keys of all accounts.
///
/// A key is found by a hash that is keyed at random in each process, and then compared in constant time: neither step
/// tells by its duration how much of a guess was right.
pub struct Keys {
    hasher: RandomState,
    by_hash: HashMap<u64, Vec<(Secret, Caller)>>,
    count: usize,
}

impl Keys {
    pub fn of<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Keys {
        let mut keys = Keys { hasher: RandomState::new(), by_hash: HashMap::new(), count: 0 };
        for account in accounts {
            let name: Arc<str> = account.name.as_str().into();
            for secret in &account.keys {
                let caller = Caller { account: name.clone(), key: keys.count };
                let hash = keys.hasher.hash_one(secret.reveal());
                keys.by_hash.entry(hash).or_default().push((secret.clone(), caller));
                keys.count += 1;
            }
        }
        keys
    }

    /// How many there are; [`Caller::key`] is below it.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn find(&self, presented: &str) -> Option<&Caller> {
        let candidates = self.by_hash.get(&self.hasher.hash_one(presented))?;
        candidates
            .iter()
            .find(|(secret, _)| secret.reveal().as_bytes().ct_eq(presented.as_bytes()).into())
            .map(|(_, caller)| caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_account_and_nothing_else_does() {
        let account = |name: &str, keys: &[&str]| Account {
            name: name.to_owned(),
            keys: keys.iter().copied().map(Secret::new).collect(),
            settings: None,
            logins: Vec::new(),
        };
        let keys = Keys::of(&[account("acme", &["first-key-of-acme", "other-key-of-acme"]), account("beta", &["k"])]);
        let table = [
            ("first-key-of-acme", Some(("acme", 0))),
            ("other-key-of-acme", Some(("acme", 1))),
            ("k", Some(("beta", 2))),
            ("first-key-of-acm", None),
            ("first-key-of-acme ", None),
            ("", None),
        ];
        for (presented, expected) in table {
            let found = keys.find(presented).map(|caller| (&*caller.account, caller.key));
            assert_eq!(found, expected, "{presented:?}");
        }
        assert_eq!(keys.count(), 3);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hush"))), "Some((secret))");
    }
}
