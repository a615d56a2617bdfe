//! Slow work beside the event loop: a client sends a number as text and gets its square, one
//! second later.
//!
//! A handler runs on the thread that serves all connections of a core, so it must never wait. It
//! hands the number to a pool of threads; whichever takes it answers by a `Remote`, from there.

use std::env;
use std::error::Error;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use wirebahn::{ConnectionId, Context, Message, Remote, Server, handler_fn};

/// Threads that calculate: this many squares a second.
const CALCULATORS: usize = 8;

/// Numbers that may wait for a calculator. When more come, clients are told to try again: a queue
/// without an end would only hide that the work is not done.
const WAITING_MAX: usize = 64;

/// A number, and whom to answer.
struct Task {
    number: f64,
    client: ConnectionId,
    remote: Remote,
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());

    let (tasks, waiting) = sync_channel(WAITING_MAX);
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..CALCULATORS {
        let waiting = Arc::clone(&waiting);
        thread::spawn(move || calculate(&waiting));
    }

    let server = Server::builder().bind(address).serve(move |_| {
        let tasks = tasks.clone();
        handler_fn(move |context: &mut Context<'_>, message: Message<'_>| {
            take(&tasks, context, message);
        })
    })?;
    println!("listening on ws://{}", server.local_addr());
    server.join()?;
    Ok(())
}

/// On the event loop: reads the number and hands it on, or answers at once why not.
fn take(tasks: &SyncSender<Task>, context: &mut Context<'_>, message: Message<'_>) {
    let number = match message {
        Message::Text(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        Message::Binary(_) => None,
    };
    let Some(number) = number else {
        let _ = context.send("not a number");
        return;
    };
    let task = Task {
        number,
        // Unique while the server runs: an answer never reaches a later connection.
        client: context.id(),
        remote: context.remote(),
    };
    if tasks.try_send(task).is_err() {
        let _ = context.send("busy, try again later");
    }
}

/// On a thread of its own: takes the next number, takes its time, answers.
fn calculate(waiting: &Mutex<Receiver<Task>>) {
    loop {
        // The lock is held while waiting, not while calculating.
        let task = match waiting.lock() {
            Ok(waiting) => waiting.recv(),
            Err(_) => return, // another calculator panicked
        };
        let Ok(task) = task else {
            return; // the server is gone
        };
        thread::sleep(Duration::from_secs(1)); // squares are hard
        let square = task.number * task.number;
        // A client that is gone meanwhile is no error.
        if let Err(error) = task.remote.send(task.client, &square.to_string()) {
            eprintln!("an answer was lost: {error}");
        }
    }
}
