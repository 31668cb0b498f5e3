//! The state as bytes: versioned, and checked by a hash. What is shared or derived is left out and made again.
//!
//! Layout: the magic `CWSTATE`, one byte of version, 16 bytes of XXH3-128 over the rest (big-endian), then the postcard
//! encoding of [`Stored`].

use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::account::{Account, Era, Map};
use super::arena::Arena;
use super::callers::Caller;
use super::calls::CallState;
use super::decide::Timers;
use super::intern::{Shared, hash_of};
use super::leases::{Lease, Line};
use super::seen::Seen;
use super::sessions::{Session, Touch, Visitor};
use super::{Join, Mode};
use crate::id::Id;
use crate::phone::Phone;
use crate::row::Str;
use crate::settings::{Rules, Settings};
use crate::time::Time;

const MAGIC: &[u8; 7] = b"CWSTATE";
const VERSION: u8 = 1;
const HEADER: usize = MAGIC.len() + 1 + 16;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("is not a callweave snapshot")]
    NotASnapshot,
    #[error(
        "is of version {0}, and this program reads version {VERSION}: replay the log, or use the program that wrote it"
    )]
    Version(u8),
    #[error("is damaged: its hash does not match")]
    Damaged,
    #[error("cannot be read")]
    Encoding(#[from] postcard::Error),
    #[error("holds settings that cannot be read")]
    Settings(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct StoredRef<'a> {
    mode: Mode,
    taken: u64,
    accounts: Vec<AccountRef<'a>>,
}

#[derive(Deserialize)]
struct Stored {
    mode: Mode,
    taken: u64,
    accounts: Vec<StoredAccount>,
}

#[derive(Serialize)]
struct AccountRef<'a> {
    name: &'a Str,
    watermark: Time,
    /// As JSON: settings grow, and JSON takes that.
    eras: Vec<(Time, String)>,
    seen: &'a Seen,
    timers: &'a Timers,
    visitors: &'a Arena<Visitor>,
    sessions: &'a Arena<Session>,
    leases: &'a Arena<Lease>,
    calls: &'a Arena<CallState>,
    callers: &'a Map<Phone, Caller>,
    lines: &'a Map<Phone, Line>,
}

#[derive(Deserialize)]
struct StoredAccount {
    name: Str,
    watermark: Time,
    eras: Vec<(Time, String)>,
    seen: Seen,
    timers: Timers,
    visitors: Arena<Visitor>,
    sessions: Arena<Session>,
    leases: Arena<Lease>,
    calls: Arena<CallState>,
    callers: Map<Phone, Caller>,
    lines: Map<Phone, Line>,
}

impl Join {
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        let accounts = self.accounts.iter().map(AccountRef::of).collect::<Result<_, _>>()?;
        let mut bytes = vec![0; HEADER];
        bytes = postcard::to_extend(&StoredRef { mode: self.mode, taken: self.taken, accounts }, bytes)?;
        let hash = xxh3_128(&bytes[HEADER..]);
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()] = VERSION;
        bytes[MAGIC.len() + 1..HEADER].copy_from_slice(&hash.to_be_bytes());
        Ok(bytes)
    }

    pub fn restore(bytes: &[u8]) -> Result<Join, SnapshotError> {
        if bytes.len() < HEADER || &bytes[..MAGIC.len()] != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        if bytes[MAGIC.len()] != VERSION {
            return Err(SnapshotError::Version(bytes[MAGIC.len()]));
        }
        let (header, body) = bytes.split_at(HEADER);
        if header[MAGIC.len() + 1..] != xxh3_128(body).to_be_bytes() {
            return Err(SnapshotError::Damaged);
        }
        let stored: Stored = postcard::from_bytes(body)?;
        let mut join = Join::new(stored.mode);
        join.taken = stored.taken;
        for (at, account) in stored.accounts.into_iter().enumerate() {
            join.by_name.insert(account.name.clone(), at);
            let mut account = account.restored()?;
            account.taken = join.taken;
            join.accounts.push(account);
        }
        Ok(join)
    }
}

impl<'a> AccountRef<'a> {
    fn of(account: &'a Account) -> Result<AccountRef<'a>, SnapshotError> {
        let eras = account.eras.iter().map(|era| Ok((era.from, serde_json::to_string(&era.rules.settings())?)));
        Ok(AccountRef {
            name: &account.name,
            watermark: account.watermark,
            eras: eras.collect::<Result<_, serde_json::Error>>()?,
            seen: &account.seen,
            timers: &account.timers,
            visitors: &account.visitors,
            sessions: &account.sessions,
            leases: &account.leases,
            calls: &account.calls,
            callers: &account.callers,
            lines: &account.lines,
        })
    }
}

fn listed<'a, T: 'a>(things: &'a Arena<T>, id: impl Fn(&T) -> Option<&Id>) -> HashTable<u32> {
    let mut table = HashTable::with_capacity(things.len());
    let hash = |ix: &u32| id(&things[*ix]).map_or(0, hash_of);
    for (ix, thing) in things.iter() {
        if id(thing).is_some() {
            table.insert_unique(hash(&ix), ix, hash);
        }
    }
    table
}

impl StoredAccount {
    fn restored(self) -> Result<Account, SnapshotError> {
        let mut account = Account::new(self.name);
        account.watermark = self.watermark;
        for (from, settings) in self.eras {
            let settings: Settings = serde_json::from_str(&settings)?;
            account.eras.push(Era { from, rules: Arc::new(Rules::new(settings)) });
        }
        account.seen = self.seen;
        account.timers = self.timers;
        account.callers = self.callers;
        account.lines = self.lines;
        account.visitor_ids = listed(&self.visitors, |it| Some(&it.id));
        account.session_ids = listed(&self.sessions, |it| it.given.as_ref());
        account.lease_ids = listed(&self.leases, |it| Some(&it.id));
        account.call_ids = listed(&self.calls, |it| Some(&it.id));
        account.visitors = self.visitors;
        account.sessions = self.sessions;
        account.leases = self.leases;
        account.calls = self.calls;
        share_again(&mut account);
        Ok(account)
    }
}

/// Each text and source comes out of a snapshot as a copy of its own: they are shared again.
fn share_again(account: &mut Account) {
    let shared = &mut account.shared;
    for session in account.sessions.values_mut() {
        for page in &mut session.pages {
            page.url = shared.texts.share(page.url.clone());
            if let Some(touch) = &mut page.touch
                && let Some(touch) = Arc::get_mut(touch)
            {
                share_touch(touch, shared);
            }
        }
    }
    for lease in account.leases.values_mut() {
        if let Some(terms) = &mut lease.terms {
            terms.pool = shared.texts.share(terms.pool.clone());
        }
    }
}

fn share_touch(touch: &mut Touch, shared: &mut Shared) {
    touch.source = shared.sources.share(touch.source.clone());
    touch.agent = shared.agents.share(touch.agent.clone());
    touch.place = shared.places.share(touch.place.clone());
    let texts = [&mut touch.referrer, &mut touch.experiment_id, &mut touch.experiment_variant, &mut touch.language];
    for text in texts.into_iter().flatten() {
        *text = shared.texts.share(text.clone());
    }
}
