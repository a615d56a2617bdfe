//! Sessions, sans I/O: a [`Joiner`] or [`Acceptor`] opens one, a [`Session`] is one that is open.
//! Messages and decisions in; messages to send and outcomes out. Knows nothing of octets, of
//! routing, of what the application does with a message.
//!
//! Sessions follow one another on one transport: when one ended in peace, the next is opened with
//! a new joiner or acceptor over the same codec.
//!
//! ```text
//!            client                                     router
//!   Joiner::open ── HELLO ──────────────────────────▶ Acceptor::hear ─▶ Decide
//!   Joiner::hear ◀───────────────────── CHALLENGE ─── Acceptor::decide
//!           Send ── AUTHENTICATE ───────────────────▶ Acceptor::hear ─▶ Decide
//!         Joined ◀─────────────────────── WELCOME ─── Acceptor::decide ─▶ Joined
//!  Session::hear ◀──────────── and so on, until GOODBYE ─▶ Session::hear
//! ```

mod acceptor;
mod established;
mod joiner;
mod state;

pub use acceptor::{Accepting, Acceptor, Asked};
pub use established::{Hearing, Refusal, Session};
pub use joiner::{JoinError, Joiner, Joining, Opening};
pub use state::{Side, State};

use crate::error::{Reply, Violation};
use crate::message::Abort;
use crate::uri::known;

/// The ABORT a violation demands; none for one in an ABORT, which is never answered.
fn abort_for(violation: &Violation) -> Option<Abort<'static>> {
    let reason = match violation.reply() {
        Reply::Silence => return None,
        Reply::Abort { reason } => reason,
        // Requests have no place before a session is open.
        Reply::Error { .. } | Reply::Discard => known::PROTOCOL_VIOLATION,
    };
    Some(Abort::new(reason, violation.to_string()))
}
