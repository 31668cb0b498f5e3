//! The one integration binary, against real engines in temporary folders: each further one would link the engines once
//! more.

mod check;
mod collect;
mod evaluate;
mod exports;
mod files;
mod hooks;
mod hooks_faults;
mod lake;
mod lease;
mod lease_storm;
mod log;
mod log_embedded;
mod log_nats;
mod log_rates;
mod nats;
mod notify;
mod notify_rates;
mod program;
mod providers;
mod shares;
mod up;
mod up_faults;
mod up_kill;
mod web;
mod workers;
