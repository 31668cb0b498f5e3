//! What a leg is for, as whoever dialled it wrote on it. A leg's own messages name the leg's parties, and not the call's;
//! and that a call is a callback can be read off no feed at all. So the leg carries a tag: a query of pairs, in the
//! provider's place for such things (Telnyx' `client_state`, Bandwidth's `tag`, a channel variable, or the URL that the
//! messages of this leg are sent to).
//!
//! `leg` is `forward` (a call that came in goes on to the business), `agent` or `client` (a callback: who is called);
//! `from` and `to` are the call's, for a callback the client and the tracking number; `call` is the call's id where the
//! provider gives the legs none in common.

use super::body::pairs;
use super::number::Parties;
use crate::event::Direction;
use crate::phone::{Party, Phone};

/// The agent of a callback is called first: who misses whom depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The call itself: what came in, or went out.
    Main,
    /// What came in goes on to the business.
    Forward,
    /// A callback calls the agent …
    Agent,
    /// … and then the client.
    Client,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub role: Role,
    pub parties: Parties,
    pub call_id: Option<String>,
}

impl Tag {
    /// Nothing for what is no tag: other people write there too.
    pub fn parse(text: &str) -> Option<Tag> {
        Tag::from_pairs(&pairs(text.as_bytes()))
    }

    pub(super) fn from_pairs(pairs: &[(String, String)]) -> Option<Tag> {
        let get = |name: &str| pairs.iter().find(|(held, _)| held == name).map(|(_, value)| value.trim());
        let role = match get("leg")? {
            "forward" => Role::Forward,
            "agent" => Role::Agent,
            "client" => Role::Client,
            _ => return None,
        };
        let direction = if role == Role::Forward { Direction::Inbound } else { Direction::Callback };
        let party =
            |text: &str| Party::parse(text).or_else(|_| Phone::parse(&format!("+{text}")).map(Party::Number)).ok();
        let parties = Parties { direction, from: party(get("from")?)?, to: party(get("to")?)?, extension: None };
        let call_id = get("call").filter(|it| !it.is_empty()).map(str::to_owned);
        Some(Tag { role, parties, call_id })
    }

    /// The tag as it is written on a leg.
    pub fn text(&self) -> String {
        let leg = match self.role {
            Role::Agent => "agent",
            Role::Client => "client",
            Role::Main | Role::Forward => "forward",
        };
        let encoded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (from, to) = (encoded(&self.parties.from.to_string()), encoded(&self.parties.to.to_string()));
        let call = self.call_id.as_deref().map_or(String::new(), |id| format!("&call={}", encoded(id)));
        format!("leg={leg}&from={from}&to={to}{call}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_on_a_leg_reads_back() {
        for (text, expected) in [
            ("leg=forward&from=%2B14155550123&to=%2B442079460000", Some((Role::Forward, Direction::Inbound, None))),
            (
                "leg=agent&from=14155550123&to=442079460000&call=c%2F1",
                Some((Role::Agent, Direction::Callback, Some("c/1"))),
            ),
            ("from=anonymous&leg=client&to=%2B442079460000&call=", Some((Role::Client, Direction::Callback, None))),
            ("leg=other&from=%2B14155550123&to=%2B442079460000", None),
            ("leg=forward&from=x&to=%2B442079460000", None),
            ("leg=forward", None),
            ("have a nice day", None),
            ("", None),
        ] {
            let tag = Tag::parse(text);
            let got = tag.as_ref().map(|tag| (tag.role, tag.parties.direction, tag.call_id.as_deref()));
            assert_eq!(got, expected, "{text}");
            if let Some(tag) = tag {
                assert_eq!(Tag::parse(&tag.text()), Some(tag), "{text}");
            }
        }
    }
}
