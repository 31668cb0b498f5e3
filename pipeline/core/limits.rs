//! Every bound in one place.

/// Bytes of a host's name (RFC 1035, section 2.3.4). A longer one is no host.
pub const HOST_BYTES: usize = 253;
/// Bytes of a user agent that are looked at: patterns run over all of them, and real ones stay below.
pub const USER_AGENT_BYTES: usize = 1_024;
/// User agents whose answer a worker remembers: at most twice as many, in two generations (about 1 MiB).
pub const USER_AGENTS_KEPT: usize = 8_192;
/// Addresses whose place a worker remembers: at most twice as many, in two generations (about 3 MiB).
pub const ADDRESSES_KEPT: usize = 32_768;
/// Distinct devices, and distinct places, that a worker shares between sessions; beyond it sharing starts anew.
pub const SHARED_VALUES_KEPT: usize = 16_384;
