//! Asterisk: call records (`Master.csv`), channel events (CEL), the manager's events (AMI), and ARI's.
//!
//! A call is a `linkedid`; the channel whose `uniqueid` is the same is the caller's.

mod ami;
mod ari;
mod cel;
mod layout;
mod master;

pub use ami::Ami;
pub use ari::Ari;
pub use cel::Cel;
pub use layout::{Column, Layout, LayoutError};
pub use master::Master;

/// What stands for nobody in a dialplan: the extensions that it goes to by itself.
fn dialled(exten: &str) -> Option<&str> {
    let exten = exten.trim();
    (!matches!(exten, "" | "s" | "i" | "t" | "h" | "T" | "o" | "a" | "<unknown>")).then_some(exten)
}

/// Applications that take a message.
fn is_voicemail(app: &str) -> bool {
    ["VoiceMail", "MiniVM", "MinivmRecord"].iter().any(|known| app.eq_ignore_ascii_case(known))
}
