//! What was forgotten and of which a row stands: one name has one row that counts. What is told of such a call later is of no use, since what
//! was known of it is gone; a session or a lease may go on under its name, and its row stays as it is.

use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::account::Account;
use super::seen::AsItIs;
use super::session::Written;
use crate::event::{Body, Call, CallRecord};
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
        self.now.insert(xxh3_64(name.as_bytes()));
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

    /// What a thing that begins under this name has written.
    pub fn written(&self, name: &str) -> Option<Written> {
        self.knows(name).then(Written::closed)
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Forgotten {
    pub calls: Names,
    /// Those that a browser named.
    pub sessions: Names,
    pub leases: Names,
}

impl Account {
    /// Whether this tells of a call that was forgotten.
    pub fn is_of_forgotten_call(&self, body: &Body<'_>) -> bool {
        let (Body::Call(Call { call_id, .. }) | Body::CallRecord(CallRecord { call_id, .. })) = body else {
            return false;
        };
        self.forgotten.calls.knows(call_id) && self.find_call(call_id).is_none()
    }
}
