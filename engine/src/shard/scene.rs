//! The program's handler, called for what a connection has to tell.
//!
//! Knows the handler and the events; knows neither the table nor the driver.

use super::Entry;
use super::outside::Outside;
use crate::handler::{Context, Decision, Handler};
use crate::proto::connection::{Env, Event};
use crate::proto::handshake::Refusal;
use crate::proto::recv::Input;
use crate::remote::ConnectionId;

/// A handler on stage: what it is called with, apart from the connection.
pub(super) struct Scene<'a, H: Handler> {
    pub(super) handler: &'a mut H,
    pub(super) env: Env<'a>,
    pub(super) outside: &'a mut Outside,
    pub(super) id: ConnectionId,
    /// The shard ends: nobody is let in.
    pub(super) refuse: bool,
}

impl<H: Handler> Scene<'_, H> {
    /// Plays what lies in `octets`, event by event.
    pub(super) fn play(&mut self, entry: &mut Entry<H::Session>, octets: &mut [u8]) {
        let Entry {
            connection,
            session,
            peer,
            ..
        } = entry;
        let mut input = Input::new(octets);
        while let Some((event, link)) = connection.next(&mut input, &mut self.env) {
            let env = Env {
                config: self.env.config,
                pool: self.env.pool,
                now: self.env.now,
            };
            if let Event::Request(request) = event {
                let mut env = env;
                if self.refuse {
                    link.refuse(Refusal::Busy, &mut env);
                    self.outside.counters.refused += 1;
                    continue;
                }
                let (kept, answer) = match self.handler.upgrade(&request, *peer) {
                    Decision::Accept(kept, answer) => (kept, answer),
                    Decision::Deny(denial) => {
                        if let Err(error) = link.deny(&denial, &mut env) {
                            tracing::warn!(%error, "a denial that is no sound response; sent 500");
                        }
                        self.outside.counters.refused += 1;
                        continue;
                    }
                };
                if let Err(error) = link.accept(&request, &answer, &mut env) {
                    tracing::warn!(%error, "an answer that is no sound response; sent 500");
                    self.outside.counters.refused += 1;
                    continue;
                }
                self.outside.counters.handshakes += 1;
                self.outside.counters.connected += 1;
                let kept = session.insert(kept);
                let mut context = Context {
                    link,
                    env,
                    outside: self.outside,
                    id: self.id,
                    peer: *peer,
                };
                self.handler.open(kept, &mut context);
                continue;
            }
            // Only an open connection has other events, and an open one has a session.
            let Some(session) = session.as_mut() else {
                continue;
            };
            let mut context = Context {
                link,
                env,
                outside: self.outside,
                id: self.id,
                peer: *peer,
            };
            match event {
                Event::Message(message) => {
                    context.outside.counters.messages_in += 1;
                    context.outside.counters.octets_in += message.len() as u64;
                    self.handler.message(session, &mut context, message);
                }
                Event::Ping(payload) => self.handler.ping(session, &mut context, payload),
                Event::Pong(payload) => self.handler.pong(session, &mut context, payload),
                Event::Request(_) | Event::Closing(..) | Event::Failed(_) => {}
            }
        }
    }

    pub(super) fn writable(&mut self, entry: &mut Entry<H::Session>) {
        let Entry {
            connection,
            session,
            peer,
            ..
        } = entry;
        let Some(session) = session.as_mut() else {
            return;
        };
        let env = Env {
            config: self.env.config,
            pool: self.env.pool,
            now: self.env.now,
        };
        let link = connection.link_mut();
        let mut context = Context {
            link,
            env,
            outside: self.outside,
            id: self.id,
            peer: *peer,
        };
        self.handler.writable(session, &mut context);
    }
}
