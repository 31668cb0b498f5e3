//! How a moment is told to a subscriber: what the body says, how it is signed, and when it is tried again. All of it is pure;
//! who asks has the clock and the chance.

mod render;
mod schedule;
mod sign;

pub(crate) use render::form_pairs;
pub use render::{Body, RenderError, Shape, Template, TemplateError};
pub use schedule::{ATTEMPTS, GIVEN_UP_AFTER, WAITS, wait_after};
pub use sign::{SecretError, SigningKey, signatures};
