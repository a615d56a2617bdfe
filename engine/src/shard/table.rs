//! The connection table of a shard: slots with generations.
//!
//! A slot is used again after its connection is gone, with the next generation; a key that names
//! an earlier one finds nothing.

use slab::Slab;

use crate::driver::Key;

#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Slab<T>,
    /// The generation each slot is at, used or not.
    generations: Vec<u32>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slab::new(),
            generations: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let slot = self.slots.vacant_entry();
        let index = slot.key();
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        // Bounded by `connections_max` and by descriptors, far below 2^32.
        let key = Key {
            index: index as u32,
            generation: self.generations[index],
        };
        slot.insert(make(key));
        key
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let index = key.index as usize;
        if self.generations.get(index) != Some(&key.generation) {
            return None;
        }
        let removed = self.slots.try_remove(index)?;
        self.generations[index] = key.generation.wrapping_add(1);
        Some(removed)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = key.index as usize;
        if self.generations.get(index) != Some(&key.generation) {
            return None;
        }
        self.slots.get_mut(index)
    }

    /// The key of what is in a slot now.
    pub(crate) fn key(&self, index: u32) -> Option<Key> {
        self.slots.contains(index as usize).then(|| Key {
            index,
            generation: self.generations[index as usize],
        })
    }

    /// What is in a slot now, and its key.
    pub(crate) fn at_mut(&mut self, index: usize) -> Option<(Key, &mut T)> {
        let entry = self.slots.get_mut(index)?;
        Some((
            Key {
                index: index as u32,
                generation: self.generations[index],
            },
            entry,
        ))
    }

    /// All that is in slots.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|(_, entry)| entry)
    }

    /// Slots that were ever used: indices are below this.
    pub(crate) fn slots(&self) -> usize {
        self.generations.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_key_finds_nothing() {
        let mut table = Table::new();
        let first = table.insert(|_| 1);
        assert_eq!(table.remove(first), Some(1));
        let second = table.insert(|_| 2);
        assert_eq!(second.index, first.index);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(second), Some(&mut 2));
        assert_eq!(table.key(second.index), Some(second));
        assert_eq!((table.len(), table.slots()), (1, 1));
    }
}
