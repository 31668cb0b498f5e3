//! Pools of tracking numbers: who holds which, and when a number may be given again.

use std::collections::VecDeque;

use callweave_core::time::Time;

/// A number, and the extension that a caller dials after it where the pool uses extensions (0: none).
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) extension: u16,
}

pub(super) struct Pool {
    pub(super) name: &'static str,
    pub(super) numbers: Vec<u64>,
    slots: Vec<Slot>,
    holders: Vec<u32>,
    /// In order of the time from which they may be given: the cooldown is the same for all.
    free: VecDeque<(Time, u32)>,
    /// Which slot is shared next when none is free.
    share_next: usize,
}

/// A lease that runs, or that was released and whose time has not yet come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) account: u16,
    pub(super) pool: u8,
    pub(super) slot: u32,
    pub(super) id: u64,
    pub(super) expires: Time,
    pub(super) released: bool,
}

/// Extensions that a number of a pool with extensions is leased with at one time, at most.
const EXTENSIONS_PER_NUMBER: usize = 20;

impl Pool {
    pub(super) fn new(name: &'static str, numbers: Vec<u64>, extension_digits: Option<u8>) -> Pool {
        let first = extension_digits.map_or(0, |digits| 10u16.pow(u32::from(digits.clamp(2, 4)) - 1));
        let slots: Vec<Slot> = (0..Pool::per_number(extension_digits) as u16)
            .flat_map(|at| numbers.iter().map(move |&number| Slot { number, extension: first + at }))
            .map(|slot| if extension_digits.is_some() { slot } else { Slot { extension: 0, ..slot } })
            .collect();
        let free = (0..slots.len() as u32).map(|at| (Time::MIN, at)).collect();
        Pool { name, numbers, holders: vec![0; slots.len()], slots, free, share_next: 0 }
    }

    /// How many leases of one number can run at one time.
    pub(super) fn per_number(extension_digits: Option<u8>) -> usize {
        if extension_digits.is_some() { EXTENSIONS_PER_NUMBER } else { 1 }
    }

    pub(super) fn slot(&self, at: u32) -> Slot {
        self.slots[at as usize]
    }

    /// The slot that has been free for longest; where none is, one that others hold already, if sharing is on.
    pub(super) fn acquire(&mut self, now: Time, share: bool) -> Option<u32> {
        let at = match self.free.front() {
            Some(&(from, at)) if from <= now => {
                self.free.pop_front();
                at
            }
            _ if share => self.shared()?,
            _ => return None,
        };
        self.holders[at as usize] += 1;
        Some(at)
    }

    /// The next slot in turn that somebody holds: one that cools down is not given, not even to share.
    fn shared(&mut self) -> Option<u32> {
        for _ in 0..self.slots.len() {
            self.share_next = (self.share_next + 1) % self.slots.len();
            if self.holders[self.share_next] > 0 {
                return Some(self.share_next as u32);
            }
        }
        None
    }

    /// Gives a slot back; `again` is when it may be given anew, should nobody else hold it.
    pub(super) fn release(&mut self, at: u32, again: Time) {
        let holders = &mut self.holders[at as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push_back((again, at));
        }
    }
}
