//! Requests that a provider is to be asked to carry out: calls to start.

use std::fmt;

/// One HTTP request to a provider. Who makes it follows no redirects: the password would go along.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Names the request: the same again is the same wish, and is carried out once.
    pub id: String,
    pub method: &'static str,
    pub url: String,
    /// Basic authentication (RFC 7617).
    pub user: String,
    pub password: String,
    pub content_type: &'static str,
    pub body: String,
}

/// Neither the password, nor the numbers in the body.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
