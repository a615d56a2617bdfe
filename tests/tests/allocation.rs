//! A steady echo allocates nothing: counted, on the worker's thread, with a real socket.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wirebahn::{Context, Message, Server, ServerConfig, handler_fn};
use wirebahn_tests::open;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread's allocations count: the worker's do.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[allow(unsafe_code)] // an allocator cannot be had without
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

fn count() {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A masked frame. A key of zeros masks with nothing, which is legal and easy to compare.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match payload.len() {
        len @ 0..126 => octets.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            octets.push(0xFE);
            octets.extend((len as u16).to_be_bytes());
        }
        len => {
            octets.push(0xFF);
            octets.extend((len as u64).to_be_bytes());
        }
    }
    octets.extend([0; 4]);
    octets.extend(payload);
    octets
}

/// What the server answers to it.
fn echoed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = frame(first, payload);
    octets[1] &= 0x7F;
    let head = octets.len() - payload.len();
    octets.drain(head - 4..head);
    octets
}

struct Exchange {
    name: &'static str,
    /// Written one after the other, with a pause between them.
    pieces: Vec<Vec<u8>>,
    answer: Vec<u8>,
}

fn exchanges() -> Vec<Exchange> {
    let text = "plain and grüß and 世界 ".repeat(40).into_bytes();
    let small = frame(0x82, &[7; 16]);
    let torn = frame(0x81, &text);
    let large = vec![9; 300_000];
    let fragments = [
        frame(0x01, &text[..4]),
        frame(0x89, b"?"),
        frame(0x80, &text[4..]),
    ];
    vec![
        Exchange {
            name: "binary",
            answer: echoed(0x82, &[7; 16]),
            pieces: vec![small.clone()],
        },
        Exchange {
            name: "text",
            answer: echoed(0x81, &text),
            pieces: vec![frame(0x81, &text)],
        },
        Exchange {
            name: "sixteen in one",
            answer: echoed(0x82, &[7; 16]).repeat(16),
            pieces: vec![small.repeat(16)],
        },
        Exchange {
            name: "ping",
            answer: echoed(0x8A, b"abc"),
            pieces: vec![frame(0x89, b"abc")],
        },
        Exchange {
            name: "torn in the header and in the payload",
            answer: echoed(0x81, &text),
            pieces: vec![
                torn[..3].to_vec(),
                torn[3..500].to_vec(),
                torn[500..].to_vec(),
            ],
        },
        Exchange {
            name: "fragmented, with a ping between",
            answer: [echoed(0x8A, b"?"), echoed(0x81, &text)].concat(),
            pieces: vec![fragments.concat()],
        },
        Exchange {
            name: "larger than the receive buffer",
            answer: echoed(0x82, &large),
            pieces: vec![frame(0x82, &large)],
        },
    ]
}

#[test]
fn a_steady_echo_allocates_nothing() {
    let config = ServerConfig::builder()
        .workers(1)
        .build()
        .expect("the defaults are sound");
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .config(config)
        .serve(|_| {
            COUNTED.set(true);
            handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
                let _ = context.send(message);
            })
        })
        .expect("the server starts");
    let (mut stream, _) = open(server.local_addr());

    let starting = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(
        starting > 0,
        "the worker allocated when it started, and that was not counted"
    );
    for exchange in exchanges() {
        let Exchange {
            name,
            pieces,
            answer,
        } = exchange;
        let mut received = vec![0; answer.len()];
        let mut run = |rounds: usize| {
            for _ in 0..rounds {
                for (i, piece) in pieces.iter().enumerate() {
                    if i > 0 {
                        // So that the pieces are received apart, most of the time.
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    stream.write_all(piece).expect("it reads");
                }
                stream.read_exact(&mut received).expect("it answers");
                assert!(received == answer, "{name}: another answer");
            }
        };
        // Buffers reach their size, whichever way the octets happen to be cut.
        run(50);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        run(200);
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        println!("{name}: {allocations} allocations in 200 rounds");
        assert_eq!(allocations, 0, "{name}");
    }
}
