//! The handler all servers of the program share: one path or all, then one function a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use wirebahn::{Context, Decision, Denial, Handler, Message, Request};

use crate::signals::Event;

/// See the module.
pub(crate) struct Service {
    path: Option<Arc<str>>,
    message: fn(&mut Context<'_>, Message<'_>),
    ended: Sender<Event>,
}

impl Service {
    /// Serves one path, or all. Tells `ended` when its worker lets go of it.
    pub(crate) fn new(
        path: Option<Arc<str>>,
        message: fn(&mut Context<'_>, Message<'_>),
        ended: Sender<Event>,
    ) -> Self {
        Self {
            path,
            message,
            ended,
        }
    }
}

impl Handler for Service {
    type Session = ();

    fn upgrade(&mut self, request: &Request<'_>, _: SocketAddr) -> Decision<()> {
        match &self.path {
            Some(path) if **path != *request.path() => Decision::Deny(
                Denial::new(404)
                    .header("Content-Type", "text/plain")
                    .body("Nothing is served on this path.\n"),
            ),
            _ => Decision::accept(()),
        }
    }

    #[inline]
    fn message(&mut self, _: &mut (), context: &mut Context<'_>, message: Message<'_>) {
        (self.message)(context, message);
    }
}

impl Drop for Service {
    /// A worker drops its handler when it ends, also by a failure or a panic.
    fn drop(&mut self) {
        // Without a listener the program is past caring.
        let _ = self.ended.send(Event::WorkerEnded);
    }
}
