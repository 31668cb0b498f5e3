//! How queries share their memory: an even share each only once it gets tight.
//!
//! The engine's own fair pool divides all memory by the number of operators that could spill, whether they hold anything or not.
//! With many parts that is so little each that a plan fails whose operators come after each other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};

use super::logins::lock;

/// Up to this part of the memory (in quarters) all take what they want.
const QUARTERS_AT_WILL: usize = 3;

#[derive(Debug)]
pub(super) struct SharedPool {
    bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Of what cannot go to disk.
    fixed: usize,
    /// Of what can, by consumer; only those that hold anything.
    spillable: HashMap<usize, usize>,
    of_spillable: usize,
}

impl SharedPool {
    pub fn new(bytes: usize) -> SharedPool {
        SharedPool { bytes, held: Mutex::default() }
    }
}

impl Held {
    fn add(&mut self, consumer: &MemoryConsumer, bytes: usize) {
        if !consumer.can_spill() {
            self.fixed += bytes;
        } else if bytes > 0 {
            *self.spillable.entry(consumer.id()).or_default() += bytes;
            self.of_spillable += bytes;
        }
    }

    /// What one more consumer, or one more byte of one, may have in all.
    fn share(&self, consumer: &MemoryConsumer, bytes: usize) -> usize {
        let others = self.spillable.keys().filter(|id| **id != consumer.id()).count();
        bytes.saturating_sub(self.fixed) / (others + 1)
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(pool_size: {})", self.name(), human_readable_size(self.bytes))
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        lock(&self.held).add(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let (mut held, consumer) = (lock(&self.held), reservation.consumer());
        if !consumer.can_spill() {
            held.fixed = held.fixed.saturating_sub(shrink);
            return;
        }
        held.of_spillable = held.of_spillable.saturating_sub(shrink);
        if let Some(of_consumer) = held.spillable.get_mut(&consumer.id()) {
            *of_consumer = of_consumer.saturating_sub(shrink);
            if *of_consumer == 0 {
                held.spillable.remove(&consumer.id());
            }
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let (mut held, consumer) = (lock(&self.held), reservation.consumer());
        let free = self.bytes.saturating_sub(held.fixed + held.of_spillable);
        let is_tight = self.bytes - free + additional > self.bytes / 4 * QUARTERS_AT_WILL;
        let own = held.spillable.get(&consumer.id()).copied().unwrap_or(0);
        // Who holds nothing can send nothing to disk: it would fail.
        let is_greedy =
            consumer.can_spill() && own > 0 && is_tight && own + additional > held.share(consumer, self.bytes);
        if additional > free || is_greedy {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "Failed to allocate additional {} for {} with {} already allocated - {} remain available for the total memory pool: {self}",
                human_readable_size(additional),
                consumer.name(),
                human_readable_size(reservation.size()),
                human_readable_size(free),
            )));
        }
        held.add(consumer, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let held = lock(&self.held);
        held.fixed + held.of_spillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_holds_nothing_has_no_share() -> Result<()> {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedPool::new(1000));
        let of = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let idle: Vec<_> = (0..20).map(|_| of("idle")).collect();
        let (first, second) = (of("first"), of("second"));
        first.try_grow(700)?;
        second.try_grow(50)?;
        // It is tight now: half of it each, and the first has more.
        assert!(first.try_grow(1).is_err());
        second.try_grow(200)?;
        assert!(second.try_grow(100).is_err(), "there is no more");
        let late = of("late");
        late.try_grow(50)?;
        assert!(late.try_grow(1).is_err(), "there is no more");
        drop(late);
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        assert!(fixed.try_grow(100).is_err());
        first.free();
        fixed.try_grow(500)?;
        second.try_grow(200)?;
        assert_eq!(pool.reserved(), 950);
        drop((idle, first, second, fixed));
        assert_eq!(pool.reserved(), 0);
        Ok(())
    }
}
