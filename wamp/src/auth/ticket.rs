//! Ticket: the client shows a secret, which travels as it is (Advanced Profile, "Ticket-based
//! Authentication"). Only for transports that are encrypted.

use sha2::{Digest, Sha256};

use super::{AuthError, Credential};
use crate::message::{Authenticate, Challenge};
use crate::value::Dict;

/// A principal and its ticket.
#[derive(Clone)]
pub struct Ticket {
    authid: String,
    ticket: String,
}

impl Ticket {
    /// A principal and its ticket.
    pub fn new(authid: impl Into<String>, ticket: impl Into<String>) -> Self {
        Self {
            authid: authid.into(),
            ticket: ticket.into(),
        }
    }
}

impl Credential for Ticket {
    fn method(&self) -> &'static str {
        "ticket"
    }

    fn authid(&self) -> Option<&str> {
        Some(&self.authid)
    }

    fn answer(&mut self, _challenge: &Challenge<'_>) -> Result<Authenticate<'static>, AuthError> {
        Ok(Authenticate {
            signature: self.ticket.clone().into(),
            extra: Dict::new(),
        })
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("authid", &self.authid)
            .finish_non_exhaustive()
    }
}

/// What tickets are compared by: of one length whatever they are, so that comparing tells
/// nothing of the length either.
pub(super) fn digest(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket).into()
}
