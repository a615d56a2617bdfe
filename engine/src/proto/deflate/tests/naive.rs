//! Inflate as RFC 1951 writes it down, one bit after the other, which also tells how far back
//! references reach: the judge of what we send.

/// A receiver that keeps its context, or not.
pub(super) struct Naive {
    window: Vec<u8>,
    takeover: bool,
    window_len: usize,
}

impl Naive {
    pub(super) fn new(takeover: bool, window_bits: u8) -> Self {
        Self {
            window: Vec::new(),
            takeover,
            window_len: 1 << window_bits,
        }
    }

    /// The text of a compressed message.
    pub(super) fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.takeover {
            self.window.clear();
        }
        let from = self.window.len();
        let octets = [payload, &[0, 0, 0xFF, 0xFF]].concat();
        let mut bits = Bits {
            octets: &octets,
            at: 0,
        };
        while bits.at < octets.len() * 8 {
            self.block(&mut bits);
        }
        assert_eq!(bits.at, octets.len() * 8);
        let text = self.window[from..].to_vec();
        let excess = self.window.len().saturating_sub(1 << 16);
        self.window.drain(..excess);
        text
    }

    fn block(&mut self, bits: &mut Bits<'_>) {
        assert_eq!(bits.take(1), 0, "BFINAL travels although it need not");
        match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let (len, complement) = (bits.take(16), bits.take(16));
                assert_eq!(len ^ complement, 0xFFFF);
                (0..len).for_each(|_| self.window.push(bits.take(8) as u8));
            }
            1 => {
                let lens: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                self.symbols(bits, &Code::new(&lens), &Code::new(&[5; 30]));
            }
            2 => {
                let (literals, distances) = (257 + bits.take(5), 1 + bits.take(5));
                let count = 4 + bits.take(4);
                let mut lens = [0; 19];
                let order = [
                    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
                ];
                for &symbol in order.iter().take(count) {
                    lens[symbol] = bits.take(3) as u8;
                }
                let code = Code::new(&lens);
                let mut lens: Vec<u8> = Vec::new();
                while lens.len() < literals + distances {
                    let (value, times) = match code.read(bits) {
                        16 => (*lens.last().unwrap(), 3 + bits.take(2)),
                        17 => (0, 3 + bits.take(3)),
                        18 => (0, 11 + bits.take(7)),
                        len => (len as u8, 1),
                    };
                    lens.extend(std::iter::repeat_n(value, times));
                }
                let (literals, distances) = lens.split_at(literals);
                self.symbols(bits, &Code::new(literals), &Code::new(distances));
            }
            _ => panic!("no such block"),
        }
    }

    fn symbols(&mut self, bits: &mut Bits<'_>, literals: &Code, distances: &Code) {
        loop {
            let symbol = literals.read(bits);
            if symbol < 256 {
                self.window.push(symbol as u8);
                continue;
            }
            if symbol == 256 {
                return;
            }
            let len = match symbol - 257 {
                code @ 0..8 => 3 + code,
                28 => 258,
                code => {
                    let extra = code / 4 - 1;
                    3 + ((4 + code % 4) << extra) + bits.take(extra as u32)
                }
            };
            let distance = match distances.read(bits) {
                code @ 0..4 => 1 + code,
                code => {
                    let extra = code / 2 - 1;
                    1 + ((2 + code % 2) << extra) + bits.take(extra as u32)
                }
            };
            assert!(
                distance <= self.window_len,
                "a reference {distance} octets back"
            );
            let from = self
                .window
                .len()
                .checked_sub(distance)
                .expect("before the begin");
            (from..from + len).for_each(|at| self.window.push(self.window[at]));
        }
    }
}

struct Code {
    /// For each length, the symbols in order.
    symbols: Vec<Vec<usize>>,
}

impl Code {
    fn new(lens: &[u8]) -> Self {
        let of = |len| (0..lens.len()).filter(move |&symbol| usize::from(lens[symbol]) == len);
        Self {
            symbols: (0..16).map(|len| of(len).collect()).collect(),
        }
    }

    fn read(&self, bits: &mut Bits<'_>) -> usize {
        let (mut code, mut first) = (0, 0);
        for symbols in &self.symbols[1..] {
            code = code << 1 | bits.take(1);
            first <<= 1;
            if let Some(&symbol) = symbols.get(code - first) {
                return symbol;
            }
            first += symbols.len();
        }
        panic!("no such code");
    }
}

struct Bits<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> usize {
        let bit = |at: usize| usize::from(self.octets[at / 8] >> (at % 8) & 1);
        let value = (0..count as usize).map(|n| bit(self.at + n) << n).sum();
        self.at += count as usize;
        value
    }
}

#[test]
fn the_examples_of_the_rfc() {
    let mut naive = Naive::new(true, 15);
    for octets in [
        &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..],
        &[0xF2, 0x00, 0x11, 0x00, 0x00],
        &[
            0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
        ],
    ] {
        assert_eq!(naive.inflate(octets), b"Hello");
    }
}
