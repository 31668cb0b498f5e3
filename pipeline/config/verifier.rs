//! What a password is checked with: its salted hash by PBKDF2 with HMAC-SHA-256, as SCRAM has it (RFC 5802, section 3; RFC
//! 7677). SCRAM proves to know this hash, so it stands in for the password there: keep it as secret.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callweave_core::settings::VERIFIER_PREFIX;
use ring::{hmac, pbkdf2};

/// RFC 7677 asks for 4,096 at least, and PostgreSQL takes as many.
pub const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const PASSWORD_BYTES_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 512;

#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub salt: Vec<u8>,
    pub hash: [u8; HASH_BYTES],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("the password has {0} bytes; give {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX}")]
    Length(usize),
    #[error(
        "the password holds something else than visible ASCII characters, which clients write in more than one way"
    )]
    Characters,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no verifier; `callweave login NAME` makes one of a password")]
pub struct VerifierError;

impl Verifier {
    /// Of a new password, with a salt of its own.
    ///
    /// # Errors
    /// The password is too short or too long, or not every client would send it the same.
    pub fn of(password: &str) -> Result<Verifier, PasswordError> {
        if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
            return Err(PasswordError::Length(password.len()));
        }
        if !password.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(PasswordError::Characters);
        }
        Ok(Verifier::salted(password, uuid::Uuid::new_v4().as_bytes()))
    }

    /// Of nobody: it looks like any other, always the same for the same name, and no password fits it. Made at once, so that time
    /// does not tell who is nobody.
    pub fn of_nobody(name: &str, secret: &[u8]) -> Verifier {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let drawn = |what: &str| hmac::sign(&key, format!("{what} {name}").as_bytes());
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(drawn("hash").as_ref());
        Verifier { salt: drawn("salt").as_ref()[..SALT_BYTES].to_vec(), hash }
    }

    fn salted(password: &str, salt: &[u8]) -> Verifier {
        let mut hash = [0; HASH_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations(), salt, password.as_bytes(), &mut hash);
        Verifier { salt: salt.to_vec(), hash }
    }

    /// Whether it was made of this password. As slow for a wrong one.
    pub fn fits(&self, password: &str) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(algorithm, iterations(), &self.salt, password.as_bytes(), &self.hash).is_ok()
    }
}

const fn iterations() -> NonZeroU32 {
    match NonZeroU32::new(ITERATIONS) {
        Some(iterations) => iterations,
        None => NonZeroU32::MIN,
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERIFIER_PREFIX}{ITERATIONS}${}${}", STANDARD.encode(&self.salt), STANDARD.encode(self.hash))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Verifier, VerifierError> {
        let rest = text.strip_prefix(VERIFIER_PREFIX).ok_or(VerifierError)?;
        let mut parts = rest.split('$');
        let (iterations, salt, hash) = (parts.next(), parts.next(), parts.next());
        if iterations != Some(ITERATIONS.to_string().as_str()) || parts.next().is_some() {
            return Err(VerifierError);
        }
        let bytes = |text: Option<&str>| STANDARD.decode(text.unwrap_or_default()).map_err(|_| VerifierError);
        let hash = bytes(hash)?.try_into().map_err(|_| VerifierError)?;
        Ok(Verifier {
            salt: bytes(salt).and_then(|salt| (!salt.is_empty()).then_some(salt).ok_or(VerifierError))?,
            hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_verifier_alone() -> Result<(), Box<dyn std::error::Error>> {
        let verifier = Verifier::of("correct horse")?;
        assert!(verifier.fits("correct horse"));
        assert!(!verifier.fits("correct hors") && !verifier.fits(""));
        assert_eq!(verifier.to_string().parse::<Verifier>()?, verifier);
        assert_ne!(Verifier::of("correct horse")?, verifier);
        let nobody = Verifier::of_nobody("anna", b"secret");
        assert_eq!(nobody, Verifier::of_nobody("anna", b"secret"));
        assert!(!nobody.fits("anna") && nobody.salt.len() == verifier.salt.len());
        Ok(())
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        // RFC 7677, section 3: user, pencil.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap_or_default();
        let salted = Verifier::salted("pencil", &salt);
        let text =
            format!("{VERIFIER_PREFIX}4096$W22ZaJ0SNY7soEsUEjb6gQ==$xKSVEDI6tPlSysH6mUQZOeeOp01r6B3fcJbodRPcYV0=");
        assert_eq!(salted.to_string(), text);
    }

    #[test]
    fn passwords_and_verifiers_that_cannot_be_are_refused() {
        assert_eq!(Verifier::of("short"), Err(PasswordError::Length(5)));
        assert_eq!(Verifier::of("Zürich am See"), Err(PasswordError::Characters));
        for text in ["", "secret", "SCRAM-SHA-256-salted$4096$$", "SCRAM-SHA-256-salted$1$c2FsdA==$cGFzcw=="] {
            assert_eq!(text.parse::<Verifier>(), Err(VerifierError), "{text}");
        }
    }
}
