//! Reads the machine a WebSocket server runs on and says what to change.
