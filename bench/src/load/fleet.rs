//! The loop of one load thread: its connections, their opening handshakes, and whose turn it is.
//!
//! What the connections are for is the [`Play`]'s business: it is told when one stands, is open,
//! has heard something, can be written to again, or is lost; once a turn it may act on any of
//! them. One `epoll_wait` a turn, one `recv` a readable connection, one clock read beside it, and
//! whatever the play writes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use wirebahn::proto::handshake::{
    Answer, ClientRequest, HEAD_LEN_MAX, HeadScanner, Key, parse_response, write_request,
};

use super::check::Fault;
use super::target::Target;
use super::wire::Wire;

/// One read takes at most this much.
const BUFFER_LEN: usize = 256 << 10;

/// Events fetched by one wait.
const EVENTS_LEN: usize = 1024;

/// How long a connection may take from its first packet to its opened state. Default of the
/// option that sets it.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the connections of a thread are for.
pub(crate) trait Play {
    /// What is kept for each connection.
    type Seat;

    /// Once a turn, before waiting: acts on connections, opens new ones.
    fn turn(&mut self, fleet: &mut Fleet<Self::Seat>, now: Instant) -> Turn;

    /// The transport stands; for WebSocket the request is on its way.
    fn connected(&mut self, _seat: &mut Self::Seat, _now: Instant) {}

    /// The opening handshake is over.
    fn opened(&mut self, wire: &mut Wire, seat: &mut Self::Seat, now: Instant)
    -> Result<(), Fault>;

    /// Octets came.
    fn received(
        &mut self,
        wire: &mut Wire,
        seat: &mut Self::Seat,
        octets: &[u8],
        now: Instant,
    ) -> Result<(), Fault>;

    /// There is room to write again.
    fn writable(&mut self, wire: &mut Wire, seat: &mut Self::Seat) -> Result<(), Fault>;

    /// A connection is over, whatever stage it was in.
    fn lost(&mut self, seat: Self::Seat, fault: Fault, now: Instant);
}

/// What a play wants next.
pub(crate) enum Turn {
    /// Wait for events, but no longer than this.
    Wait(Duration),
    /// The run is over.
    Done,
}

/// The connections of a thread.
pub(crate) struct Fleet<S> {
    poll: Poll,
    target: Target,
    /// Taken in turn by connections; empty: the system chooses.
    sources: Vec<IpAddr>,
    source_next: usize,
    members: Vec<Option<Member<S>>>,
    free: Vec<usize>,
    /// Those whose last read filled the buffer, and those lost while connecting.
    again: VecDeque<usize>,
    opening: usize,
    live: usize,
    /// Openings and when they must be over, oldest first.
    deadlines: VecDeque<(Instant, usize, u64)>,
    born: u64,
    open_timeout: Duration,
    /// The deadline is for the whole life of a connection, not only for its opening.
    whole_life: bool,
}

struct Member<S> {
    wire: Wire,
    seat: S,
    stage: Stage,
    queued: bool,
    hung_up: bool,
    /// Which of those that ever had this index.
    born: u64,
}

enum Stage {
    Connecting,
    Opening(Box<Opening>),
    Open,
}

struct Opening {
    key: Key,
    request: Vec<u8>,
    written: usize,
    scanner: HeadScanner,
    head: Vec<u8>,
}

impl<S> Fleet<S> {
    pub(crate) fn new(
        target: Target,
        sources: Vec<IpAddr>,
        open_timeout: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            target,
            sources,
            source_next: 0,
            members: Vec::new(),
            free: Vec::new(),
            again: VecDeque::new(),
            opening: 0,
            live: 0,
            deadlines: VecDeque::new(),
            born: 0,
            open_timeout,
            whole_life: false,
        })
    }

    /// Something that ends a wait of this fleet from another thread.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        // No connection has this index; its event finds none and is passed over.
        Waker::new(self.poll.registry(), Token(usize::MAX))
    }

    /// Makes the timeout one for a connection's whole life, opening and closing.
    pub(crate) fn limit_lives(mut self) -> Self {
        self.whole_life = true;
        self
    }

    /// Begins a connection.
    ///
    /// # Errors
    /// No descriptor, no port, nobody listens; the seat is lost then.
    pub(crate) fn connect(&mut self, seat: S, now: Instant) -> io::Result<()> {
        let source = match self.sources.len() {
            0 => None,
            count => Some(self.sources[self.source_next % count]),
        };
        self.source_next = self.source_next.wrapping_add(1);
        let mut wire = Wire::connect(self.target.endpoint(), source)?;
        let index = self.free.last().copied().unwrap_or(self.members.len());
        wire.register(self.poll.registry(), Token(index))?;
        self.born += 1;
        let member = Member {
            wire,
            seat,
            stage: Stage::Connecting,
            queued: false,
            hung_up: false,
            born: self.born,
        };
        if self.free.pop().is_some() {
            self.members[index] = Some(member);
        } else {
            self.members.push(Some(member));
        }
        self.opening += 1;
        self.live += 1;
        self.deadlines
            .push_back((now + self.open_timeout, index, self.born));
        Ok(())
    }

    /// Connections on their way to be open.
    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    /// All connections.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Acts on every open connection; those it finds at fault are lost at the end of the turn.
    pub(crate) fn for_each_open(
        &mut self,
        mut act: impl FnMut(&mut Wire, &mut S) -> Result<(), Fault>,
    ) -> Vec<(usize, Fault)> {
        let mut lost = Vec::new();
        for (index, member) in self.members.iter_mut().enumerate() {
            let Some(member) = member else { continue };
            if matches!(member.stage, Stage::Open)
                && let Err(fault) = act(&mut member.wire, &mut member.seat)
            {
                lost.push((index, fault));
            }
        }
        lost
    }

    /// One open connection by its index, which runs from 0 to the number of connections begun
    /// where none was lost.
    pub(crate) fn open_at(&mut self, index: usize) -> Option<(&mut Wire, &mut S)> {
        let member = self.members.get_mut(index)?.as_mut()?;
        matches!(member.stage, Stage::Open).then_some((&mut member.wire, &mut member.seat))
    }

    /// Ends a connection.
    pub(crate) fn remove(&mut self, index: usize) -> Option<S> {
        let member = self.members.get_mut(index)?.take()?;
        if !matches!(member.stage, Stage::Open) {
            self.opening -= 1;
        }
        self.live -= 1;
        self.free.push(index);
        Some(member.seat)
    }

    fn serve<P: Play<Seat = S>>(&mut self, index: usize, buffer: &mut [u8], play: &mut P) {
        let Some(Some(member)) = self.members.get_mut(index) else {
            return;
        };
        let was_open = matches!(member.stage, Stage::Open);
        let served = member.serve(&self.target, buffer, play);
        let is_open = matches!(member.stage, Stage::Open);
        if !was_open && is_open {
            self.opening -= 1;
        }
        match served {
            Ok(false) => {}
            Ok(true) => {
                if !member.queued {
                    member.queued = true;
                    self.again.push_back(index);
                }
            }
            Err(fault) => self.lose(index, fault, play),
        }
    }

    fn lose<P: Play<Seat = S>>(&mut self, index: usize, fault: Fault, play: &mut P) {
        if let Some(seat) = self.remove(index) {
            play.lost(seat, fault, Instant::now());
        }
    }

    /// Loses those that did not open in time.
    fn expire<P: Play<Seat = S>>(&mut self, now: Instant, play: &mut P) {
        while let Some(&(at, index, born)) = self.deadlines.front() {
            let late = match self.members.get(index) {
                Some(Some(member)) if member.born == born => {
                    self.whole_life || !matches!(member.stage, Stage::Open)
                }
                _ => false,
            };
            if late && at > now {
                return;
            }
            self.deadlines.pop_front();
            if late {
                self.lose(index, Fault::Late, play);
            }
        }
    }
}

/// Runs a play until it is done.
pub(crate) fn run<P: Play>(fleet: &mut Fleet<P::Seat>, play: &mut P) -> io::Result<()> {
    let mut events = Events::with_capacity(EVENTS_LEN);
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let now = Instant::now();
        fleet.expire(now, play);
        let wait = match play.turn(fleet, now) {
            Turn::Done => return Ok(()),
            Turn::Wait(_) if !fleet.again.is_empty() => Duration::ZERO,
            Turn::Wait(wait) => wait,
        };
        match fleet.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        let waiting = fleet.again.len();
        for event in &events {
            let Token(index) = event.token();
            let Some(Some(member)) = fleet.members.get_mut(index) else {
                continue;
            };
            member.hung_up |= event.is_read_closed() || event.is_error();
            if event.is_writable() {
                member.wire.unblock();
                let result = match member.stage {
                    Stage::Open => play.writable(&mut member.wire, &mut member.seat),
                    _ => Ok(()),
                };
                if let Err(fault) = result {
                    fleet.lose(index, fault, play);
                    continue;
                }
            }
            let opening = !matches!(member.stage, Stage::Open);
            if event.is_readable() || member.hung_up || opening {
                fleet.serve(index, &mut buffer, play);
            }
        }
        for _ in 0..waiting {
            let Some(index) = fleet.again.pop_front() else {
                break;
            };
            if let Some(Some(member)) = fleet.members.get_mut(index) {
                member.queued = false;
                fleet.serve(index, &mut buffer, play);
            }
        }
    }
}

impl<S> Member<S> {
    /// One read and what follows from it. Says whether there may be more to read.
    #[inline]
    fn serve<P: Play<Seat = S>>(
        &mut self,
        target: &Target,
        buffer: &mut [u8],
        play: &mut P,
    ) -> Result<bool, Fault> {
        if matches!(self.stage, Stage::Connecting) {
            match self.wire.is_connected() {
                Ok(true) => self.connected(target, play)?,
                Ok(false) => return Ok(false),
                Err(error) => return Err(Fault::Transport(error.kind())),
            }
        }
        if let Stage::Opening(opening) = &mut self.stage {
            opening.write(&mut self.wire)?;
        }
        let count = match self.wire.read(buffer) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) => return Err(Fault::Closed { code: None }),
            Ok(Some(count)) => count,
            Err(error) => return Err(Fault::Transport(error.kind())),
        };
        let now = Instant::now();
        let more = count == buffer.len() || self.hung_up;
        let mut octets = &buffer[..count];
        let rest;
        if let Stage::Opening(opening) = &mut self.stage {
            match opening.hear(octets, target)? {
                None => return Ok(more),
                Some(frames) => rest = frames,
            }
            self.stage = Stage::Open;
            play.opened(&mut self.wire, &mut self.seat, now)?;
            octets = &rest;
            if octets.is_empty() {
                return Ok(more);
            }
        }
        play.received(&mut self.wire, &mut self.seat, octets, now)?;
        Ok(more)
    }

    #[cold]
    fn connected<P: Play<Seat = S>>(&mut self, target: &Target, play: &mut P) -> Result<(), Fault> {
        self.wire.unblock();
        let now = Instant::now();
        play.connected(&mut self.seat, now);
        if target.is_raw() {
            self.stage = Stage::Open;
            return play.opened(&mut self.wire, &mut self.seat, now);
        }
        self.stage = Stage::Opening(Box::new(Opening::new(target)?));
        Ok(())
    }
}

impl Opening {
    fn new(target: &Target) -> Result<Self, Fault> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)
            .map_err(|error| Fault::Refused(format!("no random octets: {error}")))?;
        let key = Key::from_nonce(nonce);
        let mut request = Vec::new();
        write_request(
            &mut request,
            &ClientRequest {
                user_agent: Some(concat!("wirebahn-load/", env!("CARGO_PKG_VERSION"))),
                no_cache: false,
                ..ClientRequest::new(target.host(), target.resource(), &key)
            },
        )
        .map_err(|error| Fault::Refused(error.to_string()))?;
        Ok(Self {
            key,
            request,
            written: 0,
            scanner: HeadScanner::response(),
            head: Vec::new(),
        })
    }

    fn write(&mut self, wire: &mut Wire) -> Result<(), Fault> {
        while let Some(rest) = self
            .request
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match wire.write(rest) {
                Ok(0) => break,
                Ok(count) => self.written += count,
                Err(error) => return Err(Fault::Transport(error.kind())),
            }
        }
        Ok(())
    }

    /// Takes octets of the answer; once it is whole and opens the connection, what came behind it.
    fn hear(&mut self, octets: &[u8], target: &Target) -> Result<Option<Vec<u8>>, Fault> {
        self.head.extend_from_slice(octets);
        let end = match self.scanner.find_end(&self.head, HEAD_LEN_MAX) {
            Ok(None) => return Ok(None),
            Ok(Some(end)) => end,
            Err(error) => return Err(Fault::Refused(format!("{error:?}"))),
        };
        let request = ClientRequest::new(target.host(), target.resource(), &self.key);
        match parse_response(&self.head[..end], &request.expectation()) {
            Ok(Answer::Accepted(_)) => Ok(Some(self.head.split_off(end))),
            Ok(Answer::Other(other)) => Err(Fault::Refused(format!("status {}", other.status()))),
            Err(error) => Err(Fault::Refused(error.to_string())),
        }
    }
}
