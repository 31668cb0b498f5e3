//! Signatures as Standard Webhooks has them (https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"): over
//! `id.timestamp.body`, `v1,` with HMAC-SHA256 and a shared secret (`whsec_`), `v1a,` with Ed25519 (`whsk_`, verified with `whpk_`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer;
use hmac::{Hmac, Mac};
use sha2::Sha256;

const SHARED: &str = "whsec_";
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
/// What the specification asks of a shared secret, in bytes.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error(
        "is no secret: give whsec_ and 24 to 64 bytes in base64 (make one: echo whsec_$(openssl rand -base64 32)), or whsk_ and an Ed25519 key"
    )]
    Form,
    #[error("is not base64 behind its {0}")]
    Base64(&'static str),
    #[error("has {0} bytes behind whsec_, not 24 to 64")]
    Shared(usize),
    #[error("has {0} bytes behind whsk_, not the 32 of a seed, or the 64 of a seed and its public key")]
    Private(usize),
}

/// What signs.
#[derive(Clone)]
pub enum SigningKey {
    Shared(Vec<u8>),
    Private(Box<ed25519_dalek::SigningKey>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl SigningKey {
    /// # Errors
    /// What is wrong with it; the text tells nothing of the secret but its length.
    pub fn parse(text: &str) -> Result<SigningKey, SecretError> {
        if let Some(rest) = text.strip_prefix(SHARED) {
            let bytes = STANDARD.decode(rest).map_err(|_| SecretError::Base64(SHARED))?;
            return match SHARED_BYTES.contains(&bytes.len()) {
                true => Ok(SigningKey::Shared(bytes)),
                false => Err(SecretError::Shared(bytes.len())),
            };
        }
        let rest = text.strip_prefix(PRIVATE).ok_or(SecretError::Form)?;
        let bytes = STANDARD.decode(rest).map_err(|_| SecretError::Base64(PRIVATE))?;
        let seed = match bytes.len() {
            32 | 64 => bytes.first_chunk::<32>(),
            _ => None,
        };
        let key = ed25519_dalek::SigningKey::from_bytes(seed.ok_or(SecretError::Private(bytes.len()))?);
        Ok(SigningKey::Private(Box::new(key)))
    }

    /// The text of a shared secret.
    pub fn shared(bytes: &[u8]) -> String {
        format!("{SHARED}{}", STANDARD.encode(bytes))
    }

    /// The shared secret of the subscription `of`, made from a secret that never leaves the machine.
    pub fn derived(master: &[u8; 32], of: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(master).map(|mac| mac.chain_update(of));
        mac.map(|mac| SigningKey::shared(&mac.finalize().into_bytes())).unwrap_or_default()
    }

    /// What the receiver verifies with, where it is not the secret itself.
    pub fn public(&self) -> Option<String> {
        match self {
            SigningKey::Shared(_) => None,
            SigningKey::Private(key) => Some(format!("{PUBLIC}{}", STANDARD.encode(key.verifying_key().as_bytes()))),
        }
    }

    fn sign(&self, content: &[u8]) -> String {
        match self {
            SigningKey::Shared(secret) => {
                // HMAC takes a key of any length.
                let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mac| mac.chain_update(content));
                mac.map(|mac| format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))).unwrap_or_default()
            }
            SigningKey::Private(key) => format!("v1a,{}", STANDARD.encode(key.sign(content).to_bytes())),
        }
    }
}

/// The value of `webhook-signature`: one of each key. `timestamp` is in seconds since 1970.
pub fn signatures(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat();
    keys.iter().map(|key| key.sign(&content)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Verifier;

    /// The test vector of the specification's own libraries (libraries/python/tests/test_webhooks.py).
    #[test]
    fn signs_as_the_reference_does() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = b"{\"test\": 2432232314}";
        let signed = signatures(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn several_secrets_sign_side_by_side() {
        let secret = SigningKey::shared(&[7; 32]);
        let private = format!("whsk_{}", STANDARD.encode([9; 32]));
        let keys = [&secret, &private].map(|text| SigningKey::parse(text).expect("a secret"));
        let signed = signatures(&keys, "id", 1, b"body");
        let (shared, own) = signed.split_once(' ').expect("two");
        assert!(shared.starts_with("v1,") && own.starts_with("v1a,"), "{signed}");
        let public = keys[1].public().expect("a public key");
        let public = STANDARD.decode(public.strip_prefix("whpk_").expect("its prefix")).expect("base64");
        let public: [u8; 32] = public.try_into().expect("32 bytes");
        let signature: [u8; 64] = STANDARD.decode(&own[4..]).expect("base64").try_into().expect("64 bytes");
        let public = ed25519_dalek::VerifyingKey::from_bytes(&public).expect("a key");
        assert!(public.verify(b"id.1.body", &ed25519_dalek::Signature::from_bytes(&signature)).is_ok());
        assert!(!format!("{keys:?}").contains('7') && keys[0].public().is_none());
    }

    #[test]
    fn a_derived_secret_is_its_subscriptions_own() {
        let [one, same, other] = ["acme/a", "acme/a", "acme/b"].map(|of| SigningKey::derived(&[7; 32], of));
        assert!(one == same && one != other && one != SigningKey::derived(&[8; 32], "acme/a"));
        assert!(matches!(SigningKey::parse(&one), Ok(SigningKey::Shared(bytes)) if bytes.len() == 32));
    }

    #[test]
    fn tells_what_is_no_secret() {
        for (text, expected) in [
            ("hush", SecretError::Form),
            ("whsec_!", SecretError::Base64("whsec_")),
            ("whsec_aHVzaA==", SecretError::Shared(4)),
            ("whsk_aHVzaA==", SecretError::Private(4)),
        ] {
            assert_eq!(SigningKey::parse(text).err(), Some(expected), "{text}");
        }
    }
}
