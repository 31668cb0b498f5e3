//! What was forgotten and of which a row stands: one name has one row that counts. What is told of such a call later is of no use, since what
//! was known of it is gone; a session or a lease may go on under its name, and its row stays as it is.

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::account::Account;
use super::seen::AsItIs;
use super::{Effects, Verdict};
use crate::event::{Body, Call, CallRecord, Event};
use crate::limits::FORGOTTEN_KEPT;

type Hashes = HashSet<u64, std::hash::BuildHasherDefault<AsItIs>>;

/// Two generations of names' hashes: when the newer is full, the older goes.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Names {
    now: Hashes,
    before: Hashes,
}

impl Names {
    pub fn note(&mut self, name: &str) {
        self.note_hash(xxh3_64(name.as_bytes()));
    }

    /// As [`note`](Names::note), by the name's XXH3.
    pub fn note_hash(&mut self, hash: u64) {
        self.now.insert(hash);
        if self.now.len() >= FORGOTTEN_KEPT {
            self.before = std::mem::take(&mut self.now);
        }
    }

    pub fn knows(&self, name: &str) -> bool {
        if self.now.is_empty() && self.before.is_empty() {
            return false;
        }
        let hash = xxh3_64(name.as_bytes());
        self.now.contains(&hash) || self.before.contains(&hash)
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Forgotten {
    pub calls: Names,
    pub sessions: Names,
    pub leases: Names,
}

impl Account {
    /// What tells of a forgotten call is rejected, and kept as it came; unless it names somebody erased: that is kept nowhere.
    pub fn of_forgotten(&mut self, event: &Event<'_>, call: &str, out: &mut Effects) -> Verdict {
        if self.nobody(event).is_none() {
            return Verdict::Forgotten;
        }
        self.note_nameless_call(call, event.time, out);
        Verdict::Erased
    }

    /// The call that this tells of, if it was forgotten.
    pub fn forgotten_call<'e>(&self, body: &'e Body<'_>) -> Option<&'e str> {
        let (Body::Call(Call { call_id, .. }) | Body::CallRecord(CallRecord { call_id, .. })) = body else {
            return None;
        };
        let is_forgotten = self.forgotten.calls.knows(call_id) && self.find_call(call_id).is_none();
        is_forgotten.then_some(call_id)
    }
}
