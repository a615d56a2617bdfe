//! WAMP for Wirebahn: messages, serializers, sessions, router and client.
