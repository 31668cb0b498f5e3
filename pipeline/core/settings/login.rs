//! Who may ask an account's tables by SQL, and how much at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Mistake, quoted};
use super::shape;
use crate::event::whole;
use crate::limits::{
    ID_BYTES_MAX, LOGIN_CONCURRENT_MAX, LOGIN_MEMORY_MIB_MAX, LOGIN_ROWS_MAX, LOGIN_SECONDS_MAX, LOGINS_MAX,
};

/// Somebody who asks by SQL. They see the rows of this account and of no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// The user's name: letters, digits and `- _ .`.
    #[schemars(length(max = ID_BYTES_MAX), regex(pattern = shape::LOGIN_NAME))]
    pub name: String,
    /// `analyst` (if absent) sees nobody's phone number, address or words, `manager` everything.
    #[serde(default)]
    pub role: Role,
    /// What the password is checked with, as `callweave login NAME` prints it. It stands in for the password in a login by
    /// SCRAM: whoever reads it can log in.
    #[schemars(length(max = ID_BYTES_MAX), regex(pattern = shape::VERIFIER))]
    pub verifier: String,
    /// How long one query may take. 60 if absent.
    #[serde(default = "sixty", deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = LOGIN_SECONDS_MAX))]
    pub seconds: u32,
    /// Memory of all of this login's queries together; what sorts and groups beyond it goes to disk. 512 if absent.
    #[serde(default = "half_a_gib", deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = LOGIN_MEMORY_MIB_MAX))]
    pub memory_mib: u32,
    /// Rows of one answer; more are an error. 10,000,000 if absent.
    #[serde(default = "ten_million", deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = LOGIN_ROWS_MAX))]
    pub rows: u64,
    /// Queries at once; more wait. 8 if absent.
    #[serde(default = "eight", deserialize_with = "whole::only")]
    #[schemars(range(min = 1, max = LOGIN_CONCURRENT_MAX))]
    pub concurrent: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    Analyst,
    Manager,
}

fn sixty() -> u32 {
    60
}

fn half_a_gib() -> u32 {
    512
}

fn ten_million() -> u64 {
    10_000_000
}

fn eight() -> u32 {
    8
}

/// What verifiers begin with: the method, as PostgreSQL writes it, and ours for what follows.
pub const VERIFIER_PREFIX: &str = "SCRAM-SHA-256-salted$";

impl Login {
    /// With nothing said but who it is.
    pub fn new(name: impl Into<String>, role: Role, verifier: impl Into<String>) -> Login {
        Login {
            name: name.into(),
            role,
            verifier: verifier.into(),
            seconds: sixty(),
            memory_mib: half_a_gib(),
            rows: ten_million(),
            concurrent: eight(),
        }
    }
}

/// Everything that is wrong with the logins.
pub(super) fn mistakes(logins: &[Login]) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut say = |path: String, message: String| mistakes.push(Mistake { path, message });
    if logins.len() > LOGINS_MAX {
        say("logins".to_owned(), format!("are {}; give {LOGINS_MAX} at most", logins.len()));
    }
    for (at, login) in logins.iter().enumerate() {
        let path = |member: &str| format!("logins[{at}].{member}");
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if login.name.is_empty() || login.name.len() > ID_BYTES_MAX || !login.name.chars().all(allowed) {
            let message = format!("{} cannot name a user; give letters, digits and - _ .", quoted(&login.name));
            say(path("name"), message);
        } else if logins[..at].iter().any(|other| other.name == login.name) {
            say(path("name"), format!("{} is there already; give each user once", quoted(&login.name)));
        }
        if !login.verifier.starts_with(VERIFIER_PREFIX) || login.verifier.len() > ID_BYTES_MAX {
            let message = "is no verifier; `callweave login NAME` makes one of a password".to_owned();
            say(path("verifier"), message);
        }
        let bounds = [
            ("seconds", u64::from(login.seconds), u64::from(LOGIN_SECONDS_MAX)),
            ("memory_mib", u64::from(login.memory_mib), u64::from(LOGIN_MEMORY_MIB_MAX)),
            ("rows", login.rows, LOGIN_ROWS_MAX),
            ("concurrent", u64::from(login.concurrent), u64::from(LOGIN_CONCURRENT_MAX)),
        ];
        for (member, value, max) in bounds {
            if !(1..=max).contains(&value) {
                say(path(member), format!("is {value}; give 1 to {max}"));
            }
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logins: &[Login], expected: &[&str]) {
        let told: Vec<String> = mistakes(logins).iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn every_mistake_is_told() {
        let login = |name: &str| Login::new(name, Role::Analyst, format!("{VERIFIER_PREFIX}4096$c2FsdA==$cGFzcw=="));
        check(&[login("anna"), login("b.2-c_d")], &[]);
        check(
            &[login("anna"), login("anna"), Login { seconds: 0, ..login("an na") }],
            &[
                "logins[1].name: \"anna\" is there already; give each user once",
                "logins[2].name: \"an na\" cannot name a user; give letters, digits and - _ .",
                "logins[2].seconds: is 0; give 1 to 86400",
            ],
        );
        check(
            &[Login { verifier: "secret".into(), ..login("anna") }],
            &["logins[0].verifier: is no verifier; `callweave login NAME` makes one of a password"],
        );
    }
}
