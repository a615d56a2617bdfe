//! A WebSocket client of the simulated world that keeps every rule, and keeps a record.

use wirebahn::sim::{Client, Ended, Random};

use crate::wire::{self, Reader, Said};

/// See the module.
pub struct Peer {
    client: Client,
    random: Random,
    reader: Reader,
    /// What was sent: messages, in order, and after how many octets each was whole.
    sent: Vec<Sent>,
    pings: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    octets: u64,
    status: Option<u16>,
    messages: Vec<(bool, Vec<u8>)>,
    /// The Close frame of each side.
    closing: Option<Option<(u16, String)>>,
    closed: Option<Option<(u16, String)>>,
    ended: Option<Ended>,
    mute: bool,
    /// It did not keep its own promise to read, so the server may end in the middle of anything.
    vanished: bool,
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Whether it is text.
    pub text: bool,
    /// What it says.
    pub payload: Vec<u8>,
    /// After how many octets of this client it was whole.
    pub end: u64,
}

impl Peer {
    /// A client that has not said anything yet.
    #[must_use]
    pub fn new(client: Client, seed: u64) -> Self {
        Self {
            client,
            random: Random::new(seed),
            reader: Reader::default(),
            sent: Vec::new(),
            pings: Vec::new(),
            pongs: Vec::new(),
            octets: 0,
            status: None,
            messages: Vec::new(),
            closing: None,
            closed: None,
            ended: None,
            mute: false,
            vanished: false,
        }
    }

    /// Sends the opening handshake.
    pub fn open(&mut self) {
        self.write(wire::REQUEST);
    }

    /// Sends a message of any octets.
    pub fn binary(&mut self, payload: Vec<u8>) {
        self.message(false, payload);
    }

    /// Sends a message, whole or in fragments, with pings between them at times.
    pub fn message(&mut self, text: bool, payload: Vec<u8>) {
        if self.mute {
            return;
        }
        let mut octets = Vec::with_capacity(payload.len() + 16);
        let mut opcode = if text { wire::TEXT } else { wire::BINARY };
        let mut rest = &payload[..];
        while self.random.chance(2_000) {
            let (piece, after) = rest.split_at(self.random.index(rest.len() + 1));
            let key = self.key();
            wire::frame(&mut octets, false, opcode, piece, key);
            opcode = wire::CONTINUATION;
            rest = after;
            if self.random.chance(2_000) {
                let payload = (self.pings.len() as u64).to_be_bytes().to_vec();
                let key = self.key();
                wire::frame(&mut octets, true, wire::PING, &payload, key);
                self.pings.push(payload);
            }
        }
        let key = self.key();
        wire::frame(&mut octets, true, opcode, rest, key);
        self.write(&octets);
        self.sent.push(Sent {
            text,
            payload,
            end: self.octets,
        });
    }

    /// Sends a ping.
    pub fn ping(&mut self) {
        if !self.mute {
            let payload = (self.pings.len() as u64).to_be_bytes().to_vec();
            self.frame(true, wire::PING, &payload);
            self.pings.push(payload);
        }
    }

    /// Sends a Close frame; nothing comes after it.
    pub fn close(&mut self, close: Option<(u16, &str)>) {
        if self.mute {
            return;
        }
        let payload =
            close.map_or_else(Vec::new, |(code, reason)| wire::close_payload(code, reason));
        self.frame(true, wire::CLOSE, &payload);
        self.closing = Some(close.map(|(code, reason)| (code, reason.to_owned())));
        self.mute = true;
    }

    /// Sends octets that are no sound frames; nothing comes after them.
    pub fn misbehave(&mut self, octets: &[u8]) {
        if !self.mute {
            self.write(octets);
            self.mute = true;
        }
    }

    /// Shuts this side of the transport.
    pub fn shut(&mut self) {
        self.mute = true;
        self.client.shut();
    }

    /// Shuts this side and takes nothing more.
    pub fn leave(&mut self) {
        self.mute = true;
        self.client.leave();
    }

    /// Is there no more: nothing goes and nothing is taken, until [`reappear`](Self::reappear).
    pub fn vanish(&mut self) {
        self.mute = true;
        self.vanished = true;
        self.client.hold(true);
        self.client.stall(true);
    }

    /// Is there again, to find that all is over.
    pub fn reappear(&mut self) {
        self.client.hold(false);
        self.client.stall(false);
    }

    /// Resets the transport.
    pub fn reset(&mut self) {
        self.mute = true;
        self.client.reset();
    }

    /// Sends one frame.
    pub fn frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let mut octets = Vec::new();
        let key = self.key();
        wire::frame(&mut octets, fin, opcode, payload, key);
        self.write(&octets);
    }

    /// Sends octets as they are.
    pub fn write(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.client.send(octets);
    }

    /// Hears what has come, and answers what must be answered: pings, the Close frame, the end.
    /// Says whether anything had.
    ///
    /// # Errors
    /// The rule the server has broken.
    pub fn hear(&mut self) -> Result<bool, String> {
        let octets = self.client.take();
        let mut said = Vec::new();
        self.reader.read(&octets, &mut said)?;
        for one in said {
            match one {
                Said::Status(status) => self.status = Some(status),
                Said::Message(text, payload) => self.messages.push((text, payload)),
                Said::Ping(payload) if !self.mute => self.frame(true, wire::PONG, &payload),
                Said::Ping(_) => {}
                Said::Pong(payload) => self.pongs.push(payload),
                Said::Close(close) => {
                    if !self.mute {
                        let answer = close.clone();
                        let answer = answer.as_ref();
                        self.close(answer.map(|(code, reason)| (*code, reason.as_str())));
                    }
                    self.closed = Some(close);
                }
            }
        }
        let ended = self.client.ended();
        let news = !octets.is_empty() || ended != self.ended;
        self.ended = ended;
        match ended {
            Some(Ended::Fin) => {
                if !self.vanished {
                    self.reader.end()?;
                }
                self.shut();
            }
            Some(_) => self.mute = true,
            None => {}
        }
        Ok(news)
    }

    fn key(&mut self) -> [u8; 4] {
        (self.random.number() as u32).to_be_bytes()
    }
}

// What is on record.
impl Peer {
    /// The transport.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How the opening handshake was answered, if it was.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether messages may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == Some(101) && !self.mute
    }

    /// Messages sent.
    #[must_use]
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Messages received.
    #[must_use]
    pub fn messages(&self) -> &[(bool, Vec<u8>)] {
        &self.messages
    }

    /// The Close frame that was sent.
    #[must_use]
    pub fn closing(&self) -> Option<&Option<(u16, String)>> {
        self.closing.as_ref()
    }

    /// The Close frame that came.
    #[must_use]
    pub fn closed(&self) -> Option<&Option<(u16, String)>> {
        self.closed.as_ref()
    }

    /// Whether the pongs that came answer pings that were sent, in order, none twice (RFC 6455
    /// section 5.5.3 lets a server skip all but the newest).
    #[must_use]
    pub fn pongs_are_sound(&self) -> bool {
        let mut pings = self.pings.iter();
        self.pongs.iter().all(|pong| pings.any(|ping| ping == pong))
    }

    /// Whether the newest ping has been answered, or there was none.
    #[must_use]
    pub fn newest_ping_is_answered(&self) -> bool {
        self.pongs.last() == self.pings.last()
    }
}
