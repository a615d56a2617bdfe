//! The simulated network: clients, the lines between them and the shards, and what befalls them.
//!
//! A line is two pipes. What a client sends lies in `up` until the server reads it; of that, a
//! part has arrived and can be read. What the server sends lies in `down` until the client takes
//! it. [`Network::carry`] moves a random part of a random pipe; between any two such moves the
//! world may run a shard. So every way in which octets can be torn, and every order of events on
//! different lines, has a seed that shows it.
//!
//! Knows nothing of WebSocket, of shards, or of who asks for what.

use std::collections::VecDeque;
use std::time::Duration;

use super::faults::{Counts, Fault, Faults};
use super::random::Random;
use crate::driver::Key;

mod calls;

/// How long things last that are not for ever.
const STALL_MAX: Duration = Duration::from_millis(500);
const STARVED_MAX: Duration = Duration::from_millis(200);
const LATE_MAX: Duration = Duration::from_millis(20);
const DIAL_MAX: Duration = Duration::from_millis(1);
const BURST_AFTER: Duration = Duration::from_millis(10);

/// Never, for a stall that only its maker ends.
const FOREVER: Duration = Duration::MAX;

/// How far into a session chance may end it, in octets.
const DOOM_MAX: usize = 1 << 13;

/// Events told by one wait; more are told by the next.
const EVENTS_MAX: usize = 64;

/// How the server's side of a line ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// In order: all that was sent before has come.
    Fin,
    /// Reset; what was on its way is lost.
    Reset,
    /// Nobody listens.
    Refused,
}

pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    /// Counts whatever moves: as long as it stands still, nothing happens.
    pub(crate) activity: u64,
    ports: Vec<Port>,
    lines: Vec<Line>,
    /// Lines that may have something to carry.
    active: Vec<u32>,
    dialing: Vec<u32>,
    burst_at: Duration,
    send_window: usize,
    receive_window: usize,
}

/// Where a shard listens.
#[derive(Default)]
struct Port {
    listening: bool,
    /// Connections that wait to be accepted.
    queue: VecDeque<u32>,
    /// The shard is to be told of them.
    incoming: bool,
    /// Lines whose readiness is to be told.
    edges: Vec<u32>,
    /// What the system is out of, and until when.
    starved: Option<(Fault, Duration)>,
    /// Descriptors that accepting may use although the process is out of them: the reserve that
    /// was given up.
    spare: u32,
}

/// A client and its connection.
struct Line {
    port: usize,
    key: Option<Key>,
    /// The server holds its end.
    held: bool,
    /// The server has or had it.
    accepted: bool,
    dials_at: Duration,
    up: Up,
    down: Down,
    edge: Edge,
    /// In `active`.
    listed: bool,
    /// What chance did to this client.
    befallen: Option<Fault>,
    doom: Option<Doom>,
}

#[derive(Default)]
struct Up {
    octets: VecDeque<u8>,
    /// How many of them have arrived.
    arrived: usize,
    /// How many the server has read, all in all.
    read: u64,
    /// The client says no more, and that this has arrived.
    fin: bool,
    fin_arrived: bool,
    stalled_until: Duration,
}

#[derive(Default)]
struct Down {
    octets: VecDeque<u8>,
    /// The server says no more.
    fin: bool,
    /// The line is reset, by either end.
    failed: bool,
    /// The server found no room.
    wants_room: bool,
    stalled_until: Duration,
    received: Vec<u8>,
    ended: Option<Ended>,
    /// The client takes no more: what comes resets.
    deaf: bool,
}

/// Readiness that is to be told.
#[derive(Default)]
struct Edge {
    readable: bool,
    writable: bool,
    hung_up: bool,
    due: Duration,
    listed: bool,
}

/// The end that chance has in store for a client.
#[derive(Clone, Copy)]
struct Doom {
    fault: Fault,
    /// After how many octets, of those sent or of those received.
    octets: usize,
    up: bool,
}

impl Line {
    /// How many octets can arrive now.
    fn room_up(&self, window: usize) -> usize {
        self.up
            .octets
            .len()
            .min(window)
            .saturating_sub(self.up.arrived)
    }

    fn has_up(&self, window: usize) -> bool {
        let fin = self.up.fin && !self.up.fin_arrived && self.up.arrived == self.up.octets.len();
        if self.down.failed {
            return false;
        }
        match (self.held, self.accepted) {
            // The server's end is gone: what comes is answered with a reset.
            (false, true) => !self.up.octets.is_empty(),
            _ => self.room_up(window) > 0 || fin,
        }
    }

    fn has_down(&self) -> bool {
        !self.down.octets.is_empty()
            || self.down.wants_room
            || (self.down.fin || self.down.failed) && self.down.ended.is_none()
    }

    fn can_read(&self) -> bool {
        self.up.arrived > 0 || self.up.fin_arrived || self.down.failed
    }
}

impl Network {
    pub(crate) fn new(
        seed: u64,
        ports: usize,
        faults: Faults,
        send_window: usize,
        receive_window: usize,
    ) -> Self {
        let port = |_| Port {
            listening: true,
            ..Port::default()
        };
        Self {
            now: Duration::ZERO,
            random: Random::new(seed),
            faults,
            counts: Counts::default(),
            activity: 0,
            ports: (0..ports).map(port).collect(),
            lines: Vec::new(),
            active: Vec::new(),
            dialing: Vec::new(),
            burst_at: Duration::ZERO,
            send_window,
            receive_window,
        }
    }

    /// Whether something goes wrong here and now; counts it.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.random.chance(self.faults.chance(fault));
        if strikes {
            self.counts.count(fault);
        }
        strikes
    }

    /// A moment by chance, at most `most` from now.
    pub(crate) fn soon(&mut self, most: Duration) -> Duration {
        self.now + Duration::from_micros(self.random.below(most.as_micros() as u64))
    }

    fn activate(&mut self, index: u32) {
        let line = &mut self.lines[index as usize];
        if !line.listed {
            line.listed = true;
            self.active.push(index);
        }
    }
}

// What the clients do.
impl Network {
    pub(crate) fn dial(&mut self, port: usize) -> u32 {
        let burst = self.strikes(Fault::Burst);
        let dials_at = if burst || self.burst_at > self.now {
            if self.burst_at <= self.now {
                self.burst_at = self.now + BURST_AFTER;
            }
            self.burst_at
        } else {
            self.soon(DIAL_MAX)
        };
        let doom = [Fault::HalfClose, Fault::Reset]
            .into_iter()
            .find(|&fault| self.random.chance(self.faults.chance(fault)))
            .map(|fault| Doom {
                fault,
                octets: self.random.size(DOOM_MAX) - 1,
                up: fault == Fault::HalfClose || self.random.chance(5_000),
            });
        let index = self.lines.len() as u32;
        self.lines.push(Line {
            port,
            key: None,
            held: false,
            accepted: false,
            dials_at,
            up: Up::default(),
            down: Down::default(),
            edge: Edge::default(),
            listed: false,
            befallen: None,
            doom,
        });
        self.dialing.push(index);
        index
    }

    pub(crate) fn send(&mut self, index: u32, octets: &[u8]) {
        let up = &mut self.lines[index as usize].up;
        if !up.fin {
            up.octets.extend(octets);
            self.activate(index);
        }
    }

    pub(crate) fn shut(&mut self, index: u32) {
        self.lines[index as usize].up.fin = true;
        self.activate(index);
    }

    /// Shuts, and takes no more: what comes is answered with a reset.
    pub(crate) fn leave(&mut self, index: u32) {
        self.lines[index as usize].down.deaf = true;
        self.shut(index);
    }

    pub(crate) fn reset(&mut self, index: u32) {
        self.fail(index);
        let line = &mut self.lines[index as usize];
        line.down.ended = Some(Ended::Reset);
    }

    pub(crate) fn stall(&mut self, index: u32, on: bool) {
        let until = if on { FOREVER } else { Duration::ZERO };
        self.lines[index as usize].down.stalled_until = until;
        self.activate(index);
    }

    pub(crate) fn hold(&mut self, index: u32, on: bool) {
        let until = if on { FOREVER } else { Duration::ZERO };
        self.lines[index as usize].up.stalled_until = until;
        self.activate(index);
    }

    /// What came since this was last asked.
    pub(crate) fn take(&mut self, index: u32) -> Vec<u8> {
        std::mem::take(&mut self.lines[index as usize].down.received)
    }

    pub(crate) fn ended(&self, index: u32) -> Option<Ended> {
        self.lines[index as usize].down.ended
    }

    pub(crate) fn befallen(&self, index: u32) -> Option<Fault> {
        self.lines[index as usize].befallen
    }

    /// Octets the client has sent and the server has not read.
    pub(crate) fn unread(&self, index: u32) -> usize {
        self.lines[index as usize].up.octets.len()
    }

    /// Octets of the client that have not arrived.
    pub(crate) fn in_flight(&self, index: u32) -> usize {
        let up = &self.lines[index as usize].up;
        up.octets.len() - up.arrived
    }

    /// Octets of the client the server has read.
    pub(crate) fn read_so_far(&self, index: u32) -> u64 {
        self.lines[index as usize].up.read
    }

    /// From now on nothing goes wrong, and what stands still for a while goes on.
    pub(crate) fn calm(&mut self) {
        self.faults = Faults::none();
        for line in &mut self.lines {
            line.doom = None;
            for until in [&mut line.up.stalled_until, &mut line.down.stalled_until] {
                if *until != FOREVER {
                    *until = Duration::ZERO;
                }
            }
        }
        for port in &mut self.ports {
            port.starved = None;
        }
    }
}

// What moves by itself.
impl Network {
    /// Moves something, if there is something to move.
    pub(crate) fn carry(&mut self) -> bool {
        self.land();
        let start = self.random.index(self.active.len());
        let mut tries = self.active.len();
        let mut at = start;
        while tries > 0 {
            tries -= 1;
            if at >= self.active.len() {
                at = 0;
            }
            let index = self.active[at];
            let line = &self.lines[index as usize];
            let (up, down) = (line.has_up(self.receive_window), line.has_down());
            if !up && !down {
                self.lines[index as usize].listed = false;
                self.active.swap_remove(at);
                continue;
            }
            let up = up && line.up.stalled_until <= self.now && line.dials_at <= self.now;
            let down = down && line.down.stalled_until <= self.now;
            if up && (!down || self.random.chance(5_000)) {
                self.carry_up(index);
                return true;
            }
            if down {
                self.carry_down(index);
                return true;
            }
            at += 1;
        }
        false
    }

    /// Whether [`carry`](Self::carry) would move something.
    pub(crate) fn can_carry(&self) -> bool {
        self.next_move() <= self.now
    }

    /// When something can next be moved or told that cannot be now.
    pub(crate) fn next_event(&self) -> Duration {
        let told = self
            .ports
            .iter()
            .flat_map(|port| &port.edges)
            .map(|&index| self.lines[index as usize].edge.due)
            .filter(|&due| due > self.now)
            .min();
        self.next_move().min(told.unwrap_or(FOREVER))
    }

    fn next_move(&self) -> Duration {
        let mut next = FOREVER;
        for &index in &self.dialing {
            next = next.min(self.lines[index as usize].dials_at);
            if next <= self.now {
                return next;
            }
        }
        for &index in &self.active {
            let line = &self.lines[index as usize];
            if line.has_up(self.receive_window) {
                next = next.min(line.up.stalled_until.max(line.dials_at));
            }
            if line.has_down() {
                next = next.min(line.down.stalled_until);
            }
            if next <= self.now {
                break;
            }
        }
        next
    }

    /// Whether a shard has something to be told now.
    pub(crate) fn has_events(&self, port: usize) -> bool {
        let port = &self.ports[port];
        port.incoming
            || port
                .edges
                .iter()
                .any(|&index| self.lines[index as usize].edge.due <= self.now)
    }

    /// Whether a shard has something to be told, now or later.
    pub(crate) fn has_edges(&self, port: usize) -> bool {
        let port = &self.ports[port];
        port.incoming || !port.edges.is_empty()
    }

    /// Whether nothing travels, and nobody waits to be accepted.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut ports = self.ports.iter();
        self.next_move() == FOREVER && ports.all(|port| !port.listening || port.queue.is_empty())
    }

    /// Lets those that dial reach their port.
    fn land(&mut self) {
        let now = self.now;
        let mut at = 0;
        while let Some(&index) = self.dialing.get(at) {
            let line = &mut self.lines[index as usize];
            if line.dials_at > now {
                at += 1;
                continue;
            }
            self.dialing.swap_remove(at);
            self.activity += 1;
            let port = &mut self.ports[line.port];
            if port.listening {
                port.queue.push_back(index);
                port.incoming = true;
            } else {
                line.down.ended = Some(Ended::Refused);
                line.down.failed = true;
            }
        }
    }

    fn carry_up(&mut self, index: u32) {
        self.activity += 1;
        if self.strikes(Fault::StallUp) {
            let until = self.soon(STALL_MAX);
            self.lines[index as usize].up.stalled_until = until;
            return;
        }
        let window = self.receive_window;
        let line = &mut self.lines[index as usize];
        if line.accepted && !line.held {
            line.up.octets.clear();
            line.up.arrived = 0;
            line.down.failed = true;
            return;
        }
        let room = line.room_up(window);
        let mut count = self.random.size(room).min(room);
        if self.random.chance(5_000) {
            count = room;
        }
        if let Some(doom) = &mut line.doom
            && doom.up
        {
            count = count.min(doom.octets);
            doom.octets -= count;
            let doom = *doom;
            line.up.arrived += count;
            if doom.octets == 0 {
                line.doom = None;
                line.befallen = Some(doom.fault);
                self.counts.count(doom.fault);
                if doom.fault == Fault::Reset {
                    return self.reset(index);
                }
                line.up.octets.truncate(line.up.arrived);
                line.up.fin = true;
            }
        } else {
            line.up.arrived += count;
        }
        let line = &mut self.lines[index as usize];
        let mut hung_up = false;
        // The end may come with the last octets or on its own.
        if line.up.fin
            && line.up.arrived == line.up.octets.len()
            && (count == 0 || self.random.chance(5_000))
        {
            line.up.fin_arrived = true;
            hung_up = true;
        }
        self.raise(index, true, false, hung_up);
    }

    fn carry_down(&mut self, index: u32) {
        self.activity += 1;
        if self.strikes(Fault::StallDown) {
            let until = self.soon(STALL_MAX);
            self.lines[index as usize].down.stalled_until = until;
            return;
        }
        let line = &mut self.lines[index as usize];
        if line.down.failed {
            line.down.octets.clear();
            line.down.wants_room = false;
            line.down.ended.get_or_insert(Ended::Reset);
            return;
        }
        let most = line.down.octets.len();
        let mut count = self.random.size(most).min(most);
        if self.random.chance(5_000) {
            count = most;
        }
        if line.down.deaf && most > 0 {
            // The client's end is gone.
            return self.fail(index);
        }
        let mut doomed = false;
        if let Some(doom) = &mut line.doom
            && !doom.up
        {
            count = count.min(doom.octets);
            doom.octets -= count;
            doomed = doom.octets == 0;
        }
        let (front, back) = line.down.octets.as_slices();
        let in_front = count.min(front.len());
        line.down.received.extend_from_slice(&front[..in_front]);
        line.down
            .received
            .extend_from_slice(&back[..count - in_front]);
        line.down.octets.drain(..count);
        if doomed {
            line.doom = None;
            line.befallen = Some(Fault::Reset);
            self.counts.count(Fault::Reset);
            return self.reset(index);
        }
        let line = &mut self.lines[index as usize];
        if line.down.fin && line.down.octets.is_empty() {
            line.down.ended.get_or_insert(Ended::Fin);
        }
        // Real systems wait for some room before they tell; any amount is allowed.
        let room = line.down.octets.len() < self.send_window;
        if line.down.wants_room
            && room
            && (line.down.octets.is_empty() || self.random.chance(5_000))
        {
            line.down.wants_room = false;
            self.raise(index, false, true, false);
        }
    }

    /// Both ends learn that the line is reset.
    fn fail(&mut self, index: u32) {
        let line = &mut self.lines[index as usize];
        line.down.failed = true;
        line.down.octets.clear();
        line.up.octets.truncate(line.up.arrived);
        // What had arrived may still be read, or is gone with the rest.
        if self.random.chance(5_000) {
            line.up.octets.clear();
            line.up.arrived = 0;
        }
        self.activity += 1;
        self.raise(index, true, true, true);
        self.activate(index);
    }

    /// Readiness is to be told to the shard.
    fn raise(&mut self, index: u32, readable: bool, writable: bool, hung_up: bool) {
        if !self.lines[index as usize].held {
            return;
        }
        let due = if self.strikes(Fault::LateReadiness) {
            self.soon(LATE_MAX)
        } else {
            self.now
        };
        let line = &mut self.lines[index as usize];
        let edge = &mut line.edge;
        edge.readable |= readable;
        edge.writable |= writable;
        edge.hung_up |= hung_up;
        if edge.listed {
            edge.due = edge.due.min(due);
        } else {
            edge.due = due;
            edge.listed = true;
            self.ports[line.port].edges.push(index);
        }
    }
}
