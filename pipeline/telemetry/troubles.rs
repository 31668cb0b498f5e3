//! What keeps the program from its work just now: whoever tries notes how it went, and `/readyz` tells.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a failure counts where it may be that nobody tries again.
const KEPT: Duration = Duration::from_secs(60);

/// Clones share what is noted.
#[derive(Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<&'static str, Trouble>>>);

struct Trouble {
    why: String,
    since: Instant,
    /// Counts until it is tried again, however long that takes.
    lasts: bool,
}

impl Troubles {
    /// The latest try failed; it is tried again by itself.
    pub fn failed(&self, what: &'static str, why: impl Display) {
        self.note(what, why, true);
    }

    /// The latest try failed, and there may be no other.
    pub fn passing(&self, what: &'static str, why: impl Display) {
        self.note(what, why, false);
    }

    fn note(&self, what: &'static str, why: impl Display, lasts: bool) {
        self.held().insert(what, Trouble { why: why.to_string(), since: Instant::now(), lasts });
    }

    /// The latest try did not fail.
    pub fn done(&self, what: &'static str) {
        self.held().remove(what);
    }

    pub fn has(&self, what: &'static str) -> bool {
        self.held().contains_key(what)
    }

    /// What is tried from now on is tried by somebody else.
    pub fn forget(&self) {
        self.held().clear();
    }

    /// All that there is now, for people.
    pub fn told(&self) -> Option<String> {
        self.told_after(Duration::ZERO)
    }

    /// The same, so much later.
    fn told_after(&self, later: Duration) -> Option<String> {
        let mut held = self.held();
        held.retain(|_, trouble| trouble.lasts || trouble.since.elapsed() + later < KEPT);
        let told: Vec<String> = held.iter().map(|(what, trouble)| format!("{what}: {}", trouble.why)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<&'static str, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_try_counts() {
        let troubles = Troubles::default();
        assert_eq!(troubles.told(), None);
        troubles.failed("calls", "no room");
        troubles.passing("appends", "the log is full");
        troubles.failed("calls", "still no room");
        assert_eq!(troubles.clone().told().as_deref(), Some("appends: the log is full; calls: still no room"));
        assert_eq!(troubles.told_after(KEPT).as_deref(), Some("calls: still no room"), "nobody appended since");
        assert!(troubles.has("calls") && !troubles.has("appends"));
        troubles.done("calls");
        assert_eq!(troubles.told(), None);
    }
}
