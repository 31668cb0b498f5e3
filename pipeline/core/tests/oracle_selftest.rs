//! The oracle itself, held against the contract by hand: one story for each line of the small print, and the generator
//! against what it promises.

#[path = "oracle_selftest/calls.rs"]
mod calls;
#[path = "oracle_selftest/histories.rs"]
mod histories;
mod oracle;
#[path = "oracle_selftest/sessions.rs"]
mod sessions;
#[path = "oracle_selftest/story.rs"]
mod story;
