//! The manager's events (`Newchannel`, `Newstate`, `DialBegin`, `DialEnd`, `BridgeEnter`, `Hangup` …), as they come over TCP.
//!
//! `DialStatus` is trusted, `Cause` is not: a caller who gave up leaves 127 behind on every channel. Times are the
//! `Timestamp` of `timestampevents = yes`, else the receipt's.

use super::{dialled, is_voicemail};
use crate::telephony::block::{Block, Blocks};
use crate::telephony::draft::Draft;
use crate::telephony::outcome::asterisk;
use crate::telephony::tag::Tag;
use crate::telephony::track::{Fact, Happening, Tracker};
use crate::telephony::{Taken, Terms, when};
use crate::time::Time;

/// Reads the stream of one connection. It holds one line, one block, and the calls that go on.
pub struct Ami {
    source: String,
    blocks: Blocks,
    tracker: Tracker,
}

impl Ami {
    pub fn new(source: String) -> Ami {
        Ami { source, blocks: Blocks::default(), tracker: Tracker::default() }
    }

    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8], terms: &Terms<'_>, received: Time) -> Taken {
        let mut taken = Taken::default();
        for block in self.blocks.push(bytes) {
            taken.extend(self.block(&block, terms, received));
        }
        taken
    }

    /// What is held when the connection ends. The calls that go on stay: they may be told of on the next one.
    pub fn finish(&mut self, terms: &Terms<'_>, received: Time) -> Taken {
        self.blocks.finish().map_or_else(Taken::default, |block| self.block(&block, terms, received))
    }

    fn block(&mut self, block: &Block, terms: &Terms<'_>, received: Time) -> Taken {
        let raw: String = block.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let mut draft = Draft::line(raw.as_bytes(), Some(received), terms, &self.source);
        let at = block.get("Timestamp").and_then(when::epoch).map_or(received, |at| draft.near(at));
        if let (Some(what), Some(channel)) = (happening(block), block.get("Uniqueid").or(block.get("DestUniqueid"))) {
            let call = block.get("Linkedid").or(block.get("DestLinkedid"));
            let tag = block.get("AccountCode").and_then(Tag::parse).or_else(|| tag_of(block));
            self.tracker.take(&mut draft, &Fact { call, channel, at, tag, what }, terms);
        }
        draft.taken()
    }
}

/// A channel variable `callweave`, where the manager shows it (`channelvars = callweave`).
fn tag_of(block: &Block) -> Option<Tag> {
    let shown = block.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("ChanVariable"));
    shown
        .filter_map(|(_, value)| value.split_once('='))
        .find_map(|(name, value)| if name.eq_ignore_ascii_case("callweave") { Tag::parse(value) } else { None })
}

fn happening(block: &Block) -> Option<Happening<'_>> {
    let callee = || block.get("DestCallerIDNum").or(block.get("DestExten")).and_then(dialled);
    Some(match block.get("Event")? {
        "Newchannel" => Happening::Opened {
            from: block.get("CallerIDNum").and_then(dialled).unwrap_or_default(),
            to: block.get("Exten").and_then(dialled).unwrap_or_default(),
        },
        "Newstate" if block.get("ChannelState") == Some("6") => Happening::Up,
        "Newexten" if is_voicemail(block.get("Application").unwrap_or_default()) => Happening::Voicemail,
        "DialBegin" => Happening::DialBegins { callee: callee() },
        "DialEnd" => {
            let word = block.get("DialStatus").unwrap_or_default();
            Happening::DialEnds { why: asterisk(word), word, callee: callee() }
        }
        "AgentConnect" => Happening::Bridged,
        "BridgeEnter" if block.get("BridgeNumChannels").is_some_and(|count| count != "1" && count != "0") => {
            Happening::Bridged
        }
        "BlindTransfer" | "AttendedTransfer" => Happening::Transferred,
        "HangupRequest" => Happening::HangupAsked,
        "Hangup" => Happening::Gone {
            code: block.get("Cause").and_then(|code| code.parse().ok()).unwrap_or(0),
            text: block.get("Cause-txt").unwrap_or_default(),
        },
        _ => return None,
    })
}
