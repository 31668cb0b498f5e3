//! Which partitions a process works on. A log of one machine is worked on by one process, all of it; the processes of a log
//! in NATS share it ([`super::nats`]). The choice here is pure, and each process makes it for itself.
//!
//! It saves work and is no lock: a process that was replaced and does not know it yet is fenced where it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a process that leaves waits until others know.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// A process's part of the log, as it changes.
pub struct Share {
    told: watch::Receiver<BTreeSet<u16>>,
    /// What is worked on.
    used: watch::Sender<BTreeSet<u16>>,
    keeper: Option<JoinHandle<()>>,
}

/// The other end of a [`Share`].
pub(super) struct Keeper {
    pub tell: watch::Sender<BTreeSet<u16>>,
    pub used: watch::Receiver<BTreeSet<u16>>,
}

impl Share {
    /// All of a log, for good.
    pub(super) fn all(partitions: u16) -> Share {
        let (share, keeper) = Share::kept();
        keeper.tell.send_replace((0..partitions).collect());
        share
    }

    /// What `keep` says, from now on. It ends when the share is gone.
    pub(super) fn by<F: Future<Output = ()> + Send + 'static>(keep: impl FnOnce(Keeper) -> F) -> Share {
        let (mut share, keeper) = Share::kept();
        share.keeper = Some(tokio::spawn(keep(keeper)));
        share
    }

    fn kept() -> (Share, Keeper) {
        let (tell, told) = watch::channel(BTreeSet::new());
        let (using, used) = watch::channel(BTreeSet::new());
        (Share { told, used: using, keeper: None }, Keeper { tell, used })
    }

    /// The partitions to work on from now on. Those that it had before and that are not among them are given up by that: nobody
    /// works on them here any more.
    pub fn take(&mut self) -> BTreeSet<u16> {
        let own = self.told.borrow_and_update().clone();
        self.used.send_replace(own.clone());
        own
    }

    /// Returns when it is another than the one that was taken.
    pub async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives all of it up.
    pub async fn leave(self) {
        let Share { used, keeper, .. } = self;
        drop(used);
        if let Some(keeper) = keeper {
            // What is not given back in time is free once it has not been renewed for a while.
            let _ = tokio::time::timeout(LEAVE_TIME, keeper).await;
        }
    }
}

/// What a process does about its share.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Nobody has them.
    pub claim: Vec<u16>,
    pub give_up: Vec<u16>,
}

/// What `me` does next, so that all who live have the same number, give or take one. `owners` are the partitions that somebody has.
pub(super) fn step(me: &str, living: &BTreeSet<String>, owners: &BTreeMap<u16, String>, partitions: u16) -> Step {
    let others = living.iter().filter(|name| *name != me).count();
    let (least, most) = (usize::from(partitions) / (others + 1), usize::from(partitions).div_ceil(others + 1));
    let has = |name: &str| owners.values().filter(|owner| *owner == name).count();
    let mine: Vec<u16> = owners.iter().filter(|(_, owner)| *owner == me).map(|(partition, _)| *partition).collect();
    let free: Vec<u16> = (0..partitions).filter(|partition| !owners.contains_key(partition)).collect();
    if mine.len() > most {
        return Step { give_up: mine[most..].to_vec(), ..Step::default() };
    }
    // Somebody has too few, and all is taken: one of those who have one more gives it, the first by name.
    let wants = living.iter().any(|name| name != me && has(name) < least);
    let first = living.iter().map(String::as_str).chain([me]).filter(|name| has(name) > least).min();
    if free.is_empty() && wants && first == Some(me) {
        return Step { give_up: mine.last().copied().into_iter().collect(), ..Step::default() };
    }
    Step { claim: free.into_iter().take(most - mine.len()).collect(), ..Step::default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> String {
        format!("m{number}")
    }

    /// One after the other does its step until nobody has one to do. How many rounds that took.
    fn settle(living: &BTreeSet<String>, owners: &mut BTreeMap<u16, String>, partitions: u16) -> usize {
        for round in 0..4 * usize::from(partitions) + 4 {
            let mut still = true;
            for me in living {
                let Step { claim, give_up } = step(me, living, owners, partitions);
                still &= claim.is_empty() && give_up.is_empty();
                give_up.iter().for_each(|partition| drop(owners.remove(partition)));
                owners.extend(claim.into_iter().map(|partition| (partition, me.clone())));
            }
            if still {
                return round;
            }
        }
        panic!("it never ends: {owners:?}");
    }

    proptest! {
        #[test]
        fn whoever_comes_and_goes_all_have_about_the_same(
            partitions in 1..40u16,
            before in 1..6usize,
            after in 1..6usize,
        ) {
            let mut owners = BTreeMap::new();
            let first: BTreeSet<String> = (0..before).map(name).collect();
            settle(&first, &mut owners, partitions);
            // Those with a higher number went or came, and what the gone had has run out.
            let then: BTreeSet<String> = (0..after).map(name).collect();
            owners.retain(|_, owner| then.contains(owner));
            settle(&then, &mut owners, partitions);
            prop_assert_eq!(owners.len(), usize::from(partitions));
            let counts: Vec<usize> = then.iter().map(|it| owners.values().filter(|owner| *owner == it).count()).collect();
            let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
            prop_assert!(most - least <= 1, "{:?}", counts);
        }
    }

    #[test]
    fn nothing_moves_once_it_is_even() {
        let living: BTreeSet<String> = (0..3).map(name).collect();
        let owners: BTreeMap<u16, String> = (0..4).map(|at| (at, name(usize::from(at) % 3))).collect();
        for me in &living {
            assert_eq!(step(me, &living, &owners, 4), Step::default());
        }
    }
}
