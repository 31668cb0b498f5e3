//! The telephone systems that post to `/v1/hooks/NAME/ACCOUNT`: the one table.

use callweave_core::telephony::{
    Hook, Refused, Taken, Terms, bandwidth, freeswitch, generic, plivo, telnyx, twilio, vonage,
};

use crate::config::{Secret, Telephony};

/// One telephone system.
pub struct Provider {
    /// As it stands in the path.
    pub name: &'static str,
    pub trust: Trust,
    pub take: fn(&Hook<'_>, &Terms<'_>) -> Result<Taken, Refused>,
    /// A caller waits for the answer: it is given even where neither the log nor the disk takes the events.
    pub answers_calls: bool,
}

/// What shows that a request is the provider's.
pub enum Trust {
    /// Its signature or password; the member of the account that holds the secret.
    Secret(&'static str),
    /// A key of the account, like that of any sender of events.
    Key,
}

const PROVIDERS: &[Provider] = &[
    Provider { name: "twilio", trust: Trust::Secret("twilio_auth_token"), take: twilio::take, answers_calls: true },
    Provider {
        name: "signalwire",
        trust: Trust::Secret("signalwire_token"),
        take: twilio::take_signalwire,
        answers_calls: true,
    },
    Provider { name: "telnyx", trust: Trust::Secret("telnyx_public_key"), take: telnyx::take, answers_calls: false },
    Provider { name: "plivo", trust: Trust::Secret("plivo_auth_token"), take: plivo::take, answers_calls: false },
    Provider {
        name: "vonage",
        trust: Trust::Secret("vonage_signature_secret"),
        take: vonage::take,
        answers_calls: false,
    },
    Provider {
        name: "bandwidth",
        trust: Trust::Secret("bandwidth_credentials"),
        take: bandwidth::take,
        answers_calls: false,
    },
    Provider {
        name: "freeswitch",
        trust: Trust::Secret("freeswitch_credentials"),
        take: freeswitch::take,
        answers_calls: false,
    },
    Provider { name: "generic", trust: Trust::Key, take: generic::take, answers_calls: false },
];

pub fn find(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

impl Provider {
    /// The account's secret with this provider.
    pub fn secret<'a>(&self, telephony: Option<&'a Telephony>) -> Option<&'a Secret> {
        match self.trust {
            Trust::Secret(member) => telephony?.secret(member),
            Trust::Key => None,
        }
    }
}
