//! Every state of a session and every transition between them, for both sides, in this one file.
//! Basic Profile, "Sessions", the state chart and its table; "Protocol Errors".
//!
//! The numbers in comments are those of the table.

use crate::message::MessageType;

/// Which side of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opens sessions.
    Client,
    /// Accepts them.
    Router,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// None is open, and one may be opened: at first, and after each that ended in peace.
    Closed,
    /// HELLO, or AUTHENTICATE, was sent or heard, and is not answered.
    Establishing,
    /// CHALLENGE was sent; the router waits for AUTHENTICATE.
    Challenging,
    /// WELCOME was sent or heard.
    Established,
    /// GOODBYE was sent, and is not answered.
    ShuttingDown,
    /// It ended by a violation or by ABORT. Nothing more is heard; the transport goes.
    Failed,
}

/// What to do with a message of some type, in some state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It belongs here.
    Take,
    /// (14) Whatever comes between our GOODBYE and its answer; and all after a failure.
    Ignore,
    /// It has no place here: said so, and when that is.
    Violation(&'static str),
}

/// Whether a message has its place.
pub(crate) fn verdict(side: Side, state: State, message: MessageType) -> Verdict {
    use MessageType::{Abort, Authenticate, Challenge, Goodbye, Hello, Welcome};
    use State::{Challenging, Closed, Established, Establishing, Failed, ShuttingDown};
    use Verdict::{Ignore, Take, Violation};

    const BEFORE: &str = "before the session was established";
    const AFTER: &str = "after the session was established";
    const WRONG_SIDE: &str = "from the side that does not send it";

    let sent_by_peer = match side {
        Side::Client => message.from_router(),
        Side::Router => message.from_client(),
    };
    match (state, message) {
        (Failed, _) => Ignore,
        // Either may abort at any time, and is not answered.
        (_, Abort) => Take,
        (ShuttingDown, Goodbye) => Take,
        (ShuttingDown, _) => Ignore,
        (_, _) if !sent_by_peer => Violation(WRONG_SIDE),
        // (1) A client opens.
        (Closed, Hello) => Take,
        (Closed, _) => Violation(BEFORE),
        // (2), (10): a router answers HELLO, and AUTHENTICATE, with one of these; it may
        // challenge again where two factors are wanted.
        (Establishing, Welcome | Challenge) => Take,
        // (9) A client speaks before it is answered; a router says something else.
        (Establishing, _) => Violation(BEFORE),
        // (11), (12): a client answers CHALLENGE with this.
        (Challenging, Authenticate) => Take,
        // (13)
        (Challenging, _) => Violation(BEFORE),
        (Established, Hello | Welcome | Challenge | Authenticate) => Violation(AFTER),
        (Established, _) => Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Closed,
        State::Establishing,
        State::Challenging,
        State::Established,
        State::ShuttingDown,
        State::Failed,
    ];

    /// The whole table, written out a second time in another shape: the messages taken in each
    /// state.
    #[test]
    fn the_whole_table() {
        use MessageType as T;
        let events_and_replies = [
            T::Goodbye,
            T::Error,
            T::Published,
            T::Subscribed,
            T::Unsubscribed,
            T::Event,
            T::Result,
            T::Registered,
            T::Unregistered,
            T::Invocation,
            T::Interrupt,
        ];
        let requests = [
            T::Goodbye,
            T::Error,
            T::Publish,
            T::Subscribe,
            T::Unsubscribe,
            T::EventReceived,
            T::Call,
            T::Cancel,
            T::Register,
            T::Unregister,
            T::Yield,
        ];
        for state in STATES {
            for message in MessageType::ALL {
                let client_takes = match state {
                    State::Closed | State::Challenging => false,
                    State::Establishing => [T::Welcome, T::Challenge].contains(&message),
                    State::Established => events_and_replies.contains(&message),
                    State::ShuttingDown => message == T::Goodbye,
                    State::Failed => false,
                };
                let router_takes = match state {
                    State::Closed => message == T::Hello,
                    State::Establishing => false,
                    State::Challenging => message == T::Authenticate,
                    State::Established => requests.contains(&message),
                    State::ShuttingDown => message == T::Goodbye,
                    State::Failed => false,
                };
                for (side, takes) in [(Side::Client, client_takes), (Side::Router, router_takes)] {
                    let takes = takes || (message == T::Abort && state != State::Failed);
                    let found = verdict(side, state, message);
                    let ignores = matches!(state, State::ShuttingDown | State::Failed);
                    match found {
                        Verdict::Take => assert!(takes, "{side:?} {state:?} {message}"),
                        Verdict::Ignore => {
                            assert!(!takes && ignores, "{side:?} {state:?} {message}");
                        }
                        Verdict::Violation(_) => {
                            assert!(!takes && !ignores, "{side:?} {state:?} {message}");
                        }
                    }
                }
            }
        }
    }
}
