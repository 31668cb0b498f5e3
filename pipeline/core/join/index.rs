//! Tables of things by the hash of their name. A hash table doubles when it is full, and holds twice as much as it needs
//! from then on; here eight tables of unequal shares double one after the other, so that together they never do. And
//! none of them keeps an event waiting for long while it grows.

use hashbrown::HashTable;

/// Shares grow by the eighth root of two, so that the tables double evenly spread over a doubling of the whole.
const SHARES: usize = 8;

/// Which table an entry is in, by eight bits of its hash that no table looks at.
const TABLE_OF: [u8; 256] = {
    // 256 · 2^(i/8) / Σ 2^(k/8), added up.
    const UPTO: [usize; SHARES] = [23, 48, 76, 105, 138, 174, 213, 256];
    let mut of = [0; 256];
    let (mut at, mut table) = (0, 0);
    while at < 256 {
        if at >= UPTO[table] {
            table += 1;
        }
        of[at] = table as u8;
        at += 1;
    }
    of
};

#[derive(Default)]
pub(super) struct Index {
    tables: [HashTable<u32>; SHARES],
}

fn table_of(hash: u64) -> usize {
    usize::from(TABLE_OF[(hash >> 48) as usize & 255])
}

impl Index {
    /// The number under this hash that `is` the one.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.tables[table_of(hash)].find(hash, |&ix| is(ix)).copied()
    }

    /// Lists a number that is not listed yet. `hash_of` tells the hash of any that is.
    pub fn list(&mut self, hash: u64, ix: u32, hash_of: impl Fn(u32) -> u64) {
        self.tables[table_of(hash)].insert_unique(hash, ix, |&ix| hash_of(ix));
    }

    pub fn unlist(&mut self, hash: u64, ix: u32) {
        if let Ok(entry) = self.tables[table_of(hash)].find_entry(hash, |&held| held == ix) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::intern::hash_of;

    #[test]
    fn costs_about_the_same_at_any_size() {
        let mut index = Index::default();
        let (mut least, mut most) = (f64::MAX, 0f64);
        for n in 0..300_000u32 {
            index.list(hash_of(&n), n, |ix| hash_of(&ix));
            if n > 50_000 && n % 1_000 == 0 {
                let bytes: usize = index.tables.iter().map(HashTable::allocation_size).sum();
                let each = bytes as f64 / f64::from(n + 1);
                (least, most) = (least.min(each), most.max(each));
            }
        }
        assert!(least > 7.0 && most < 9.0, "{least} to {most}");
        assert_eq!(index.find(hash_of(&77u32), |ix| ix == 77), Some(77));
        index.unlist(hash_of(&77u32), 77);
        assert_eq!(index.find(hash_of(&77u32), |ix| ix == 77), None);
    }
}
