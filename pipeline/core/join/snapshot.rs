//! The state as bytes: versioned, and checked by a hash. What is shared or derived is left out and made again.
//!
//! Layout: the magic `CWSTATE`, one byte of version, 16 bytes of XXH3-128 over the rest (big-endian), then the postcard
//! encodings of [`Stored`], of each account's [`ErasedSessions`], [`ErasedCalls`], [`ErasedPeople`] and [`Forgotten`]; states that were
//! written before there were those end earlier.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::account::{Account, Era};
use super::arena::Arena;
use super::attribution::Learner;
use super::callers::Caller;
use super::calls::CallState;
use super::erase::{ErasedCalls, ErasedSessions};
use super::forgotten::Forgotten;
use super::index::Index;
use super::intern::{Shared, hash_of};
use super::leases::{Lease, Line};
use super::name::Name;
use super::nameless::ErasedPeople;
use super::seen::Seen;
use super::session::Session;
use super::timers::{Thing, Timers};
use super::visitors::Visitor;
use super::{Join, Mode};
use crate::row::Str;
use crate::settings::{Rules, Settings};
use crate::time::Time;

const MAGIC: &[u8; 7] = b"CWSTATE";
/// 8: renewals that a lease let go, for what time a lesson stands. 7: pages count by the age of the last sign of life, rates know how many calls they come of. 6: the session that a call's row
/// names. 5: tags of rules. 4: what was learned, links of callers with weights. 3: what pages told of their visitors. 2: packed
/// sessions and leases, shared values by number, timers left out.
const VERSION: u8 = 8;
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
    shared: &'a Shared,
    visitors: &'a Arena<Visitor>,
    sessions: &'a Arena<Session>,
    leases: &'a Arena<Lease>,
    calls: &'a Arena<CallState>,
    callers: &'a Arena<Caller>,
    lines: &'a Arena<Line>,
    learner: &'a Learner,
}

#[derive(Deserialize)]
struct StoredAccount {
    name: Str,
    watermark: Time,
    eras: Vec<(Time, String)>,
    seen: Seen,
    shared: Shared,
    visitors: Arena<Visitor>,
    sessions: Arena<Session>,
    leases: Arena<Lease>,
    calls: Arena<CallState>,
    callers: Arena<Caller>,
    lines: Arena<Line>,
    learner: Learner,
}

impl Join {
    pub fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        let accounts = self.accounts.iter().map(AccountRef::of).collect::<Result<_, _>>()?;
        let mut bytes = vec![0; HEADER];
        bytes = postcard::to_extend(&StoredRef { mode: self.mode, taken: self.taken, accounts }, bytes)?;
        let erased: Vec<&ErasedSessions> = self.accounts.iter().map(|account| &account.erased).collect();
        bytes = postcard::to_extend(&erased, bytes)?;
        let erased: Vec<&ErasedCalls> = self.accounts.iter().map(|account| &account.erased_calls).collect();
        bytes = postcard::to_extend(&erased, bytes)?;
        let erased: Vec<&ErasedPeople> = self.accounts.iter().map(|account| &account.erased_people).collect();
        bytes = postcard::to_extend(&erased, bytes)?;
        let forgotten: Vec<&Forgotten> = self.accounts.iter().map(|account| &account.forgotten).collect();
        bytes = postcard::to_extend(&forgotten, bytes)?;
        let hash = xxh3_128(&bytes[HEADER..]);
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()] = VERSION;
        bytes[MAGIC.len() + 1..HEADER].copy_from_slice(&hash.to_be_bytes());
        Ok(bytes)
    }

    /// How many of a snapshot's first bytes tell its version.
    pub const VERSION_BYTES: usize = MAGIC.len() + 1;

    /// The version of the snapshot that begins so, unless it begins as none does.
    pub fn version_of(beginning: &[u8]) -> Option<u8> {
        beginning.strip_prefix(MAGIC)?.first().copied()
    }

    /// Whether [`Join::restore`] reads snapshots that begin so, as far as their version goes.
    pub fn is_of_this_version(beginning: &[u8]) -> bool {
        Join::version_of(beginning) == Some(VERSION)
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
        let (stored, rest) = postcard::take_from_bytes::<Stored>(body)?;
        let (sessions, rest) = behind::<Vec<ErasedSessions>>(rest)?;
        let (calls, rest) = behind::<Vec<ErasedCalls>>(rest)?;
        let (people, rest) = behind::<Vec<ErasedPeople>>(rest)?;
        let (forgotten, _) = behind::<Vec<Forgotten>>(rest)?;
        let mut join = Join::new(stored.mode);
        join.taken = stored.taken;
        for (at, account) in stored.accounts.into_iter().enumerate() {
            join.by_name.insert(account.name.clone(), at);
            let mut account = account.restored(join.mode, join.taken)?;
            account.taken = join.taken;
            join.accounts.push(account);
        }
        for (account, erased) in join.accounts.iter_mut().zip(sessions) {
            account.erased = erased;
        }
        for (account, erased) in join.accounts.iter_mut().zip(calls) {
            account.erased_calls = erased;
        }
        for (account, erased) in join.accounts.iter_mut().zip(people) {
            account.erased_people = erased;
        }
        for (account, forgotten) in join.accounts.iter_mut().zip(forgotten) {
            account.forgotten = forgotten;
        }
        Ok(join)
    }
}

/// What stands next, if anything does.
fn behind<'b, T: Default + Deserialize<'b>>(rest: &'b [u8]) -> Result<(T, &'b [u8]), postcard::Error> {
    if rest.is_empty() { Ok((T::default(), rest)) } else { postcard::take_from_bytes(rest) }
}

impl<'a> AccountRef<'a> {
    fn of(account: &'a Account) -> Result<AccountRef<'a>, SnapshotError> {
        let eras = account.eras.iter().map(|era| Ok((era.from, serde_json::to_string(&era.rules.settings())?)));
        Ok(AccountRef {
            name: &account.name,
            watermark: account.watermark,
            eras: eras.collect::<Result<_, serde_json::Error>>()?,
            seen: &account.seen,
            shared: &account.shared,
            visitors: &account.visitors,
            sessions: &account.sessions,
            leases: &account.leases,
            calls: &account.calls,
            callers: &account.callers,
            lines: &account.lines,
            learner: &account.learner,
        })
    }
}

/// The table of those that have a hash.
fn listed<'a, T: 'a>(things: &'a Arena<T>, hash: impl Fn(&T) -> Option<u64>) -> Index {
    let mut index = Index::default();
    for (ix, thing) in things.iter() {
        if let Some(own) = hash(thing) {
            index.list(own, ix, |ix| hash(&things[ix]).unwrap_or(0));
        }
    }
    index
}

/// Each thing keeps its time itself; of those that have none it is not told for what they wait, and a look too many does nothing.
fn timers(account: &StoredAccount, taken: u64) -> Timers {
    let mut timers = Timers::default();
    let sessions = account.sessions.iter().map(|(ix, it)| (it.due, Thing::Session(ix)));
    let leases = account.leases.iter().map(|(ix, it)| (it.due, Thing::Lease(ix)));
    let calls = account.calls.iter().map(|(ix, it)| (it.due, Thing::Call(ix)));
    for (due, thing) in sessions.chain(leases).chain(calls) {
        if due.is_waiting() {
            timers.wait(due, taken, thing);
        } else {
            timers.push(due.at(), thing);
        }
    }
    for (ix, visitor) in account.visitors.iter() {
        visitor.until().into_iter().for_each(|until| timers.push(until, Thing::Visitor(ix)));
    }
    timers
}

impl StoredAccount {
    fn restored(self, mode: Mode, taken: u64) -> Result<Account, SnapshotError> {
        let mut account = Account::new(self.name.clone(), mode);
        account.watermark = self.watermark;
        for (from, settings) in &self.eras {
            let settings: Settings = serde_json::from_str(settings)?;
            account.eras.push(Era { from: *from, rules: Arc::new(Rules::new(settings)) });
        }
        account.timers = timers(&self, taken);
        account.seen = self.seen;
        account.shared = self.shared.listed();
        let of_name = |name: &Name| Some(name.hash());
        account.visitor_ids = listed(&self.visitors, |it| of_name(&it.id));
        account.session_ids =
            listed(&self.sessions, |it| it.given.as_ref().filter(|_| !it.taken_back).and_then(of_name));
        account.lease_ids = listed(&self.leases, |it| of_name(&it.id));
        account.call_ids = listed(&self.calls, |it| of_name(&it.id));
        account.caller_numbers = listed(&self.callers, |it| Some(hash_of(&it.phone())));
        account.line_numbers = listed(&self.lines, |it| Some(hash_of(&it.number)));
        account.visitors = self.visitors;
        account.sessions = self.sessions;
        account.leases = self.leases;
        account.calls = self.calls;
        account.callers = self.callers;
        account.lines = self.lines;
        account.learner = self.learner;
        Ok(account)
    }
}
