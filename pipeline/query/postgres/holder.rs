//! Whose a connection is: a stranger's until a password was proven, and then one login's of one account until it ends.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use tokio_util::sync::CancellationToken;

use super::errors;
use crate::query::logins::{Entry, Reader, lock};

/// Open connections of one login: several pools beside each other, and a tenth of all that there are places for.
pub(super) const OF_LOGIN_MAX: usize = 100;
/// Connections of one address, be it this machine's own, that have not logged in yet. A login takes some milliseconds.
pub(super) const STRANGERS_MAX: usize = 50;

/// The account and the name.
pub(super) type LoginKey = (Arc<str>, String);

/// How many connections are open, by what they are counted by.
pub(super) struct Counts<K> {
    open: Mutex<HashMap<K, usize>>,
    max: usize,
}

/// One of them, for as long as this is there.
pub(super) struct Counted<K: Hash + Eq> {
    among: Arc<Counts<K>>,
    by: K,
}

impl<K: Hash + Eq + Clone> Counts<K> {
    /// `max` is at least 1.
    pub fn new(max: usize) -> Arc<Counts<K>> {
        Arc::new(Counts { open: Mutex::default(), max })
    }

    /// One more; nothing where as many as may be are open.
    pub fn one(self: &Arc<Self>, by: K) -> Option<Counted<K>> {
        let mut open = lock(&self.open);
        let count = open.entry(by.clone()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Counted { among: Arc::clone(self), by })
    }
}

impl<K: Hash + Eq> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut open = lock(&self.among.open);
        if let Some(count) = open.get_mut(&self.by) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.by);
            }
        }
    }
}

/// What strangers are counted by: an address, and of IPv6 its first 64 bits, since whoever has one of those has all behind them.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

/// For the one beyond [`STRANGERS_MAX`].
pub(super) fn too_many_strangers() -> PgWireError {
    let message = format!(
        "{STRANGERS_MAX} connections of this address have not logged in yet, and more are not taken: let them log in or close them, and connect again"
    );
    errors::fatal(errors::BUSY, message)
}

/// For the one beyond [`OF_LOGIN_MAX`].
fn too_many_of_login() -> PgWireError {
    let message = format!(
        "{OF_LOGIN_MAX} connections of this login are open, and no login may have more: close some, make the client's pool smaller, or use another login"
    );
    errors::fatal(errors::BUSY, message)
}

/// For whoever asks without having logged in.
pub(super) fn no_login() -> PgWireError {
    errors::fatal(
        errors::NOT_ALLOWED,
        "nobody has logged in on this connection: connect again with a password".to_owned(),
    )
}

pub(super) struct Holder {
    standing: Mutex<Standing>,
    /// No login came about: nothing more is heard.
    pub refused: CancellationToken,
}

enum Standing {
    Stranger { _place: Counted<IpAddr>, asked: Option<Asked> },
    In { entry: Entry, pid: i32, _place: Counted<LoginKey> },
}

/// Whose password was asked for.
struct Asked {
    /// What wrong ones are counted by.
    name: String,
    /// Nothing: of a name that nobody has.
    reader: Option<Arc<Reader>>,
}

/// What is left to do of a connection that ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// It can be cancelled by this number no more.
    Number(i32),
    /// No right password came for this name.
    Wrong(String),
}

impl Holder {
    pub fn new(place: Counted<IpAddr>) -> Arc<Holder> {
        let standing = Mutex::new(Standing::Stranger { _place: place, asked: None });
        Arc::new(Holder { standing, refused: CancellationToken::new() })
    }

    /// A password is asked for: the one that fits this reader's verifier.
    pub fn ask(&self, name: String, reader: Option<Arc<Reader>>) {
        if let Standing::Stranger { asked, .. } = &mut *lock(&self.standing) {
            *asked = Some(Asked { name, reader });
        }
    }

    /// It was right: from now on the connection is that login's, and can be cancelled by the number `pid`.
    ///
    /// # Errors
    /// As many as may be of this login are open.
    pub fn enter(&self, logins: &Arc<Counts<LoginKey>>, pid: i32) -> PgWireResult<()> {
        let mut standing = lock(&self.standing);
        let asked = match &mut *standing {
            Standing::Stranger { asked, .. } => asked.take(),
            Standing::In { .. } => None,
        };
        let reader = asked.and_then(|asked| asked.reader).ok_or_else(no_login)?;
        let place = logins.one((Arc::clone(&reader.account), reader.login.name.clone()));
        let place = place.ok_or_else(too_many_of_login)?;
        *standing = Standing::In { entry: reader.entry(), pid, _place: place };
        Ok(())
    }

    /// Who has proven the password; nobody yet.
    pub fn entry(&self) -> Option<Entry> {
        match &*lock(&self.standing) {
            Standing::Stranger { .. } => None,
            Standing::In { entry, .. } => Some(entry.clone()),
        }
    }

    pub fn is_in(&self) -> bool {
        matches!(&*lock(&self.standing), Standing::In { .. })
    }

    pub fn left(&self) -> Left {
        match &mut *lock(&self.standing) {
            Standing::In { pid, .. } => Left::Number(*pid),
            Standing::Stranger { asked, .. } => asked.take().map_or(Left::Nothing, |asked| Left::Wrong(asked.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_apart_and_given_back() {
        let counts = Counts::new(2);
        let first = counts.one("anna");
        let second = counts.one("anna");
        assert!(first.is_some() && second.is_some() && counts.one("anna").is_none());
        assert!(counts.one("bert").is_some(), "of others there are as many");
        drop(first);
        assert!(counts.one("anna").is_some());
        drop(second);
        assert!(lock(&counts.open).is_empty(), "nothing is kept of who is not there");
    }

    #[test]
    fn addresses_of_one_neighbourhood_are_one() {
        let of = |text: &str| text.parse().map(neighbourhood);
        assert_eq!(of("2001:db8::1:2:3:4"), of("2001:db8::4:3:2:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_stranger_is_nobody() {
        let strangers = Counts::new(1);
        let place = strangers.one(IpAddr::V6(Ipv6Addr::LOCALHOST)).expect("a place");
        let holder = Holder::new(place);
        assert!(holder.entry().is_none() && !holder.is_in());
        assert_eq!(holder.left(), Left::Nothing);
        holder.ask("nobody".to_owned(), None);
        assert!(holder.enter(&Counts::new(1), 7).is_err(), "no password fits nobody");
        holder.ask("nobody".to_owned(), None);
        assert_eq!((holder.is_in(), holder.left()), (false, Left::Wrong("nobody".to_owned())));
    }
}
