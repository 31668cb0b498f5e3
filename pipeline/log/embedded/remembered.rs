//! The message ids of the window, in memory; the same are on disk by sequence, so that a restart knows them.

use std::collections::{HashMap, VecDeque};

use callweave_core::time::Time;

use super::Window;
use crate::log::MessageId;

#[derive(Debug)]
pub(super) struct Remembered {
    window: Window,
    sequences: HashMap<MessageId, u64>,
    /// Oldest first.
    order: VecDeque<(MessageId, u64, Time)>,
}

impl Remembered {
    pub(super) fn new(window: Window) -> Remembered {
        Remembered { window, sequences: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn sequence_of(&self, id: MessageId) -> Option<u64> {
        self.sequences.get(&id).copied()
    }

    pub(super) fn insert(&mut self, id: MessageId, sequence: u64, appended: Time) {
        self.sequences.insert(id, sequence);
        self.order.push_back((id, sequence, appended));
    }

    /// Forgets the oldest id that is out of the window, and tells its sequence; `None` where all are inside.
    pub(super) fn forget_one(&mut self, now: Time) -> Option<u64> {
        let &(id, sequence, appended) = self.order.front()?;
        let age = u128::try_from(now.since(appended)).unwrap_or(0);
        if self.order.len() <= self.window.ids && age <= self.window.age.as_micros() {
            return None;
        }
        self.order.pop_front();
        // An id that came again after it was forgotten once stands for the later entry.
        if self.sequences.get(&id) == Some(&sequence) {
            self.sequences.remove(&id);
        }
        Some(sequence)
    }
}
