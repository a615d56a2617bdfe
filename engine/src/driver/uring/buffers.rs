//! Memory the kernel receives into: a ring of provided buffers, registered once.
//!
//! A buffer belongs to the kernel from [`Buffers::give`] on. A completion hands back a range of it;
//! while [`Buffers::take`]'s caller works on that range the kernel does not touch it again, because
//! it has moved on in the buffer (where the kernel consumes incrementally) or has let go of it. The
//! whole buffer is given again only after the completion that says it was the last one of it.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// How many buffers a shard has; a power of two. Together with the length: 2 MiB that stay warm in
/// a second-level cache as far as they are used. Many small buffers would tear large messages
/// apart, few large ones would be emptied by one hog.
const COUNT: u16 = 16;

/// Octets of one buffer.
const LEN: usize = 128 << 10;

/// The kernel uses up a buffer piece by piece instead of whole (`IOU_PBUF_RING_INC`, Linux 6.12).
const INCREMENTAL: u16 = 2;

/// The group the receives name.
pub(super) const GROUP: u16 = 0;

const _: () = assert!(COUNT.is_power_of_two());

#[derive(Debug)]
pub(super) struct Buffers {
    /// `COUNT` entries; shared with the kernel, which reads them, and moves them forward where it
    /// consumes incrementally.
    ring: Mapping,
    /// `COUNT` × `LEN` octets.
    memory: Mapping,
    incremental: bool,
    /// How much of each buffer the kernel has used up since it was given.
    used: [u32; COUNT as usize],
    /// Entries ever given; what the kernel was told is in the ring's own tail.
    tail: u16,
}

impl Buffers {
    /// Makes the memory and registers it with a ring. The memory must outlive every receive of
    /// that ring; see the order of fields in the driver.
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Self> {
        let ring = Mapping::new(usize::from(COUNT) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(COUNT) * LEN)?;
        let address = ring.start.as_ptr() as u64;
        let register = |flags| {
            // SAFETY: the mapping is page-aligned, holds `COUNT` entries, and lives as long as
            // `Buffers` does, which outlives the ring it is registered with.
            unsafe { submitter.register_buf_ring_with_flags(address, COUNT, GROUP, flags) }
        };
        let incremental = register(INCREMENTAL).is_ok();
        if !incremental {
            register(0)?;
        }
        let mut buffers = Self {
            ring,
            memory,
            incremental,
            used: [0; COUNT as usize],
            tail: 0,
        };
        for id in 0..COUNT {
            buffers.give(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// What a completion brought: `len` octets of buffer `id`; `more` if the kernel goes on using
    /// the buffer. `None` if the kernel named octets it was never given.
    pub(super) fn take(&mut self, id: u16, len: usize) -> Option<&mut [u8]> {
        let used = *self.used.get(usize::from(id))? as usize;
        let end = used.checked_add(len)?;
        if end > LEN {
            return None;
        }
        self.used[usize::from(id)] = end as u32;
        // SAFETY: buffer `id` lies within the mapping, and `used + len` within the buffer. The
        // kernel has written these octets and is past them; it was told of no other use of them,
        // and `&mut self` keeps the buffer from being given again while the slice lives.
        Some(unsafe {
            let start = self.memory.start.as_ptr().add(usize::from(id) * LEN + used);
            std::slice::from_raw_parts_mut(start, len)
        })
    }

    /// After the octets of a completion were dealt with: gives the buffer back if it was the last
    /// one of it. Says whether it was.
    pub(super) fn finish(&mut self, id: u16, more: bool) -> bool {
        if self.incremental && more {
            return false;
        }
        if usize::from(id) < self.used.len() {
            self.give(id);
        }
        true
    }

    /// Puts a buffer into the ring; the kernel sees it after [`publish`](Self::publish).
    fn give(&mut self, id: u16) {
        self.used[usize::from(id)] = 0;
        let index = usize::from(self.tail & (COUNT - 1));
        // SAFETY: the index is below `COUNT`, so the entry lies within the ring's mapping; it is
        // behind the published tail, so the kernel does not read it. The first entry's last field
        // is the tail itself, which none of the setters touches.
        unsafe {
            let entry = &mut *self.ring.start.as_ptr().cast::<BufRingEntry>().add(index);
            entry.set_addr(self.memory.start.as_ptr().add(usize::from(id) * LEN) as u64);
            entry.set_len(LEN as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given.
    pub(super) fn publish(&mut self) {
        let ring = self.ring.start.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `ring` is the first entry of a live ring; its tail is a 16-bit word that the
        // kernel only reads, and that is only ever accessed atomically from here.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut()) };
        // Release: the entries are written before the tail that covers them.
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous pages.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping, at an address of the kernel's choice, overlaps nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                // All pages at once: they are used in turn, so each would fault sooner or later.
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length and is unmapped once. Whoever
        // owns it has seen to it that the kernel is done with it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
