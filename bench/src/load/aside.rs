//! Control frames a connection has to send: pongs and Close, rare.

use std::io;

use wirebahn::Opcode;
use wirebahn::proto::frame::{self, Header};

use super::check::Fault;
use super::wire::Wire;

/// Frames in line, and how far they left.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    octets: Vec<u8>,
    at: usize,
}

impl Aside {
    /// Puts a frame in line, masked as a client's must be.
    pub(crate) fn push(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Fault> {
        let mut key = [0; 4];
        getrandom::fill(&mut key).map_err(|_| Fault::Transport(io::ErrorKind::Other))?;
        let header = Header {
            fin: true,
            compressed: false,
            opcode,
            key: Some(key),
            len: payload.len() as u64,
        };
        let (octets, count) = frame::encode(&header);
        self.octets.extend_from_slice(&octets[..count]);
        wirebahn_nvx::mask_extend(&mut self.octets, payload, key);
        Ok(())
    }

    /// Puts a Close frame in line.
    pub(crate) fn push_close(&mut self, code: u16) -> Result<(), Fault> {
        self.push(Opcode::Close, &code.to_be_bytes())
    }

    /// Whether some, but not all, of what is in line has left: nothing else may leave before the
    /// rest of it.
    #[inline]
    pub(crate) fn is_begun(&self) -> bool {
        self.at > 0
    }

    /// Whether nothing is in line.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Writes what fits; says whether all of it left.
    pub(crate) fn flush(&mut self, wire: &mut Wire) -> Result<bool, Fault> {
        while let Some(rest) = self.octets.get(self.at..).filter(|rest| !rest.is_empty()) {
            let count = wire
                .write(rest)
                .map_err(|error| Fault::Transport(error.kind()))?;
            if count == 0 {
                return Ok(false);
            }
            self.at += count;
        }
        self.octets.clear();
        self.at = 0;
        Ok(true)
    }
}
