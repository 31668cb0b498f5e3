//! One outcome of a call, from what each system says of each leg.
//!
//! Precedence: bridged to a human, voicemail, the rules of callbacks, the menu, busy, missed, failed. What the join can
//! tell by itself is not told to it: it knows `answered` by the answer, and from `missed` it parts those who left during
//! the greeting.

use crate::event::Outcome;

/// Why a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Somebody hung up. Answered, if it was bridged before.
    Over,
    /// The caller gave up before anybody answered.
    GaveUp,
    /// It rang, and nobody took it.
    Missed,
    Busy,
    Failed,
    /// Another leg won. It says nothing about the call.
    Elsewhere,
}

/// ITU-T Q.850 cause codes, as the facts' table sorts them. Unknown ones say nothing.
pub fn q850(code: u16) -> Option<Why> {
    Some(match code {
        16 | 31 => Why::Over,
        127 => Why::GaveUp,
        18 | 19 | 102 => Why::Missed,
        17 | 21 => Why::Busy,
        26 => Why::Elsewhere,
        1..=3 | 20 | 22 | 27 | 28 | 34 | 38 | 41..=44 | 50..=63 | 88 | 111 => Why::Failed,
        _ => return None,
    })
}

/// The names of causes in FreeSWITCH (`switch_cause_t`), which Telnyx and Plivo use too, in any case, with their codes.
const CAUSES: &[(&str, u16)] = &[
    ("UNALLOCATED_NUMBER", 1),
    ("NO_ROUTE_TRANSIT_NET", 2),
    ("NO_ROUTE_DESTINATION", 3),
    ("NOT_FOUND", 3),
    ("CHANNEL_UNACCEPTABLE", 41),
    ("CALL_AWARDED_DELIVERED", 16),
    ("NORMAL_CLEARING", 16),
    ("USER_BUSY", 17),
    ("NO_USER_RESPONSE", 18),
    ("NO_ANSWER", 19),
    ("SUBSCRIBER_ABSENT", 20),
    ("USER_NOT_REGISTERED", 20),
    ("CALL_REJECTED", 21),
    ("NUMBER_CHANGED", 22),
    ("DESTINATION_OUT_OF_ORDER", 27),
    ("INVALID_NUMBER_FORMAT", 28),
    ("FACILITY_REJECTED", 50),
    ("NORMAL_UNSPECIFIED", 31),
    ("NORMAL_CIRCUIT_CONGESTION", 34),
    ("NETWORK_OUT_OF_ORDER", 38),
    ("NORMAL_TEMPORARY_FAILURE", 41),
    ("SWITCH_CONGESTION", 42),
    ("REQUESTED_CHAN_UNAVAIL", 44),
    ("GATEWAY_DOWN", 38),
    ("OUTGOING_CALL_BARRED", 52),
    ("INCOMING_CALL_BARRED", 54),
    ("BEARERCAPABILITY_NOTAUTH", 57),
    ("BEARERCAPABILITY_NOTAVAIL", 58),
    ("SERVICE_UNAVAILABLE", 63),
    ("INCOMPATIBLE_DESTINATION", 88),
    ("RECOVERY_ON_TIMER_EXPIRE", 102),
    ("PROGRESS_TIMEOUT", 102),
    ("ALLOTTED_TIMEOUT", 102),
    ("TIMEOUT", 102),
    ("MEDIA_TIMEOUT", 102),
    ("PROTOCOL_ERROR", 111),
    ("INTERWORKING", 127),
    ("ORIGINATOR_CANCEL", 127),
    ("LOSE_RACE", 26),
    ("PICKED_OFF", 26),
];

/// The Q.850 code that stands for a cause's name.
pub fn code_of(name: &str) -> Option<u16> {
    CAUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| *code)
}

/// FreeSWITCH's, Telnyx' and Plivo's names of causes.
pub fn cause(name: &str) -> Option<Why> {
    code_of(name).and_then(q850)
}

/// `disposition` of a call record, `DialStatus` of AMI, and the dial status that CEL's HANGUP carries. `ANSWER` is
/// [`Why::Over`]: whether it was a human is for the other fields to say.
pub fn asterisk(word: &str) -> Option<Why> {
    Some(match word.to_ascii_uppercase().as_str() {
        "ANSWERED" | "ANSWER" => Why::Over,
        "NO ANSWER" | "NOANSWER" | "CANCEL" | "DONTCALL" | "TORTURE" => Why::Missed,
        "BUSY" => Why::Busy,
        "FAILED" | "CONGESTION" | "CHANUNAVAIL" | "INVALIDARGS" => Why::Failed,
        _ => return None,
    })
}

/// What systems of the web call the end of a leg: Vonage's `status`, Bandwidth's `cause`, Twilio's and TeXML's
/// `CallStatus`, Plivo's `CallStatus`.
pub fn status(word: &str) -> Option<Why> {
    Some(match word.to_ascii_lowercase().as_str() {
        "completed" | "hangup" | "answered" => Why::Over,
        "no-answer" | "no_answer" | "unanswered" | "timeout" => Why::Missed,
        "busy" | "rejected" => Why::Busy,
        "cancelled" | "canceled" | "cancel" => Why::GaveUp,
        "failed"
        | "error"
        | "callback-error"
        | "invalid-bxml"
        | "account-limit"
        | "node-capacity-exceeded"
        | "unknown"
        | "application-error"
        | "incompatible"
        | "not-found" => Why::Failed,
        _ => return None,
    })
}

/// What is known of a call's legs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Legs {
    pub bridged: bool,
    pub voicemail: bool,
    /// A leg of a callback was not taken: the agent's or the client's.
    pub agent_missed: bool,
    pub client_missed: bool,
    /// The system picked up, and no leg was dialled.
    pub menu: bool,
    pub busy: bool,
    pub missed: bool,
    pub failed: bool,
}

impl Legs {
    pub fn note(&mut self, why: Option<Why>) {
        match why {
            Some(Why::Busy) => self.busy = true,
            Some(Why::Missed) => self.missed = true,
            Some(Why::Failed) => self.failed = true,
            Some(Why::Over | Why::GaveUp | Why::Elsewhere) | None => {}
        }
    }

    /// The outcome, where anything tells.
    pub fn outcome(&self) -> Option<Outcome> {
        [
            (self.bridged, Outcome::Answered),
            (self.voicemail, Outcome::Voicemail),
            (self.agent_missed, Outcome::CallbackAgentMissed),
            (self.client_missed, Outcome::CallbackClientMissed),
            (self.menu, Outcome::AbandonedMenu),
            (self.busy, Outcome::Busy),
            (self.missed, Outcome::Missed),
            (self.failed, Outcome::Failed),
        ]
        .into_iter()
        .find_map(|(holds, outcome)| holds.then_some(outcome))
    }

    /// The outcome as an event tells it: nothing where the join knows better. See the module.
    pub fn told(&self) -> Option<Outcome> {
        self.outcome().filter(|it| !matches!(it, Outcome::Missed | Outcome::AbandonedMenu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_each_system_s_words_as_the_table_does() {
        for (why, codes, names, asterisks, statuses) in [
            (Why::Over, &[16, 31][..], &["normal_clearing"][..], &["ANSWER"][..], &["completed"][..]),
            (Why::GaveUp, &[127], &["ORIGINATOR_CANCEL"], &[], &["canceled", "cancelled"]),
            (
                Why::Missed,
                &[18, 19, 102],
                &["NO_ANSWER", "NO_USER_RESPONSE", "ALLOTTED_TIMEOUT", "timeout"],
                &["NO ANSWER", "NOANSWER", "CANCEL"],
                &["no-answer", "timeout", "unanswered"],
            ),
            (Why::Busy, &[17, 21], &["USER_BUSY", "call_rejected"], &["BUSY"], &["busy", "rejected"]),
            (
                Why::Failed,
                &[1, 2, 3, 20, 22, 27, 28, 34, 38, 41, 44, 50, 63, 88, 111],
                &[
                    "UNALLOCATED_NUMBER",
                    "NO_ROUTE_DESTINATION",
                    "NORMAL_CIRCUIT_CONGESTION",
                    "GATEWAY_DOWN",
                    "not_found",
                ],
                &["FAILED", "CONGESTION", "CHANUNAVAIL"],
                &["failed", "error"],
            ),
            (Why::Elsewhere, &[26], &["LOSE_RACE"], &[], &[]),
        ] {
            for code in codes {
                assert_eq!(q850(*code), Some(why), "{code}");
            }
            for (words, read) in [(names, cause as fn(&str) -> _), (asterisks, asterisk), (statuses, status)] {
                for word in words {
                    assert_eq!(read(word), Some(why), "{word}");
                }
            }
        }
        assert_eq!((q850(0), q850(999), cause("x"), asterisk(""), status("ringing")), (None, None, None, None, None));
    }

    #[test]
    fn a_stronger_word_wins() {
        let all = Legs {
            bridged: true,
            voicemail: true,
            agent_missed: true,
            client_missed: true,
            menu: true,
            busy: true,
            missed: true,
            failed: true,
        };
        let mut legs = all;
        let mut seen = vec![legs.outcome()];
        let weaken: [fn(&mut Legs); 8] = [
            |it| it.bridged = false,
            |it| it.voicemail = false,
            |it| it.agent_missed = false,
            |it| it.client_missed = false,
            |it| it.menu = false,
            |it| it.busy = false,
            |it| it.missed = false,
            |it| it.failed = false,
        ];
        for step in weaken {
            step(&mut legs);
            seen.push(legs.outcome());
        }
        let expected = [
            Some(Outcome::Answered),
            Some(Outcome::Voicemail),
            Some(Outcome::CallbackAgentMissed),
            Some(Outcome::CallbackClientMissed),
            Some(Outcome::AbandonedMenu),
            Some(Outcome::Busy),
            Some(Outcome::Missed),
            Some(Outcome::Failed),
            None,
        ];
        assert_eq!(seen, expected);
    }
}
