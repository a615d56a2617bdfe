//! Reads tables of a FlatBuffer. Every offset is followed by checked steps within the buffer;
//! one that leads outside is an error, never a panic. Offsets only lead on to types of the
//! schema, none of which nests in itself, so that there is no way to go round for ever.

use crate::error::{DecodeError, DecodeErrorKind};

/// A table: where it stands, and where its fields are listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    octets: &'a [u8],
    at: usize,
    vtable: &'a [u8],
}

/// A list within the buffer: where its items begin, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    octets: &'a [u8],
    at: usize,
    pub(super) len: usize,
}

impl<'a> Table<'a> {
    /// The table a buffer is about.
    pub(super) fn root(octets: &'a [u8]) -> Result<Self, DecodeError> {
        Self::at(octets, follow(octets, 0)?)
    }

    fn at(octets: &'a [u8], at: usize) -> Result<Self, DecodeError> {
        let wrong = DecodeErrorKind::Offset.at(at);
        // The vtable may stand on either side: its distance is signed, and taken away.
        let distance = i64::from(i32::from_le_bytes(array(octets, at)?));
        let vtable_at = i64::try_from(at)
            .ok()
            .and_then(|at| usize::try_from(at - distance).ok())
            .ok_or(wrong)?;
        let len = usize::from(u16::from_le_bytes(array(octets, vtable_at)?));
        let vtable = octets
            .get(vtable_at..)
            .and_then(|rest| rest.get(..len))
            .and_then(|vtable| vtable.get(4..))
            .ok_or(wrong)?;
        Ok(Self { octets, at, vtable })
    }

    /// Where a field stands, if it is there.
    fn field(&self, slot: usize) -> Option<usize> {
        let entry = self.vtable.get(2 * slot..)?.first_chunk()?;
        match u16::from_le_bytes(*entry) {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    fn scalar<const N: usize>(&self, slot: usize) -> Result<Option<[u8; N]>, DecodeError> {
        self.field(slot)
            .map(|at| array(self.octets, at))
            .transpose()
    }

    pub(super) fn u8(&self, slot: usize) -> Result<Option<u8>, DecodeError> {
        Ok(self.scalar(slot)?.map(u8::from_le_bytes))
    }

    pub(super) fn u16(&self, slot: usize) -> Result<Option<u16>, DecodeError> {
        Ok(self.scalar(slot)?.map(u16::from_le_bytes))
    }

    pub(super) fn u32(&self, slot: usize) -> Result<Option<u32>, DecodeError> {
        Ok(self.scalar(slot)?.map(u32::from_le_bytes))
    }

    pub(super) fn u64(&self, slot: usize) -> Result<Option<u64>, DecodeError> {
        Ok(self.scalar(slot)?.map(u64::from_le_bytes))
    }

    /// A bool, which by the format is an octet of 0 or 1.
    pub(super) fn bool(&self, slot: usize) -> Result<Option<bool>, DecodeError> {
        match self.u8(slot)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(_) => Err(DecodeErrorKind::Syntax.at(self.at)),
        }
    }

    pub(super) fn table(&self, slot: usize) -> Result<Option<Self>, DecodeError> {
        self.field(slot)
            .map(|at| Self::at(self.octets, follow(self.octets, at)?))
            .transpose()
    }

    fn list(&self, slot: usize) -> Result<Option<List<'a>>, DecodeError> {
        self.field(slot)
            .map(|at| List::at(self.octets, at))
            .transpose()
    }

    /// A list whose items each take that many octets.
    pub(super) fn list_of(
        &self,
        slot: usize,
        item_len: usize,
    ) -> Result<Option<List<'a>>, DecodeError> {
        let Some(list) = self.list(slot)? else {
            return Ok(None);
        };
        let left = list.octets.len().saturating_sub(list.at);
        if list.len.checked_mul(item_len).is_none_or(|len| len > left) {
            return Err(DecodeErrorKind::Truncated.at(list.at));
        }
        Ok(Some(list))
    }

    pub(super) fn octets(&self, slot: usize) -> Result<Option<&'a [u8]>, DecodeError> {
        self.list(slot)?.map(|list| list.as_octets()).transpose()
    }

    pub(super) fn str(&self, slot: usize) -> Result<Option<&'a str>, DecodeError> {
        self.list(slot)?.map(|list| list.as_str()).transpose()
    }
}

impl<'a> List<'a> {
    /// The list that the offset at a place leads to.
    fn at(octets: &'a [u8], at: usize) -> Result<Self, DecodeError> {
        let head = follow(octets, at)?;
        let len = u32::from_le_bytes(array(octets, head)?);
        Ok(Self {
            octets,
            at: head + 4,
            len: usize::try_from(len).map_err(|_| DecodeErrorKind::Truncated.at(head))?,
        })
    }

    fn as_octets(&self) -> Result<&'a [u8], DecodeError> {
        self.octets
            .get(self.at..)
            .and_then(|rest| rest.get(..self.len))
            .ok_or(DecodeErrorKind::Truncated.at(self.at))
    }

    fn as_str(&self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.as_octets()?)
            .map_err(|error| DecodeErrorKind::Unicode.at(self.at + error.valid_up_to()))
    }

    pub(super) fn u8(&self, index: usize) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(array(self.octets, self.at + index)?))
    }

    pub(super) fn u64(&self, index: usize) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(array(self.octets, self.at + index * 8)?))
    }

    pub(super) fn str(&self, index: usize) -> Result<&'a str, DecodeError> {
        Self::at(self.octets, self.at + index * 4)?.as_str()
    }

    pub(super) fn table(&self, index: usize) -> Result<Table<'a>, DecodeError> {
        Table::at(self.octets, follow(self.octets, self.at + index * 4)?)
    }
}

/// Where the offset at a place leads.
fn follow(octets: &[u8], at: usize) -> Result<usize, DecodeError> {
    let offset = u32::from_le_bytes(array(octets, at)?);
    usize::try_from(offset)
        .ok()
        .and_then(|offset| at.checked_add(offset))
        .ok_or(DecodeErrorKind::Offset.at(at))
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Result<[u8; N], DecodeError> {
    octets
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .ok_or(DecodeErrorKind::Offset.at(at))
}
