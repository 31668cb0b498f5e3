//! Things by a small number: slots are used again, in an order that depends on the history alone.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Slots of one chunk. The first grows as a list does, so that small accounts stay small; from then on an arena grows by
/// chunks, and never holds more than one chunk more than it needs.
const CHUNK: usize = 512;

pub(super) struct Arena<T> {
    chunks: Vec<Chunk<T>>,
    /// Slots that were ever used.
    slots: u32,
    free: Vec<u32>,
}

/// A chunk of which nothing is taken holds no memory.
struct Chunk<T> {
    slots: Vec<Option<T>>,
    taken: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena { chunks: Vec::new(), slots: 0, free: Vec::new() }
    }
}

fn place(at: u32) -> (usize, usize) {
    (at as usize / CHUNK, at as usize % CHUNK)
}

impl<T> Arena<T> {
    pub fn insert(&mut self, value: T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.put(at, value);
        at
    }

    fn put(&mut self, at: u32, value: T) {
        let (chunk, slot) = place(at);
        if chunk >= self.chunks.len() {
            self.chunks.resize_with(chunk + 1, || Chunk { slots: Vec::new(), taken: 0 });
        }
        let chunk = &mut self.chunks[chunk];
        if slot >= chunk.slots.len() {
            if at as usize >= CHUNK {
                chunk.slots.reserve_exact(CHUNK - chunk.slots.len());
            }
            chunk.slots.resize_with(slot + 1, || None);
        }
        chunk.slots[slot] = Some(value);
        chunk.taken += 1;
    }

    pub fn remove(&mut self, at: u32) -> Option<T> {
        let (chunk, slot) = place(at);
        let chunk = self.chunks.get_mut(chunk)?;
        let value = chunk.slots.get_mut(slot)?.take()?;
        chunk.leave();
        self.free.push(at);
        Some(value)
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        let (chunk, slot) = place(at);
        self.chunks.get(chunk)?.slots.get(slot)?.as_ref()
    }

    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let (chunk, slot) = place(at);
        self.chunks.get_mut(chunk)?.slots.get_mut(slot)?.as_mut()
    }

    /// How many were ever used, taken or not.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    pub fn len(&self) -> usize {
        self.slots as usize - self.free.len()
    }

    /// In order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = |(at, chunk): (usize, &'_ Chunk<T>)| (at * CHUNK, chunk.slots.len());
        let all = self.chunks.iter().enumerate().map(slots).flat_map(|(from, len)| from..from + len);
        all.filter_map(|at| Some((at as u32, self.get(at as u32)?)))
    }

    /// Takes out what `keep` refuses, and hands it to `gone`.
    pub fn retain(&mut self, mut keep: impl FnMut(u32, &T) -> bool, mut gone: impl FnMut(u32, T)) {
        for (number, chunk) in self.chunks.iter_mut().enumerate() {
            for slot in 0..chunk.slots.len() {
                let at = (number * CHUNK + slot) as u32;
                if chunk.slots[slot].as_ref().is_some_and(|value| !keep(at, value))
                    && let Some(value) = chunk.slots[slot].take()
                {
                    chunk.taken -= 1;
                    self.free.push(at);
                    gone(at, value);
                }
            }
            chunk.tidy();
        }
    }
}

impl<T> Chunk<T> {
    fn leave(&mut self) {
        self.taken -= 1;
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.taken == 0 {
            self.slots = Vec::new();
        }
    }
}

/// For slots that are known to be taken: an index kept in the state always leads somewhere.
impl<T> std::ops::Index<u32> for Arena<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        match self.get(at) {
            Some(value) => value,
            None => unreachable!("slot {at} is free"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        match self.get_mut(at) {
            Some(value) => value,
            None => unreachable!("slot {at} is free"),
        }
    }
}

#[derive(Serialize)]
struct StoredRef<'a, T> {
    slots: Vec<Option<&'a T>>,
    free: &'a [u32],
}

#[derive(Deserialize)]
struct Stored<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T: Serialize> Serialize for Arena<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let slots = (0..self.slots).map(|at| self.get(at)).collect();
        StoredRef { slots, free: &self.free }.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Arena<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Arena<T>, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let mut arena = Arena { chunks: Vec::new(), slots: stored.slots.len() as u32, free: stored.free };
        for (at, slot) in stored.slots.into_iter().enumerate() {
            if let Some(value) = slot {
                arena.put(at as u32, value);
            }
        }
        Ok(arena)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_chunks_and_uses_slots_again() {
        let mut arena = Arena::default();
        for n in 0..3 * CHUNK as u32 + 7 {
            assert_eq!(arena.insert(Box::new(n)), n);
        }
        let capacity: usize = arena.chunks.iter().map(|chunk| chunk.slots.capacity()).sum();
        assert!(capacity <= 4 * CHUNK, "{capacity}");
        assert_eq!((arena.remove(CHUNK as u32).as_deref(), arena.remove(3).as_deref()), (Some(&512), Some(&3)));
        assert!(arena.get(3).is_none() && arena.remove(3).is_none() && arena.get(1 << 30).is_none());
        assert_eq!(arena.len(), 3 * CHUNK + 5);
        let bytes = postcard::to_stdvec(&arena).unwrap();
        let mut again: Arena<Box<u32>> = postcard::from_bytes(&bytes).unwrap();
        assert!(arena.iter().eq(again.iter()));
        assert_eq!((again.insert(Box::new(0)), arena.insert(Box::new(0))), (3, 3));
        for at in CHUNK as u32..2 * CHUNK as u32 {
            again.remove(at);
        }
        assert_eq!(again.chunks[1].slots.capacity(), 0, "an idle chunk holds nothing");
        for at in (CHUNK as u32 + 1..2 * CHUNK as u32).rev() {
            assert_eq!(again.insert(Box::new(at)), at);
        }
        let mut gone = Vec::new();
        again.retain(|_, value| **value % 2 == 0, |at, _| gone.push(at));
        assert_eq!(gone.len() + again.len(), 3 * CHUNK + 6);
    }
}
