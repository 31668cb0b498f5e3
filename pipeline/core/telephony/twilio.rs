//! Twilio, and SignalWire, which speaks the same.
