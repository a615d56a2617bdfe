//! The server's answer, held against the one that is due.

use super::{Answer, Ends, MARKER, Refuses, Upgrades};
use crate::peer::{ACCEPT, Heard, Peer, text};

/// Reads the server's answer and holds it against the expected one.
pub(super) fn answers(peer: &mut Peer, answer: &Answer) -> Result<(), String> {
    match answer {
        Upgrades => {
            upgraded(&peer.head()?)?;
            peer.send(&text("works"))?;
            peer.expect(&Heard::Text(b"works".to_vec()))?;
            peer.closes()
        }
        Refuses(statuses) => {
            let head = peer.head()?;
            let (body, end) = peer.drain();
            refused(&head, &body, statuses)?;
            ended(&end)
        }
        Ends => {
            let (said, end) = peer.drain();
            if said.starts_with(b"HTTP/1.1 101") {
                return Err("upgraded".into());
            }
            ended(&end)
        }
    }
}

pub(super) fn ended(end: &Heard) -> Result<(), String> {
    match end {
        Heard::Fin => Ok(()),
        other => Err(format!("{} instead of FIN after the answer", other.brief())),
    }
}

/// A 101 says what section 4.2.2 lists, each once, and agrees to nothing else.
pub(super) fn upgraded(head: &str) -> Result<(), String> {
    if !head.starts_with("HTTP/1.1 101 ") {
        return Err(format!("not upgraded: {head:?}"));
    }
    let one = |name: &str| match &values(head, name)[..] {
        [value] => Ok((*value).to_owned()),
        other => Err(format!("{name} comes {} times: {head:?}", other.len())),
    };
    if !one("Upgrade")?.eq_ignore_ascii_case("websocket")
        || !one("Connection")?.eq_ignore_ascii_case("upgrade")
        || one("Sec-WebSocket-Accept")? != ACCEPT
    {
        return Err(format!("not what section 4.2.2 asks for: {head:?}"));
    }
    for name in [
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        if !values(head, name).is_empty() {
            return Err(format!("{name} in the answer: {head:?}"));
        }
    }
    Ok(())
}

/// A refusal is a whole HTTP response with what its status asks for.
pub(super) fn refused(head: &str, body: &[u8], statuses: &[u16]) -> Result<(), String> {
    let status: Option<u16> = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let Some(status) = status.filter(|status| statuses.contains(status)) else {
        return Err(format!("{:?} instead of {statuses:?}", head.lines().next()));
    };
    if head.contains(MARKER) || String::from_utf8_lossy(body).contains(MARKER) {
        return Err("the answer reflects the request".into());
    }
    match &values(head, "Content-Length")[..] {
        // An answer to HEAD has no body, whatever length it tells.
        [length] if length.parse() == Ok(body.len()) || body.is_empty() => {}
        other => {
            return Err(format!(
                "Content-Length {other:?} for a body of {} octets",
                body.len()
            ));
        }
    }
    if !values(head, "Connection")
        .iter()
        .any(|v| v.to_ascii_lowercase().contains("close"))
    {
        return Err(format!("no Connection: close: {head:?}"));
    }
    let has = |name: &str, token: &str| {
        let mut tokens = values(head, name).into_iter().flat_map(|v| v.split(','));
        tokens.any(|t| t.trim().eq_ignore_ascii_case(token))
    };
    // RFC 9110, 15.5.22 and 15.5.6; RFC 6455, 4.4.
    if status == 426 && !(has("Upgrade", "websocket") && has("Sec-WebSocket-Version", "13")) {
        return Err(format!(
            "426 without Upgrade or Sec-WebSocket-Version: {head:?}"
        ));
    }
    if status == 405 && !has("Allow", "GET") {
        return Err(format!("405 without Allow: {head:?}"));
    }
    Ok(())
}

/// The values of the field `name` of a response head.
pub(super) fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}
