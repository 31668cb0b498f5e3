//! A list of numbers that are few as a rule: up to three need no memory of their own.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const INLINE: usize = 3;

// The box keeps a list that is rarely there at 8 bytes.
#[allow(clippy::box_collection)]
pub(super) enum Few {
    In(u8, [u32; INLINE]),
    Out(Box<Vec<u32>>),
}

impl Default for Few {
    fn default() -> Self {
        Few::In(0, [0; INLINE])
    }
}

impl std::ops::Deref for Few {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        match self {
            Few::In(len, items) => &items[..usize::from(*len)],
            Few::Out(items) => items,
        }
    }
}

impl Few {
    pub fn insert(&mut self, place: usize, item: u32) {
        match self {
            Few::In(len, items) if usize::from(*len) < INLINE => {
                items.copy_within(place..usize::from(*len), place + 1);
                items[place] = item;
                *len += 1;
            }
            Few::In(_, items) => {
                let mut all = items.to_vec();
                all.insert(place, item);
                *self = Few::Out(Box::new(all));
            }
            Few::Out(items) => items.insert(place, item),
        }
    }

    pub fn push(&mut self, item: u32) {
        self.insert(self.len(), item);
    }

    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        match self {
            Few::In(len, items) => {
                let mut kept = 0;
                for at in 0..usize::from(*len) {
                    if keep(items[at]) {
                        items[kept] = items[at];
                        kept += 1;
                    }
                }
                *len = kept as u8;
            }
            Few::Out(items) => {
                items.retain(|item| keep(*item));
                if items.len() <= INLINE {
                    *self = items.iter().copied().collect();
                }
            }
        }
    }
}

impl FromIterator<u32> for Few {
    fn from_iter<I: IntoIterator<Item = u32>>(items: I) -> Few {
        let mut few = Few::default();
        for item in items {
            few.push(item);
        }
        few
    }
}

impl Serialize for Few {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Few, D::Error> {
        Ok(Vec::<u32>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_list(steps in prop::collection::vec((0u8..3, any::<prop::sample::Index>(), 0u32..9), 0..40)) {
            assert_eq!(size_of::<Option<Few>>(), 16);
            let (mut few, mut list) = (Few::default(), Vec::new());
            for (what, place, item) in steps {
                match what {
                    0 => {
                        few.push(item);
                        list.push(item);
                    }
                    1 => {
                        let place = place.index(list.len() + 1);
                        few.insert(place, item);
                        list.insert(place, item);
                    }
                    _ => {
                        few.retain(|held| held % 3 != item % 3);
                        list.retain(|held| held % 3 != item % 3);
                    }
                }
                prop_assert_eq!(&*few, &*list);
            }
        }
    }
}
