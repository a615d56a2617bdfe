//! A TCP echo on `io_uring` as cheap as it gets: multishot accept and receive into provided
//! buffers, sends from where the octets lie, fixed files; everything a turn has to say and the
//! wait for the next in one system call.
//!
//! A limit and no server: a connection that does not read keeps buffers from the others.
//!
//! The one room of this crate that opens unsafe code: the kernel reads and writes memory it was
//! only told the address of.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// Buffers, a power of two, and octets of each: 4 MiB, used one after the other, so that few
/// connections warm up few of them.
const BUFFERS: u16 = 32;
const BUFFER_LEN: usize = 128 << 10;

/// The kernel uses a buffer up piece by piece (`IOU_PBUF_RING_INC`, Linux 6.12).
const INCREMENTAL: u16 = 2;

const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 8192;

/// Connections at once; the kernel bounds the table by the limit of open files.
const FILES_MAX: u32 = 16_384;

const GROUP: u16 = 0;
const PAGE_LEN: usize = 4096;

const _: () = assert!(BUFFERS.is_power_of_two());

/// What an operation was, in the high half of its user data; the slot is in the low one.
const ACCEPT: u64 = 0 << 32;
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const CLOSE: u64 = 3 << 32;

/// Echoes on one thread, for ever. `listening` is called when connections can come.
///
/// # Errors
/// The address cannot be listened on; the kernel has no `io_uring` with provided buffers that are
/// used up piece by piece (Linux 6.12), or forbids it.
pub fn serve(address: SocketAddr, listening: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = super::epoll::listen(address)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(COMPLETIONS)
        .build(ENTRIES)?;
    ring.submitter().register_files_sparse(FILES_MAX)?;
    let buffers = Buffers::new(&ring)?;
    let mut echo = Echo {
        ring,
        buffers,
        lines: Vec::new(),
        starved: Vec::new(),
        completed: Vec::new(),
        listener: Fd(listener.as_raw_fd()),
    };
    listening(listener.local_addr()?);
    echo.accept();
    loop {
        match echo.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) => {}
            Err(error) => return Err(error),
        }
        echo.turn()?;
    }
}

struct Echo {
    // Fields are dropped in order: the ring ends before the memory it was given.
    ring: IoUring,
    buffers: Buffers,
    lines: Vec<Line>,
    /// Slots whose receive ended because no buffer was free.
    starved: Vec<u32>,
    completed: Vec<(u64, i32, u32)>,
    listener: Fd,
}

#[derive(Default)]
struct Line {
    /// What came and has not left: buffer, offset, length.
    pieces: VecDeque<(u16, usize, usize)>,
    sending: bool,
    ended: bool,
}

impl Echo {
    fn turn(&mut self) -> io::Result<()> {
        let mut completed = std::mem::take(&mut self.completed);
        completed.extend(
            self.ring
                .completion()
                .map(|entry| (entry.user_data(), entry.result(), entry.flags())),
        );
        for (data, result, flags) in completed.drain(..) {
            let slot = data as u32;
            match data & !u64::from(u32::MAX) {
                ACCEPT => self.accepted(result, flags)?,
                RECEIVE => self.received(slot, result, flags),
                SEND => self.sent(slot, result),
                _ => {}
            }
        }
        self.completed = completed;
        if self.buffers.publish() {
            for slot in std::mem::take(&mut self.starved) {
                self.receive(slot);
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(self.listener)
            .allocate_file_index(true)
            .build()
            .user_data(ACCEPT);
        self.push(&entry);
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if !cqueue::more(flags) {
            self.accept();
        }
        match u32::try_from(result) {
            Ok(slot) => {
                let count = self.lines.len().max(slot as usize + 1);
                self.lines.resize_with(count, Line::default);
                self.lines[slot as usize] = Line::default();
                self.receive(slot);
                Ok(())
            }
            Err(_) if -result == libc::ECONNABORTED => Ok(()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        }
    }

    fn receive(&mut self, slot: u32) {
        let entry = opcode::RecvMulti::new(Fixed(slot), GROUP)
            .build()
            .user_data(RECEIVE | u64::from(slot));
        self.push(&entry);
    }

    fn received(&mut self, slot: u32, result: i32, flags: u32) {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            let len = usize::try_from(result).unwrap_or(0);
            let offset = self.buffers.take(buffer, len, cqueue::buffer_more(flags));
            let line = &mut self.lines[slot as usize];
            // Pieces that touch leave in one send, unless the first of them is on its way.
            let waits = line.pieces.len() > usize::from(line.sending);
            match line.pieces.back_mut() {
                Some((last, start, count))
                    if waits && *last == buffer && *start + *count == offset =>
                {
                    *count += len;
                    self.buffers.release(buffer);
                }
                _ => line.pieces.push_back((buffer, offset, len)),
            }
            if !line.sending {
                self.send(slot);
            }
        }
        if cqueue::more(flags) {
            return;
        }
        if result > 0 {
            self.receive(slot);
        } else if -result == libc::ENOBUFS {
            self.starved.push(slot);
        } else {
            self.lines[slot as usize].ended = true;
            self.close_if_done(slot);
        }
    }

    fn send(&mut self, slot: u32) {
        let line = &mut self.lines[slot as usize];
        let Some(&(buffer, offset, len)) = line.pieces.front() else {
            return;
        };
        line.sending = true;
        // With MSG_WAITALL the kernel goes on after a short write by itself.
        let entry = opcode::Send::new(Fixed(slot), self.buffers.at(buffer, offset), len as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(SEND | u64::from(slot));
        self.push(&entry);
    }

    fn sent(&mut self, slot: u32, result: i32) {
        let line = &mut self.lines[slot as usize];
        line.sending = false;
        if let Some((buffer, _, _)) = line.pieces.pop_front() {
            self.buffers.release(buffer);
        }
        if result < 0 {
            for (buffer, _, _) in std::mem::take(&mut line.pieces) {
                self.buffers.release(buffer);
            }
        }
        self.send(slot);
        self.close_if_done(slot);
    }

    fn close_if_done(&mut self, slot: u32) {
        let line = &self.lines[slot as usize];
        if line.ended && !line.sending && line.pieces.is_empty() {
            let entry = opcode::Close::new(Fixed(slot))
                .build()
                .user_data(CLOSE | u64::from(slot));
            self.push(&entry);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the only memory an entry names is that of `self.buffers`: it is not moved and is
        // freed after the ring has ended, and a buffer is not given to the kernel again before
        // what is sent from it has left.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // Full: submit what there is. Should that fail for want of room for completions, the
            // next attempt finds the same and the one after the wait finds room.
            if self.ring.submit().is_err() {
                let completed = &mut self.completed;
                completed.extend(
                    self.ring
                        .completion()
                        .map(|entry| (entry.user_data(), entry.result(), entry.flags())),
                );
            }
        }
    }
}

/// Memory the kernel receives into and sends from.
struct Buffers {
    /// `BUFFERS` entries, page-aligned, read by the kernel. Never freed: the process ends with it.
    ring: NonNull<BufRingEntry>,
    /// `BUFFERS` × `BUFFER_LEN` octets. Never freed.
    memory: NonNull<u8>,
    /// Octets the kernel has used up of each.
    used: [usize; BUFFERS as usize],
    /// Pieces of each that have not left.
    pieces: [usize; BUFFERS as usize],
    /// The kernel will put nothing more into it.
    full: [bool; BUFFERS as usize],
    tail: u16,
    published: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let mut buffers = Self {
            ring: pages(usize::from(BUFFERS) * size_of::<BufRingEntry>()).cast(),
            memory: pages(usize::from(BUFFERS) * BUFFER_LEN),
            used: [0; BUFFERS as usize],
            pieces: [0; BUFFERS as usize],
            full: [false; BUFFERS as usize],
            tail: 0,
            published: 0,
        };
        let address = buffers.ring.as_ptr() as u64;
        // SAFETY: page-aligned, of `BUFFERS` entries, and never freed.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, BUFFERS, GROUP, INCREMENTAL)?;
        }
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Notes a piece that came; returns where in the buffer it begins.
    fn take(&mut self, buffer: u16, len: usize, more: bool) -> usize {
        let index = usize::from(buffer);
        let offset = self.used[index];
        self.used[index] += len;
        self.pieces[index] += 1;
        self.full[index] = !more;
        offset
    }

    /// Notes that a piece has left.
    fn release(&mut self, buffer: u16) {
        let index = usize::from(buffer);
        self.pieces[index] -= 1;
        if self.pieces[index] == 0 && self.full[index] {
            self.give(buffer);
        }
    }

    fn at(&self, buffer: u16, offset: usize) -> *const u8 {
        debug_assert!(buffer < BUFFERS && offset < BUFFER_LEN);
        self.memory
            .as_ptr()
            .wrapping_add(usize::from(buffer) * BUFFER_LEN + offset)
    }

    fn give(&mut self, buffer: u16) {
        let index = usize::from(buffer);
        self.used[index] = 0;
        self.full[index] = false;
        let address = self.at(buffer, 0) as u64;
        // SAFETY: the index is below `BUFFERS`; the entry is behind the published tail, so the
        // kernel does not read it; no setter touches the tail, which shares the first entry.
        unsafe {
            let entry = &mut *self
                .ring
                .as_ptr()
                .add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(address);
            entry.set_len(BUFFER_LEN as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given; says whether there was anything.
    fn publish(&mut self) -> bool {
        if self.tail == self.published {
            return false;
        }
        // SAFETY: the tail is a word of the first entry of a live ring, which the kernel only
        // reads and this process only accesses atomically.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        // Release: the entries are written before the tail that covers them.
        tail.store(self.tail, Ordering::Release);
        self.published = self.tail;
        true
    }
}

/// Zeroed memory that begins at a page.
fn pages(len: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(len, PAGE_LEN).expect("a length of a few megabytes");
    // SAFETY: the layout has a length: no caller asks for none.
    let start = unsafe { alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_however_large() {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let result = serve("127.0.0.1:0".parse().unwrap(), |address| {
                send.send(Some(address)).unwrap();
            });
            // Kernels before 6.12, and sandboxes, have no such ring: nothing to test there.
            if result.is_err() {
                send.send(None).unwrap();
            }
        });
        let Some(address) = receive.recv().unwrap() else {
            return;
        };
        let clients: Vec<_> = (0..8_u8)
            .map(|client| {
                thread::spawn(move || {
                    for len in [1, 100, 70_000, 3 << 20] {
                        let sent: Vec<u8> = (0..len).map(|i| (i % 251) as u8 ^ client).collect();
                        let mut stream = TcpStream::connect(address).unwrap();
                        let mut writer = stream.try_clone().unwrap();
                        let copy = sent.clone();
                        let writing = thread::spawn(move || {
                            writer.write_all(&copy).unwrap();
                            writer.shutdown(Shutdown::Write).unwrap();
                        });
                        let mut came = Vec::new();
                        stream.read_to_end(&mut came).unwrap();
                        writing.join().unwrap();
                        assert!(came == sent, "{len} octets");
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    }
}
