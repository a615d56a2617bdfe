//! Writes a FlatBuffer, which grows from its end to its beginning: octets are pushed in reverse
//! and turned round when all is there. Offsets count from the end, so that they stay what they
//! are while the front still grows.

use crate::error::EncodeError;

/// Where something stands, counted from the end of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

#[derive(Debug, Default)]
pub(super) struct Builder {
    /// The buffer in reverse.
    reversed: Vec<u8>,
    align_max: usize,
    /// Places of vtables: tables of like shape share one.
    vtables: Vec<usize>,
    /// The table being written: the places of its fields by slot.
    fields: Vec<usize>,
    table_end: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            align_max: 1,
            ..Self::default()
        }
    }

    /// Pads so that, that many octets later, a multiple of `align` is reached.
    fn prepare(&mut self, align: usize, octets_then: usize) {
        self.align_max = self.align_max.max(align);
        let ahead = (self.reversed.len() + octets_then) % align;
        if ahead != 0 {
            let padded = self.reversed.len() + align - ahead;
            self.reversed.resize(padded, 0);
        }
    }

    fn push(&mut self, octets: &[u8]) {
        self.reversed.extend(octets.iter().rev());
    }

    fn here(&self) -> Place {
        Place(self.reversed.len())
    }

    /// The offset that leads to a place from where the next four octets go.
    fn push_offset(&mut self, to: Place) -> Result<(), EncodeError> {
        self.prepare(4, 0);
        let offset = self.reversed.len() - to.0 + 4;
        let offset = u32::try_from(offset).map_err(|_| EncodeError::TooLong)?;
        self.push(&offset.to_le_bytes());
        Ok(())
    }

    fn push_len(&mut self, len: usize) -> Result<Place, EncodeError> {
        let len = u32::try_from(len).map_err(|_| EncodeError::TooLong)?;
        self.push(&len.to_le_bytes());
        Ok(self.here())
    }

    pub(super) fn string(&mut self, text: &str) -> Result<Place, EncodeError> {
        self.prepare(4, text.len() + 1);
        self.push(&[0]);
        self.push(text.as_bytes());
        self.push_len(text.len())
    }

    pub(super) fn octets(&mut self, octets: &[u8]) -> Result<Place, EncodeError> {
        self.prepare(4, octets.len());
        self.push(octets);
        self.push_len(octets.len())
    }

    pub(super) fn list_u64(&mut self, items: &[u64]) -> Result<Place, EncodeError> {
        self.prepare(4, items.len() * 8);
        self.prepare(8, items.len() * 8);
        for item in items.iter().rev() {
            self.push(&item.to_le_bytes());
        }
        self.push_len(items.len())
    }

    pub(super) fn list_of(&mut self, items: &[Place]) -> Result<Place, EncodeError> {
        self.prepare(4, items.len() * 4);
        for item in items.iter().rev() {
            self.push_offset(*item)?;
        }
        self.push_len(items.len())
    }

    /// Begins a table of that many slots. Fields follow, nothing else, until its end.
    pub(super) fn begin(&mut self, slots: usize) {
        self.fields.clear();
        self.fields.resize(slots, 0);
        self.table_end = self.reversed.len();
    }

    fn put<const N: usize>(&mut self, slot: usize, octets: [u8; N]) {
        self.prepare(N, 0);
        self.push(&octets);
        if let Some(field) = self.fields.get_mut(slot) {
            *field = self.reversed.len();
        }
    }

    pub(super) fn u8(&mut self, slot: usize, value: Option<u8>) {
        if let Some(value) = value {
            self.put(slot, [value]);
        }
    }

    pub(super) fn bool(&mut self, slot: usize, value: Option<bool>) {
        self.u8(slot, value.map(u8::from));
    }

    pub(super) fn u16(&mut self, slot: usize, value: Option<u16>) {
        if let Some(value) = value {
            self.put(slot, value.to_le_bytes());
        }
    }

    pub(super) fn u32(&mut self, slot: usize, value: Option<u32>) {
        if let Some(value) = value {
            self.put(slot, value.to_le_bytes());
        }
    }

    pub(super) fn u64(&mut self, slot: usize, value: Option<u64>) {
        if let Some(value) = value {
            self.put(slot, value.to_le_bytes());
        }
    }

    pub(super) fn place(&mut self, slot: usize, to: Option<Place>) -> Result<(), EncodeError> {
        if let Some(to) = to {
            self.push_offset(to)?;
            if let Some(field) = self.fields.get_mut(slot) {
                *field = self.reversed.len();
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Place {
        // Room for the way to the vtable.
        self.prepare(4, 0);
        self.push(&[0; 4]);
        let table = self.reversed.len();
        let used = self
            .fields
            .iter()
            .rposition(|&field| field != 0)
            .map_or(0, |last| last + 1);
        let mut vtable: Vec<u8> = Vec::with_capacity(2 * used + 4);
        // Tables of the schema stay far below what 16 bits hold: fields are 8 octets at most.
        let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        vtable.extend(short(2 * used + 4));
        vtable.extend(short(table - self.table_end));
        for &field in self.fields.iter().take(used) {
            vtable.extend(short(if field == 0 { 0 } else { table - field }));
        }
        let known = self.vtables.iter().copied().find(|&known| {
            let from = known.saturating_sub(vtable.len());
            self.reversed
                .get(from..known)
                .is_some_and(|there| there.iter().rev().eq(vtable.iter()))
        });
        let vtable_at = known.unwrap_or_else(|| {
            self.prepare(2, 0);
            self.push(&vtable);
            let at = self.reversed.len();
            self.vtables.push(at);
            at
        });
        // Counted from the end: a vtable in front of its table lies further from it.
        let distance = vtable_at as i64 - table as i64;
        let distance = i32::try_from(distance).unwrap_or(i32::MAX).to_le_bytes();
        if let Some(room) = self.reversed.get_mut(table - 4..table) {
            for (octet, value) in room.iter_mut().rev().zip(distance) {
                *octet = value;
            }
        }
        Place(table)
    }

    /// Ends the buffer with the table it is about, and appends it.
    pub(super) fn finish(mut self, root: Place, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.prepare(self.align_max, 4);
        self.push_offset(root)?;
        out.extend(self.reversed.iter().rev());
        Ok(())
    }
}
