//! The network from the server's side: what a shard asks of its kernel, and what fails then.

use std::io::{self, ErrorKind};

use super::{EVENTS_MAX, Edge, Fault, LATE_MAX, Network, STARVED_MAX};
use crate::driver::Key;
use crate::driver::kernel::Event;

impl Network {
    /// Tells what became possible.
    pub(crate) fn harvest(&mut self, port: usize, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        if self.strikes(Fault::InterruptedWait) {
            return Err(ErrorKind::Interrupted.into());
        }
        if std::mem::take(&mut self.ports[port].incoming) {
            events.push(Event::Incoming);
        }
        let mut edges = std::mem::take(&mut self.ports[port].edges);
        self.random.shuffle(&mut edges);
        edges.retain(|&index| {
            if events.len() >= EVENTS_MAX || self.lines[index as usize].edge.due > self.now {
                return true;
            }
            self.tell(index, events)
        });
        self.ports[port].edges = edges;
        Ok(())
    }

    /// Tells of one line; `true` when it is to be told again.
    fn tell(&mut self, index: u32, events: &mut Vec<Event>) -> bool {
        let again = self
            .strikes(Fault::SpuriousReadiness)
            .then(|| self.soon(LATE_MAX));
        // Some systems tell what has changed, others all that is so.
        let all = self.random.chance(5_000);
        let room = self.send_window;
        let line = &mut self.lines[index as usize];
        let edge = std::mem::take(&mut line.edge);
        let Some(key) = line.key.filter(|_| line.held) else {
            return false;
        };
        events.push(Event::Stream {
            key,
            readable: edge.readable || all && line.can_read(),
            writable: edge.writable || all && line.down.octets.len() < room,
            hung_up: edge.hung_up || all && (line.up.fin_arrived || line.down.failed),
        });
        if let Some(due) = again {
            line.edge = Edge {
                readable: true,
                writable: true,
                hung_up: false,
                due,
                listed: true,
            };
        }
        again.is_some()
    }

    pub(crate) fn accept(&mut self, port: usize) -> io::Result<u32> {
        self.land();
        if self.ports[port].queue.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.strikes(Fault::InterruptedAccept) {
            return Err(ErrorKind::Interrupted.into());
        }
        if let Some(error) = self.starve(port) {
            return Err(error);
        }
        let Some(index) = self.ports[port].queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        self.activity += 1;
        for (fault, error) in [
            (Fault::Aborted, libc::ECONNABORTED),
            (Fault::ProtocolFailure, libc::EPROTO),
        ] {
            if self.strikes(fault) {
                self.lines[index as usize].befallen = Some(fault);
                self.reset(index);
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        let line = &mut self.lines[index as usize];
        line.held = true;
        line.accepted = true;
        if self.ports[port].starved.is_some() {
            line.befallen = Some(Fault::OutOfDescriptors);
            self.ports[port].spare -= 1;
        }
        Ok(index)
    }

    /// Whether the system is out of something that accepting needs.
    fn starve(&mut self, port: usize) -> Option<io::Error> {
        let now = self.now;
        if self.ports[port]
            .starved
            .is_some_and(|(_, until)| until <= now)
        {
            self.ports[port].starved = None;
        }
        if self.ports[port].starved.is_none() {
            let fault = [
                Fault::OutOfDescriptors,
                Fault::OutOfFiles,
                Fault::OutOfBuffers,
                Fault::OutOfMemory,
            ]
            .into_iter()
            .find(|&fault| self.strikes(fault))?;
            self.ports[port].starved = Some((fault, self.soon(STARVED_MAX)));
            self.ports[port].spare = 0;
        }
        let (fault, _) = self.ports[port].starved?;
        let error = match fault {
            Fault::OutOfDescriptors if self.ports[port].spare > 0 => return None,
            Fault::OutOfDescriptors => libc::EMFILE,
            Fault::OutOfFiles => libc::ENFILE,
            Fault::OutOfBuffers => libc::ENOBUFS,
            _ => libc::ENOMEM,
        };
        Some(io::Error::from_raw_os_error(error))
    }

    /// Whether there is a descriptor to hold back.
    pub(crate) fn take_spare(&mut self, port: usize) -> bool {
        let port = &mut self.ports[port];
        if port.starved.is_none() {
            return true;
        }
        let spare = port.spare > 0;
        port.spare = port.spare.saturating_sub(1);
        spare
    }

    /// A descriptor comes back.
    pub(crate) fn give_spare(&mut self, port: usize) {
        if self.ports[port].starved.is_some() {
            self.ports[port].spare += 1;
        }
    }

    pub(crate) fn watch(&mut self, index: u32, key: Key) -> io::Result<()> {
        if self.strikes(Fault::Unwatched) {
            self.lines[index as usize].befallen = Some(Fault::Unwatched);
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let line = &mut self.lines[index as usize];
        line.key = Some(key);
        let (readable, gone) = (line.can_read(), line.up.fin_arrived || line.down.failed);
        self.raise(index, readable, true, gone);
        Ok(())
    }

    pub(crate) fn read(&mut self, index: u32, buffer: &mut [u8]) -> io::Result<usize> {
        if self.strikes(Fault::InterruptedRead) {
            return Err(ErrorKind::Interrupted.into());
        }
        let most = self.lines[index as usize].up.arrived.min(buffer.len());
        if most == 0 {
            let line = &self.lines[index as usize];
            return match () {
                () if line.down.failed => Err(ErrorKind::ConnectionReset.into()),
                () if line.up.fin_arrived => Ok(0),
                () => Err(ErrorKind::WouldBlock.into()),
            };
        }
        self.activity += 1;
        // Once the end has come, all that was before it has.
        let line = &self.lines[index as usize];
        let over = line.down.failed || line.up.fin_arrived;
        let torn = most > 1 && !over && self.strikes(Fault::TornRead);
        let count = if torn {
            self.random.size(most - 1)
        } else {
            most
        };
        let lost = self.strikes(Fault::LostOctet);
        let line = &mut self.lines[index as usize];
        let (front, back) = line.up.octets.as_slices();
        let in_front = count.min(front.len());
        buffer[..in_front].copy_from_slice(&front[..in_front]);
        buffer[in_front..count].copy_from_slice(&back[..count - in_front]);
        line.up.octets.drain(..count);
        line.up.arrived -= count;
        line.up.read += count as u64;
        if torn {
            // A short read has drained the stream: the rest has not come yet, and is told of.
            line.up.arrived = 0;
        }
        self.activate(index);
        if lost && count > 1 {
            buffer.copy_within(1..count, 0);
            return Ok(count - 1);
        }
        Ok(count)
    }

    /// Takes what there is room for.
    pub(crate) fn write(&mut self, index: u32, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.strikes(Fault::InterruptedWrite) {
            return Err(ErrorKind::Interrupted.into());
        }
        let line = &self.lines[index as usize];
        if line.down.failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.send_window.saturating_sub(line.down.octets.len());
        let mut count = offered.min(room);
        if count > 1 && self.strikes(Fault::ShortWrite) {
            count = self.random.size(count - 1);
        }
        let line = &mut self.lines[index as usize];
        line.down.wants_room |= count < offered;
        let mut left = count;
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            line.down.octets.extend(part);
            left -= part.len();
        }
        self.activate(index);
        if count == 0 && offered > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.activity += 1;
        Ok(count)
    }

    /// The server says no more.
    pub(crate) fn finish(&mut self, index: u32) {
        self.activity += 1;
        self.lines[index as usize].down.fin = true;
        self.activate(index);
    }

    /// The server lets go of its end.
    pub(crate) fn close(&mut self, index: u32) {
        let line = &mut self.lines[index as usize];
        line.held = false;
        line.key = None;
        line.down.wants_room = false;
        let port = line.port;
        if line.up.arrived > 0 {
            // Closing over what was not read resets, and takes along what has not left.
            line.up.octets.clear();
            line.up.arrived = 0;
            line.down.octets.clear();
            line.down.failed = true;
        }
        self.finish(index);
        self.give_spare(port);
    }

    pub(crate) fn unlisten(&mut self, port: usize) {
        self.ports[port].listening = false;
        for index in std::mem::take(&mut self.ports[port].queue) {
            self.reset(index);
        }
    }
}
