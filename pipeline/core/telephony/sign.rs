//! Who sent a request: signatures and passwords, compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Hook, Refused};
use crate::limits::REPLAY_SECONDS_MAX;
use crate::time::{MICROS_PER_SECOND, Time};

impl<'a> Hook<'a> {
    /// The first header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| *value)
    }
}

/// Whether two secrets are the same, in a time that tells only their lengths.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// HMAC-SHA256 (RFC 2104) of `parts`, one after the other.
pub fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().to_vec())
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

/// As JWT has it (RFC 7515, section 2): the alphabet for URLs, no padding.
pub fn base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Refuses what was signed too long before or after `received`.
///
/// # Errors
/// [`Refused::TooOld`] with the seconds between.
pub fn fresh(signed_at: i64, received: Time) -> Result<(), Refused> {
    let now = received.0.div_euclid(MICROS_PER_SECOND);
    let off = now.saturating_sub(signed_at);
    if off.unsigned_abs() > REPLAY_SECONDS_MAX.unsigned_abs() { Err(Refused::TooOld(off)) } else { Ok(()) }
}

fn public_key(text: &str) -> Option<VerifyingKey> {
    let bytes = base64(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())?;
    VerifyingKey::from_bytes(&bytes).ok()
}

/// Whether this is a public key of Ed25519: 32 bytes in base64.
pub fn is_public_key(text: &str) -> bool {
    public_key(text).is_some()
}

/// Whether `signature` (base64) of `message` is by `key` (32 bytes, base64). Keys of small order and malleable signatures
/// are refused (RFC 8032, section 8.4; `verify_strict`).
pub fn ed25519(key: &str, signature: &str, message: &[u8]) -> Result<(), Refused> {
    let key =
        public_key(key).ok_or(Refused::WrongSignature("the public key in the settings is not 32 bytes in base64"))?;
    let signature = base64(signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
    let signature = signature.ok_or(Refused::WrongSignature("it is not 64 bytes in base64"))?;
    key.verify_strict(message, &signature)
        .map_err(|_| Refused::WrongSignature("it is another key's, or of another body"))
}

/// Basic authentication (RFC 7617). `secret` is `user:password`, or a password for any user.
///
/// # Errors
/// Where the header is missing, or names another.
pub fn basic(hook: &Hook<'_>, secret: Option<&str>, system: &'static str) -> Result<(), Refused> {
    let secret = secret.filter(|it| !it.is_empty()).ok_or(Refused::NotConfigured(system))?;
    let header = hook.header("authorization").ok_or(Refused::NotSigned("Authorization"))?;
    let wrong = Refused::WrongSignature("user or password is another");
    let Some((scheme, value)) = header.split_once(' ') else { return Err(wrong) };
    let told = base64(value).filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or(wrong.clone())?;
    let password = told.iter().position(|b| *b == b':').map_or(&told[..], |at| &told[at + 1..]);
    let expected = secret.as_bytes();
    let given = if secret.contains(':') { &told[..] } else { password };
    if same(given, expected) { Ok(()) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook<'a>(headers: &'a [(&'a str, &'a str)]) -> Hook<'a> {
        Hook { method: "POST", url: "", step: "", headers, body: b"", received: Time(0) }
    }

    #[test]
    fn passwords_fit_or_do_not() {
        let value = |text: &str| format!("Basic {}", to_base64(text.as_bytes()));
        for (header, secret, expected) in [
            (value("me:secret"), "me:secret", true),
            (value("any:secret"), "secret", true),
            (value("me:other"), "me:secret", false),
            (value("you:secret"), "me:secret", false),
            (value("secret"), "secret", true),
            (value("me:secret:x"), "me:secret", false),
            ("Bearer abc".to_owned(), "abc", false),
            ("Basic".to_owned(), "abc", false),
            ("Basic %%%".to_owned(), "abc", false),
        ] {
            let headers = [("authorization", header.as_str())];
            assert_eq!(basic(&hook(&headers), Some(secret), "x").is_ok(), expected, "{header} {secret}");
        }
        assert_eq!(basic(&hook(&[]), Some("x"), "x"), Err(Refused::NotSigned("Authorization")));
        assert_eq!(basic(&hook(&[]), None, "x"), Err(Refused::NotConfigured("x")));
        assert_eq!(
            basic(&hook(&[]), Some(""), "x"),
            Err(Refused::NotConfigured("x")),
            "an empty secret lets nobody in"
        );
    }

    #[test]
    fn what_was_signed_long_ago_is_refused() {
        let now = Time(1_000_000 * MICROS_PER_SECOND);
        for (at, expected) in [
            (1_000_000, Ok(())),
            (1_000_300, Ok(())),
            (999_700, Ok(())),
            (999_699, Err(Refused::TooOld(301))),
            (1_000_301, Err(Refused::TooOld(-301))),
            (i64::MIN, Err(Refused::TooOld(i64::MAX))),
        ] {
            assert_eq!(fresh(at, now), expected, "{at}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_rfc_4231_s() {
        let mac = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]).unwrap();
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
