//! What compression costs a server, any server that echoes: processor time a message under a
//! closed loop, and memory a connection.
//!
//! ```text
//! deflate echo URL PID SIZE [CONNECTIONS [SECONDS [OFFER]]]
//! deflate idle URL PID [CONNECTIONS [OFFER]]
//! ```
//!
//! `echo` sends text that looks like JSON, compressed once in advance at zlib's level 6 and without
//! context, which every agreement allows; each connection has one message on its way. It inflates
//! the first reply of each connection and compares it; of the others it counts octets. `idle` opens
//! connections and asks for the server's memory, then once more after one message each way.
//!
//! The server's processor time and memory are those of /proc/PID. It knows nothing of the engine.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// Without context both ways: what all servers have to agree to.
const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Messages that differ, so that nobody sees the same one twice in a row.
const MESSAGES: usize = 64;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["echo", url, pid, size, ref rest @ ..] => echo(url, pid, size.parse()?, rest),
        ["idle", url, pid, ref rest @ ..] => idle(url, pid, rest),
        _ => Err(
            "deflate echo URL PID SIZE [CONNECTIONS [SECONDS [OFFER]]]\n\
                  deflate idle URL PID [CONNECTIONS [OFFER]]"
                .into(),
        ),
    }
}

fn echo(url: &str, pid: &str, size: usize, rest: &[&str]) -> Outcome<()> {
    let connections: usize = rest.first().map_or(Ok(50), |n| n.parse())?;
    let seconds: f64 = rest.get(1).map_or(Ok(5.0), |n| n.parse())?;
    let offer = rest.get(2).copied().unwrap_or(OFFER);
    let texts: Vec<Vec<u8>> = (0..MESSAGES as u64).map(|n| json(size, n)).collect();
    let frames: Vec<Vec<u8>> = texts.iter().map(|text| frame(&deflated(text))).collect();
    let mut peers = open(url, offer, connections)?;
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.stream.write_all(&frames[n % MESSAGES])?;
        let reply = peer.reply()?;
        if peer.text(&reply)? != texts[n % MESSAGES] {
            return Err("another message came back".into());
        }
    }
    let (mut count, mut octets) = (0_u64, 0_u64);
    let mut round = |count: &mut u64, octets: &mut u64| -> Outcome<()> {
        for (n, peer) in peers.iter_mut().enumerate() {
            peer.stream
                .write_all(&frames[(n + *count as usize) % MESSAGES])?;
        }
        for peer in &mut peers {
            *octets += peer.reply()?.payload.len() as u64;
            *count += 1;
        }
        Ok(())
    };
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        round(&mut count, &mut octets)?; // warm
    }
    (count, octets) = (0, 0);
    let (before, begin) = (cpu(pid)?, Instant::now());
    while begin.elapsed().as_secs_f64() < seconds {
        round(&mut count, &mut octets)?;
    }
    let (took, used) = (begin.elapsed(), cpu(pid)? - before);
    println!(
        "{size} octets, {connections} connections: {:.2} us of processor a message, {} octets a reply, {:.0} messages/s",
        used.as_secs_f64() * 1e6 / count as f64,
        octets / count,
        count as f64 / took.as_secs_f64(),
    );
    Ok(())
}

fn idle(url: &str, pid: &str, rest: &[&str]) -> Outcome<()> {
    let connections: usize = rest.first().map_or(Ok(10_000), |n| n.parse())?;
    let offer = rest
        .get(1)
        .copied()
        .unwrap_or("permessage-deflate; client_max_window_bits");
    let text = json(1000, 1);
    let whole = frame(&deflated(&text));
    drop(open(url, offer, 10)?);
    std::thread::sleep(Duration::from_millis(500));
    let before = memory(pid)?;
    let mut peers = open(url, offer, connections)?;
    let idle = memory(pid)?.saturating_sub(before);
    for peer in &mut peers {
        peer.stream.write_all(&whole)?;
        let reply = peer.reply()?;
        if peer.text(&reply)? != text {
            return Err("another message came back".into());
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let used = memory(pid)?.saturating_sub(before);
    println!(
        "{connections} connections: {} octets each when idle, {} after one message of 1,000 octets each way",
        idle / connections as u64,
        used / connections as u64,
    );
    Ok(())
}

/// A connection that agreed on compression.
struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    inflate: Inflate,
}

struct Reply {
    compressed: bool,
    payload: Vec<u8>,
}

fn open(url: &str, offer: &str, connections: usize) -> Outcome<Vec<Peer>> {
    let address = url.strip_prefix("ws://").ok_or("ws://HOST:PORT")?;
    let address = address.trim_end_matches('/');
    let mut peers = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(
            format!(
                "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Extensions: {offer}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8(head)?.to_ascii_lowercase();
        if !head.contains("sec-websocket-extensions: permessage-deflate") {
            return Err(format!("no compression was agreed on: {head}").into());
        }
        peers.push(Peer {
            stream,
            inbox: Vec::new(),
            inflate: Inflate::new(false, 15),
        });
    }
    Ok(peers)
}

impl Peer {
    fn reply(&mut self) -> Outcome<Reply> {
        loop {
            if let Some((reply, len)) = parse(&self.inbox) {
                self.inbox.drain(..len);
                return Ok(reply);
            }
            let mut chunk = [0; 32 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Err("the server ended the connection".into()),
                count => self.inbox.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn text(&mut self, reply: &Reply) -> Outcome<Vec<u8>> {
        if !reply.compressed {
            return Ok(reply.payload.clone());
        }
        let input = [&reply.payload[..], &[0x00, 0x00, 0xFF, 0xFF]].concat();
        let mut plain = vec![0; 1 << 20];
        self.inflate
            .decompress(&input, &mut plain, InflateFlush::SyncFlush)
            .map_err(|error| format!("a reply that does not inflate: {error:?}"))?;
        plain.truncate(self.inflate.total_out() as usize);
        Ok(plain)
    }
}

/// The first frame of a server, and its length with its header.
fn parse(octets: &[u8]) -> Option<(Reply, usize)> {
    let (start, len) = match *octets.get(1)? {
        126 => (
            4,
            usize::from(u16::from_be_bytes(*octets.get(2..4)?.first_chunk()?)),
        ),
        127 => (
            10,
            u64::from_be_bytes(*octets.get(2..10)?.first_chunk()?) as usize,
        ),
        len => (2, usize::from(len)),
    };
    let reply = Reply {
        compressed: octets[0] & 0x40 != 0,
        payload: octets.get(start..start + len)?.to_vec(),
    };
    Some((reply, start + len))
}

/// A compressed text message in one frame. A mask of zeros is one as well.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xC1];
    match payload.len() {
        len @ 0..126 => octets.push(0x80 | len as u8),
        len => {
            octets.push(0x80 | 126);
            octets.extend((len as u16).to_be_bytes());
        }
    }
    octets.extend([0; 4]);
    octets.extend_from_slice(payload);
    octets
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut stream = Deflate::new(6, false, 15);
    let mut out = vec![0; plain.len() + 64];
    stream
        .compress(plain, &mut out, DeflateFlush::SyncFlush)
        .expect("there is room");
    out.truncate(stream.total_out() as usize - 4);
    out
}

/// Text like that of a market feed, of `len` octets.
fn json(len: usize, seed: u64) -> Vec<u8> {
    const SYMBOLS: [&str; 5] = ["AAPL", "MSFT", "GOOG", "NVDA", "TSLA"];
    let mut dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = String::from("[");
    let mut id = 1000 + seed * 7;
    while text.len() < len {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        if text.len() > 1 {
            text.push(',');
        }
        text += &format!(
            "{{\"id\":{id},\"symbol\":\"{}\",\"price\":{}.{:02},\"volume\":{},\"side\":\"{}\",\"time\":\"2026-11-20T14:{:02}:{:02}.{:03}Z\"}}",
            SYMBOLS[(dice % 5) as usize],
            100 + dice % 400,
            dice / 7 % 100,
            (dice >> 20) % 10_000,
            if dice & 64 == 0 { "buy" } else { "sell" },
            (dice >> 8) % 60,
            (dice >> 16) % 60,
            (dice >> 30) % 1000,
        );
        id += 1;
    }
    text.truncate(len - 1);
    text.push(']');
    text.into_bytes()
}

/// User and system time of the server.
fn cpu(pid: &str) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in brackets")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10)) // USER_HZ is 100 on every Linux
}

/// Anonymous memory of the server.
fn memory(pid: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line
        .ok_or("no RssAnon")?
        .trim()
        .trim_end_matches("kB")
        .trim();
    Ok(kib.parse::<u64>()? * 1024)
}
