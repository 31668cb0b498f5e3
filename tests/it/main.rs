//! The one integration binary: roles against real engines, in temporary folders.

mod log;
mod log_embedded;
mod log_nats;
mod log_rates;
mod nats;
