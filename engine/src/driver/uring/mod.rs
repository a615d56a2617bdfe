//! The driver for completions: io_uring.
//!
//! A connection is received from by one multishot receive into the shard's provided buffers; all
//! that a turn has to send is submitted, together with everything else, by the same system call
//! that waits for the next completions. So a turn costs one system call, whatever it carries.
//!
//! The kernel may touch three kinds of memory while an operation is in flight, and each is kept
//! until its completion came:
//! - the receive buffers, by [`buffers`];
//! - what is being sent, by the connection's outbox, which freezes what it gave out: its slot, and
//!   so the connection behind the key, is let go only when nothing of it is in flight;
//! - the slices of a vectored send, by the slot itself ([`Vectored`]).
//!
//! When the driver is dropped it cancels what is in flight and waits for it, so the rest of the
//! shard must be dropped after it.
//!
//! Per turn: 1 `io_uring_enter`. Per accepted connection: 1 `getpeername`, 1 `shutdown` and 1
//! `close`. No lock, no allocation for a message that is sent from one piece.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::clock::Clock;
use super::listener::{ACCEPTS_PER_TURN, Pause, is_starved, refuse};
use super::{Driver, End, Key, Sink, Slices};
use crate::proto::outbox::GATHER_MAX;
use crate::shard::mailbox::Wake;
use crate::tick::Tick;

mod buffers;

use buffers::Buffers;

/// Submissions that fit before the kernel must be called: more than a busy turn makes.
const SUBMISSIONS: u32 = 1024;

/// Completions that fit; beyond, the kernel keeps them and hands them over later.
const COMPLETIONS: u32 = 8192;

/// How long the driver waits, when it is dropped, for what it cancelled. If the kernel is not done
/// by then the memory is leaked, not freed.
const QUIESCE_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Uring {
    /// Before the buffers: dropped, and so closed, before they are.
    ring: IoUring,
    buffers: Option<Buffers>,
    slots: Vec<Option<Slot>>,
    listener: Option<TcpListener>,
    accepting: bool,
    pause: Pause,
    reserve: Option<File>,
    wake: Arc<EventFd>,
    /// Where the kernel puts the count of `wake`; boxed, because it must not move.
    wake_count: Box<u64>,
    waking: bool,
    /// Completions of this turn.
    completed: Vec<(u64, i32, u32)>,
    /// Connections to settle at the end of this turn.
    dirty: Vec<Key>,
    /// Connections whose receive ended for want of buffers.
    starved: Vec<Key>,
    /// Connections that submitted a send in the turn before, to see whether it is stuck.
    sending: VecDeque<Key>,
    /// Spare records for vectored sends. Boxed, because the kernel holds their addresses.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Vectored>>,
    /// Operations the kernel has not completed for good.
    in_flight: usize,
    clock: Clock,
    start: Instant,
}

struct Slot {
    stream: TcpStream,
    generation: u32,
    /// A multishot receive is armed, or its last completion is due.
    receiving: bool,
    /// It was asked to end.
    cancelled: bool,
    /// Octets offered to the send that is in flight; 0 when there is none.
    offered: usize,
    /// The slices of that send, where there are several.
    vectored: Option<Box<Vectored>>,
    /// The sink wants what comes.
    wanted: bool,
    /// The peer shut its side.
    ended: bool,
    /// On the `dirty` list.
    dirty: bool,
    /// To be closed as soon as nothing is in flight, and why.
    closing: Option<Option<ErrorKind>>,
}

/// The slices of a send, where the kernel reads them.
struct Vectored {
    header: libc::msghdr,
    slices: [libc::iovec; GATHER_MAX],
}

/// What a completion is of; the top bits of its user data.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Receive = 0,
    Send = 1,
    Accept = 2,
    Wake = 3,
    Cancel = 4,
}

const KIND_SHIFT: u32 = 61;

/// The bits of a generation that fit beside the kind. A slot would have to be used half a billion
/// times while one operation is in flight to be mistaken, and it is not used again before.
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - 32)) - 1;

const fn user_data(kind: Kind, key: Key) -> u64 {
    (kind as u64) << KIND_SHIFT | (key.generation as u64 & GENERATION_MASK) << 32 | key.index as u64
}

impl Uring {
    /// A driver on this listening socket, and what wakes it from other threads. To be made on the
    /// thread that runs it.
    ///
    /// # Errors
    /// The kernel's, where it has no io_uring, forbids it, or has too old a one.
    pub(crate) fn new(listener: TcpListener) -> io::Result<(Self, Arc<dyn Wake>)> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(ErrorKind::Unsupported.into());
        }
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::RecvMulti::CODE,
            opcode::AcceptMulti::CODE,
            opcode::Send::CODE,
            opcode::SendMsg::CODE,
            opcode::AsyncCancel::CODE,
            opcode::Read::CODE,
        ];
        if !needed.iter().all(|&code| probe.is_supported(code)) {
            return Err(ErrorKind::Unsupported.into());
        }
        let buffers = Buffers::new(&ring.submitter())?;
        listener.set_nonblocking(false)?;
        let wake = Arc::new(EventFd::new()?);
        let start = Instant::now();
        let driver = Self {
            ring,
            buffers: Some(buffers),
            slots: Vec::new(),
            listener: Some(listener),
            accepting: false,
            pause: Pause::default(),
            reserve: File::open("/dev/null").ok(),
            wake: Arc::clone(&wake),
            wake_count: Box::new(0),
            waking: false,
            completed: Vec::new(),
            dirty: Vec::new(),
            starved: Vec::new(),
            sending: VecDeque::new(),
            spare: Vec::new(),
            in_flight: 0,
            clock: Clock::new(Duration::ZERO),
            start,
        };
        Ok((driver, wake as Arc<dyn Wake>))
    }

    /// Hands an operation to the kernel, with the next system call.
    ///
    /// # Safety
    /// The memory the entry names stays where it is until its last completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the caller's promise.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // Full: submit without waiting. What fails leaves entries in the queue; completions
            // that stand in the way are taken out at the end of the turn, and this is not reached
            // more than a few times a turn.
            if self.ring.submit().is_err() {
                self.collect();
            }
        }
        self.in_flight += 1;
    }

    /// Submits what was pushed and waits, at most for `timeout`.
    fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let result = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let time = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&time);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match result {
            Ok(_) => Ok(()),
            // Time is up; a signal; completions must be taken out first; memory is short for now.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes completions out of the ring, so that handling them may submit.
    fn collect(&mut self) {
        let completed = &mut self.completed;
        for entry in self.ring.completion() {
            completed.push((entry.user_data(), entry.result(), entry.flags()));
        }
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        slot(&mut self.slots, key)
    }

    /// The key an operation was submitted for; its slot is not let go before its completion.
    fn key_of(&self, data: u64) -> Option<Key> {
        let index = data as u32;
        let slot = self.slots.get(index as usize)?.as_ref()?;
        let generation = slot.generation;
        (u64::from(generation) & GENERATION_MASK == data >> 32 & GENERATION_MASK)
            .then_some(Key { index, generation })
    }

    fn mark(&mut self, key: Key) {
        if let Some(slot) = slot(&mut self.slots, key)
            && !slot.dirty
        {
            slot.dirty = true;
            self.dirty.push(key);
        }
    }

    fn completed(&mut self, data: u64, result: i32, flags: u32, sink: &mut impl Sink) {
        let more = cqueue::more(flags);
        if !more {
            self.in_flight -= 1;
        }
        match data >> KIND_SHIFT {
            kind if kind == Kind::Receive as u64 => self.received(data, result, flags, sink),
            kind if kind == Kind::Send as u64 => self.sent(data, result, sink),
            kind if kind == Kind::Accept as u64 => {
                self.accepting &= more;
                self.accepted(result, sink);
            }
            kind if kind == Kind::Wake as u64 => self.waking = false,
            _ => {}
        }
    }

    fn received(&mut self, data: u64, result: i32, flags: u32, sink: &mut impl Sink) {
        let key = self.key_of(data);
        let open = key.filter(|&key| self.slot(key).is_some_and(|slot| slot.closing.is_none()));
        if let (Some(id), Some(buffers)) = (cqueue::buffer_select(flags), self.buffers.as_mut()) {
            let len = usize::try_from(result).unwrap_or(0);
            if let (Some(octets), Some(key)) = (buffers.take(id, len), open)
                && len > 0
            {
                sink.received(key, octets);
            }
            buffers.finish(id, cqueue::buffer_more(flags));
        }
        let Some(key) = key else { return };
        let Some(slot) = self.slot(key) else { return };
        if !cqueue::more(flags) {
            slot.receiving = false;
            slot.cancelled = false;
        }
        match result {
            1.. => {}
            0 => {
                slot.ended = true;
                if open.is_some() {
                    sink.ended(key);
                }
            }
            error => match -error {
                libc::ENOBUFS => self.starved.push(key),
                libc::ECANCELED | libc::EINTR | libc::EAGAIN => {}
                error => self.close(key, Some(io::Error::from_raw_os_error(error).kind())),
            },
        }
        self.mark(key);
    }

    fn sent(&mut self, data: u64, result: i32, sink: &mut impl Sink) {
        let Some(key) = self.key_of(data) else { return };
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        slot.offered = 0;
        if let Some(vectored) = slot.vectored.take() {
            self.spare.push(vectored);
        }
        match usize::try_from(result) {
            Ok(count) => sink.sent(key, count),
            Err(_) => {
                sink.sent(key, 0);
                if !matches!(-result, libc::ECANCELED | libc::EINTR | libc::EAGAIN) {
                    self.close(key, Some(io::Error::from_raw_os_error(-result).kind()));
                }
            }
        }
        self.mark(key);
    }

    fn accepted(&mut self, result: i32, sink: &mut impl Sink) {
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            if -result == libc::ECANCELED {
                return;
            }
            sink.accept_failed(&error);
            if is_starved(&error) {
                self.turn_away();
                self.pause.begin(self.start.elapsed());
            }
            return;
        }
        self.pause.end();
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        let mut stream = unsafe { TcpStream::from_raw_fd(result) };
        // A peer that is gone already has no address any more.
        let Ok(peer) = stream.peer_addr() else { return };
        match sink.accepted(peer) {
            Some(key) => self.admit(key, stream),
            None => refuse(&mut stream),
        }
    }

    fn admit(&mut self, key: Key, stream: TcpStream) {
        let index = key.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        debug_assert!(
            self.slots[index].is_none(),
            "a slot was used again too early"
        );
        self.slots[index] = Some(Slot {
            stream,
            generation: key.generation,
            receiving: false,
            cancelled: false,
            offered: 0,
            vectored: None,
            wanted: true,
            ended: false,
            dirty: false,
            closing: None,
        });
        self.arm(key);
    }

    /// Out of descriptors: gives one up to take a connection that waits, and closes it.
    fn turn_away(&mut self) {
        self.set_nonblocking(true);
        for _ in 0..ACCEPTS_PER_TURN {
            let (Some(listener), Some(reserve)) = (&self.listener, self.reserve.take()) else {
                break;
            };
            drop(reserve);
            let accepted = listener.accept();
            let Ok((mut stream, _)) = accepted else { break };
            refuse(&mut stream);
            drop(stream);
            self.reserve = File::open("/dev/null").ok();
        }
        if self.reserve.is_none() {
            self.reserve = File::open("/dev/null").ok();
        }
        self.set_nonblocking(false);
    }

    /// A socket the ring waits for must be one that blocks: on others it does not wait.
    fn set_nonblocking(&self, on: bool) {
        if let Some(listener) = &self.listener {
            // Cannot fail on a socket.
            let _ = listener.set_nonblocking(on);
        }
    }

    /// Keeps accepting, or ends it, as the sink wants.
    fn tend_listener(&mut self, sink: &impl Sink) {
        let Some(listener) = &self.listener else {
            return;
        };
        if !sink.accepts() {
            if self.accepting {
                let key = Key {
                    index: 0,
                    generation: 0,
                };
                let entry = opcode::AsyncCancel::new(user_data(Kind::Accept, key))
                    .build()
                    .user_data(user_data(Kind::Cancel, key));
                // SAFETY: the entry names no memory.
                unsafe { self.push(&entry) };
            }
            // An accept that is in flight holds the socket itself.
            self.listener = None;
            return;
        }
        if self.accepting
            || self
                .pause
                .left(|| self.start.elapsed())
                .is_some_and(|left| !left.is_zero())
        {
            return;
        }
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(user_data(
                Kind::Accept,
                Key {
                    index: 0,
                    generation: 0,
                },
            ));
        self.accepting = true;
        // SAFETY: the entry names no memory.
        unsafe { self.push(&entry) };
    }

    fn tend_wake(&mut self) {
        if self.waking {
            return;
        }
        let target: *mut u64 = &mut *self.wake_count;
        let entry = opcode::Read::new(Fd(self.wake.as_raw_fd()), target.cast(), 8)
            .build()
            .user_data(user_data(
                Kind::Wake,
                Key {
                    index: 0,
                    generation: 0,
                },
            ));
        self.waking = true;
        // SAFETY: `wake_count` is boxed, used for nothing else, and outlives the read: dropping the
        // driver waits for what is in flight, or leaks it.
        unsafe { self.push(&entry) };
    }

    /// Arms a multishot receive, if the sink wants what comes and none is armed.
    fn arm(&mut self, key: Key) {
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        if slot.receiving || slot.ended || !slot.wanted || slot.closing.is_some() {
            return;
        }
        slot.receiving = true;
        let entry = opcode::RecvMulti::new(Fd(slot.stream.as_raw_fd()), buffers::GROUP)
            .build()
            .user_data(user_data(Kind::Receive, key));
        // SAFETY: the entry names no memory of its own; the buffers it selects from are kept by
        // `Buffers`.
        unsafe { self.push(&entry) };
    }

    fn cancel(&mut self, kind: Kind, key: Key) {
        let entry = opcode::AsyncCancel::new(user_data(kind, key))
            .build()
            .user_data(user_data(Kind::Cancel, key));
        // SAFETY: the entry names no memory.
        unsafe { self.push(&entry) };
    }

    /// Submits what may leave and does what the sink wishes.
    fn settle(&mut self, key: Key, sink: &mut impl Sink) {
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        if slot.closing.is_some() {
            return self.finish(key, sink);
        }
        if slot.offered == 0 {
            self.send(key, sink);
        }
        let wish = sink.wish(key);
        let Some(slot) = self.slot(key) else { return };
        slot.wanted = wish.read;
        let cancel = !wish.read && slot.receiving && !slot.cancelled;
        match wish.end {
            Some(End::Close) => {
                self.close(key, None);
                return self.finish(key, sink);
            }
            Some(End::Linger) => {
                // An error means that the peer is gone; the receive that follows says so.
                let _ = slot.stream.shutdown(Shutdown::Write);
                sink.shut(key);
            }
            None => {}
        }
        if cancel {
            if let Some(slot) = self.slot(key) {
                slot.cancelled = true;
            }
            self.cancel(Kind::Receive, key);
        } else {
            self.arm(key);
        }
    }

    fn send(&mut self, key: Key, sink: &mut impl Sink) {
        let mut slices = Slices::new();
        sink.gather(key, &mut slices);
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        let fd = Fd(slot.stream.as_raw_fd());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match slices.as_slice() {
            [] => return,
            [slice] => {
                slot.offered = slice.len();
                // A longer slice is sent in parts: what is not offered now is gathered again.
                let len = u32::try_from(slice.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, slice.as_ptr(), len)
                    .flags(flags)
                    .build()
            }
            many => {
                let mut vectored = self.spare.pop().unwrap_or_else(Vectored::new);
                vectored.fill(many);
                slot.offered = many.iter().map(|slice| slice.len()).sum();
                let header: *const libc::msghdr = &vectored.header;
                slot.vectored = Some(vectored);
                opcode::SendMsg::new(fd, header).flags(flags as u32).build()
            }
        };
        drop(slices);
        // SAFETY: what is sent lies in segments of the connection's outbox that `gather` froze
        // until `sent` or `closed`, and neither is called before the completion; the slices and
        // the header lie in the slot's own box.
        unsafe { self.push(&entry.user_data(user_data(Kind::Send, key))) };
        self.sending.push_back(key);
    }

    /// Begins to close: cancels what is in flight. [`finish`](Self::finish) does the rest.
    fn close(&mut self, key: Key, error: Option<ErrorKind>) {
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        if slot.closing.is_some() {
            return;
        }
        slot.closing = Some(error);
        let (receiving, sending) = (slot.receiving && !slot.cancelled, slot.offered > 0);
        slot.cancelled |= receiving;
        if receiving {
            self.cancel(Kind::Receive, key);
        }
        if sending {
            self.cancel(Kind::Send, key);
        }
    }

    /// Lets go of a closing connection once nothing of it is in flight.
    fn finish(&mut self, key: Key, sink: &mut impl Sink) {
        let Some(slot) = slot(&mut self.slots, key) else {
            return;
        };
        let Some(error) = slot.closing else { return };
        if slot.receiving || slot.offered > 0 {
            return;
        }
        self.slots[key.index as usize] = None;
        sink.closed(key, error);
    }

    /// Sends that were submitted a turn ago and are still in flight: the peer takes nothing.
    fn note_stuck(&mut self, submitted: usize, sink: &mut impl Sink) {
        for _ in 0..submitted {
            let Some(key) = self.sending.pop_front() else {
                return;
            };
            if self
                .slot(key)
                .is_some_and(|slot| slot.offered > 0 && slot.closing.is_none())
            {
                sink.blocked(key);
            }
        }
    }
}

fn slot(slots: &mut [Option<Slot>], key: Key) -> Option<&mut Slot> {
    slots
        .get_mut(key.index as usize)?
        .as_mut()
        .filter(|slot| slot.generation == key.generation)
}

impl Driver for Uring {
    fn turn(&mut self, wait: Option<Duration>, sink: &mut impl Sink) -> io::Result<()> {
        self.tend_listener(sink);
        self.tend_wake();
        let asleep = sink.sleep();
        let idle = asleep && self.completed.is_empty() && self.dirty.is_empty();
        let timeout = if idle {
            let pause = self.pause.left(|| self.start.elapsed());
            [wait, pause].into_iter().flatten().min()
        } else {
            Some(Duration::ZERO)
        };
        let submitted = self.sending.len();
        self.enter(timeout)?;
        sink.woke(self.clock.turn(self.start.elapsed(), timeout));

        self.collect();
        let mut completed = std::mem::take(&mut self.completed);
        for (data, result, flags) in completed.drain(..) {
            self.completed(data, result, flags, sink);
        }
        // What came in meanwhile, because the submission queue was full, waits for the next turn.
        completed.append(&mut self.completed);
        self.completed = completed;
        if let Some(buffers) = self.buffers.as_mut() {
            buffers.publish();
        }
        // Buffers were given back just now; who went without one has his turn again.
        for key in std::mem::take(&mut self.starved) {
            self.mark(key);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            if let Some(slot) = self.slot(key) {
                slot.dirty = false;
            }
            self.settle(key, sink);
        }
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        while let Some(key) = sink.next_due() {
            self.settle(key, sink);
        }
        self.note_stuck(submitted, sink);
        Ok(())
    }

    fn now(&self) -> Tick {
        self.clock.tick()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.listener = None;
        let entry = opcode::AsyncCancel2::new(io_uring::types::CancelBuilder::any())
            .build()
            .user_data(user_data(
                Kind::Cancel,
                Key {
                    index: 0,
                    generation: 0,
                },
            ));
        // SAFETY: the entry names no memory.
        unsafe { self.push(&entry) };
        let end = Instant::now() + QUIESCE_MAX;
        while self.in_flight > 0 && Instant::now() < end {
            if self.enter(Some(Duration::from_millis(10))).is_err() {
                break;
            }
            self.collect();
            for (_, _, flags) in self.completed.drain(..) {
                if !cqueue::more(flags) {
                    self.in_flight -= 1;
                }
            }
        }
        if self.in_flight > 0 {
            // The kernel may still write to these: better leaked than freed.
            std::mem::forget(self.buffers.take());
            std::mem::forget(std::mem::take(&mut self.wake_count));
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}

impl Vectored {
    fn new() -> Box<Self> {
        Box::new(Self {
            // SAFETY: a header of zeros is one without name, slices and control data.
            header: unsafe { std::mem::zeroed() },
            slices: [libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 0,
            }; GATHER_MAX],
        })
    }

    fn fill(&mut self, slices: &[io::IoSlice<'_>]) {
        let mut count = 0;
        for (target, slice) in self.slices.iter_mut().zip(slices) {
            *target = libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            };
            count += 1;
        }
        self.header.msg_iov = self.slices.as_mut_ptr();
        self.header.msg_iovlen = count;
    }
}

/// A counter that a wait can watch; from any thread.
struct EventFd(File);

impl EventFd {
    fn new() -> io::Result<Self> {
        // SAFETY: the call names no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Wake for EventFd {
    fn wake(&self) {
        // The counter cannot overflow by ones, and nothing else can fail.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }
}
