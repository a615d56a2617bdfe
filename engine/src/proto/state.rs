//! Every legal transition of a connection, in this one file.
//!
//! ```text
//!            accept            close            peer closes
//! Opening ───────────► Open ──────────► Closing
//!    │ refuse            │ peer closes,    │ peer closes, fails, ends
//!    │                   │ fails, ends     │
//!    └──────► Flushing ◄─┴─────────────────┘
//!                │ all has left, our side is shut
//!                └─────────► Lingering ──────────► Ended
//! ```
//! However a connection ends, our side is shut first and what still comes is read until the peer
//! shuts its own (RFC 6455 section 7.1.1): to close over unread octets, or before late ones, resets
//! the transport, and a reset may overtake our last words.
//!
//! Anything may be cut (`Ended`) at any time. What is not in the table does not happen: the caller
//! keeps the state it has.

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The HTTP head is on its way, or waits for its answer.
    Opening,
    /// Messages flow both ways.
    Open,
    /// We sent a Close frame and wait for the peer's; what the peer still sends is delivered.
    Closing,
    /// Nothing more goes out than what waits; then the transport is ended as said. What comes in
    /// is thrown away.
    Flushing(End),
    /// Our side of the transport is shut; what comes in is thrown away until the peer shuts its
    /// own or a deadline passes.
    Lingering,
    /// Over: the transport can go.
    Ended,
}

/// How a transport is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// Both ways at once; for a peer that has shut its side, or does not deserve more.
    Close,
    /// First our side, so that the peer reads our last words before a reset could overtake them.
    Linger,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The opening handshake was accepted.
    Accept,
    /// The opening handshake was refused; the HTTP answer waits to leave.
    Refuse,
    /// Our Close frame waits to leave.
    Close,
    /// The peer's Close frame came; ours has left or waits to.
    PeerClose,
    /// The connection is failed; a Close frame, if one may be sent, waits to leave.
    Fail,
    /// The connection is failed without a Close frame.
    Drop,
    /// The peer shut its side of the transport.
    PeerEnd,
    /// Our side of the transport was shut.
    Shut,
    /// The transport is to go at once.
    Cut,
}

impl State {
    /// The state after `step`; `None` when the step changes nothing here.
    #[must_use]
    pub const fn after(self, step: Step) -> Option<Self> {
        use State::{Closing, Ended, Flushing, Lingering, Open, Opening};
        Some(match (self, step) {
            (Opening, Step::Accept) => Open,
            (Opening, Step::Refuse) => Flushing(End::Linger),
            (Open, Step::Close) => Closing,
            (Open | Closing, Step::PeerClose) | (Opening | Open | Closing, Step::Fail) => {
                Flushing(End::Linger)
            }
            // The peer's last word was its FIN: there is nothing left to wait for.
            (Open | Closing, Step::Drop) | (Opening | Open | Closing, Step::PeerEnd) => {
                Flushing(End::Close)
            }
            (Flushing(End::Linger), Step::PeerEnd) => Flushing(End::Close),
            (Flushing(End::Linger), Step::Shut) => Lingering,
            (Lingering, Step::PeerEnd) => Ended,
            (Ended, _) => return None,
            (_, Step::Cut) => Ended,
            _ => return None,
        })
    }

    /// Whether the application hears messages in this state.
    #[must_use]
    pub const fn hears(self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Opening,
        State::Open,
        State::Closing,
        State::Flushing(End::Close),
        State::Flushing(End::Linger),
        State::Lingering,
        State::Ended,
    ];
    const STEPS: [Step; 9] = [
        Step::Accept,
        Step::Refuse,
        Step::Close,
        Step::PeerClose,
        Step::Fail,
        Step::Drop,
        Step::PeerEnd,
        Step::Shut,
        Step::Cut,
    ];

    /// How far along a state is; transitions only go forward.
    fn rank(state: State) -> u8 {
        match state {
            State::Opening => 0,
            State::Open => 1,
            State::Closing => 2,
            State::Flushing(End::Linger) => 3,
            State::Flushing(End::Close) | State::Lingering => 4,
            State::Ended => 5,
        }
    }

    #[test]
    fn transitions_only_go_forward_and_end() {
        for state in STATES {
            for step in STEPS {
                if let Some(next) = state.after(step) {
                    assert!(rank(next) > rank(state), "{state:?} {step:?} {next:?}");
                }
            }
        }
        for state in STATES.into_iter().filter(|s| *s != State::Ended) {
            assert_eq!(state.after(Step::Cut), Some(State::Ended));
        }
    }

    #[test]
    fn an_end_of_the_peer_always_leads_on() {
        for state in STATES {
            let moved = state.after(Step::PeerEnd).is_some();
            assert_eq!(
                moved,
                !matches!(state, State::Flushing(End::Close) | State::Ended),
                "{state:?}"
            );
        }
    }

    #[test]
    fn only_an_open_connection_is_closed_and_only_an_opening_one_accepted() {
        for state in STATES {
            assert_eq!(state.after(Step::Close).is_some(), state == State::Open);
            assert_eq!(state.after(Step::Accept).is_some(), state == State::Opening);
            assert_eq!(state.after(Step::Refuse).is_some(), state == State::Opening);
        }
    }
}
