//! The ways that a call can go, played to the end.

use callweave_core::event::{Direction, Outcome};
use callweave_core::phone::Phone;
use callweave_core::telephony::Terms;
use callweave_core::telephony::twilio::{Callback, start_callback};

use super::provider::{BASE, CALLER, NUMBER, Provider, SECRET, attribute};

pub struct Scene {
    pub name: &'static str,
    pub settings: &'static str,
    pub play: fn(&mut Provider),
    pub outcome: Outcome,
    pub hangup_by: Option<&'static str>,
    pub talk_seconds: f64,
    pub answered: bool,
    pub extension: Option<&'static str>,
    pub destination: Option<&'static str>,
    pub recorded: bool,
    /// Only the status callback of the caller's leg tells of the end.
    pub hangs_on_status: bool,
}

impl Scene {
    fn is_callback(&self) -> bool {
        self.name.starts_with("callback")
    }

    pub fn direction(&self) -> Direction {
        if self.is_callback() { Direction::Callback } else { Direction::Inbound }
    }

    pub fn parties(&self) -> (String, String) {
        (CALLER.to_owned(), NUMBER.to_owned())
    }
}

/// A parameter of a request that we make.
pub fn asked(body: &str, name: &str) -> String {
    let value = body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).expect(body);
    percent_encoding::percent_decode_str(value).decode_utf8().expect("UTF-8").into_owned()
}

const AGENT: &str = "+442079460999";
const PLAIN: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}]}"#;
const FULL: &str = r#"{"currency":"EUR","agents":{"+442079460999":"Ada"},
    "numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
    "voice":{"greeting":"Welcome.","record":true,"announcement":"This call is recorded.","transcribe":true,
    "whisper":"A call.","detect_machines":true,"assessment":{"say":"What was it?","value":true,
    "categories":[{"key":"1","category":"sale","value":100},{"key":"2","category":"other"}]}}}"#;
const VOICEMAIL: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
    "voice":{"unanswered":{"say":"Nobody is here.","voicemail":true},"voicemail":{"say":"Please speak.","transcribe":true}}}"#;
const SECOND: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
    "voice":{"record":true,"announcement":"This call is recorded.",
    "unanswered":{"forward_to":"sip:second@example.com","voicemail":true}}}"#;
/// Without a `forward_to`: whoever calls is put through to the second at once.
const SECOND_ALONE: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow"}],
    "voice":{"record":true,"announcement":"This call is recorded.","unanswered":{"forward_to":"sip:second@example.com"}}}"#;
const ANNOUNCED: &str = "<Say>This call is recorded.</Say>";
const SORRY: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
    "voice":{"unanswered":{"say":"Please call again tomorrow."}}}"#;
const MENU: &str = r#"{"numbers":[{"number":"+442079460000","kind":"overflow","forward_to":"+442079460999"}],
    "voice":{"menu":{"say":"Sales: 1","keys":[{"key":"1","forward_to":"sip:sales@example.com"}]}}}"#;
const CODES: &str = r#"{"pools":[{"name":"main","extensions":3,"on_exhausted":"share"}],
    "numbers":[{"number":"+442079460000","kind":"pool","pool":"main","forward_to":"+442079460999"}]}"#;
const CLOSED: &str = r#"{"business_hours":{},"numbers":[{"number":"+442079460000","kind":"overflow",
    "forward_to":"+442079460999"}],"voice":{"closed":{"say":"We are closed."}}}"#;
const CLOSED_MESSAGE: &str = r#"{"business_hours":{},"numbers":[{"number":"+442079460000","kind":"overflow",
    "voice":{"closed":{"say":"We are closed.","voicemail":true}}}]}"#;
const BACK: &str = r#"{"agents":{"+442079460999":"Ada"},"numbers":[{"number":"+442079460000","kind":"overflow",
    "forward_to":"+442079460999"}],"voice":{"callback":{"say":"A callback."},"api":{"account":"AC1"}}}"#;

const MISSED: Scene = Scene {
    name: "nobody takes it",
    settings: PLAIN,
    play: |it| {
        let twiml = it.call_in();
        let sid = it.leg(&twiml, &["initiated", "ringing"]);
        it.wait(25.0);
        it.dialled(&twiml, &sid, true, &[("DialCallStatus", "no-answer")]);
        it.leg(&twiml, &["no-answer"]);
        it.over("completed");
    },
    outcome: Outcome::Missed,
    hangup_by: Some("system"),
    talk_seconds: 0.0,
    answered: false,
    extension: None,
    destination: Some(AGENT),
    recorded: false,
    hangs_on_status: false,
};

/// Whom the answer puts the caller through to takes the call, and hangs up 42 seconds later.
fn talked(it: &mut Provider, twiml: &str) {
    let sid = it.leg(twiml, &["initiated", "ringing", "in-progress"]);
    it.wait(40.0);
    it.leg(twiml, &["completed"]);
    let told = [("DialCallStatus", "completed"), ("DialCallDuration", "42"), ("DialBridged", "true")];
    it.dialled(twiml, &sid, true, &told);
    it.over("completed");
}

pub const SCENES: &[Scene] = &[
    MISSED,
    Scene {
        name: "answered, agent hangs up",
        settings: FULL,
        play: |it| {
            let twiml = it.call_in();
            assert_eq!(attribute(&twiml, "Dial", "record").as_deref(), Some("record-from-answer-dual"));
            it.wait(2.0);
            let live = attribute(&twiml, "Transcription", "statusCallbackUrl").expect(&twiml);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            let whisper = it.ask(&attribute(&twiml, "Number", "url").expect(&twiml), true, &[]);
            assert!(whisper.contains("<Say>A call.</Say>"), "{whisper}");
            it.tell(
                &attribute(&twiml, "Number", "amdStatusCallback").expect(&twiml),
                "Timestamp",
                &[("AnsweredBy", "human")],
            );
            let recording = attribute(&twiml, "Dial", "recordingStatusCallback").expect(&twiml);
            for (at, (track, text)) in
                [("outbound_track", "Good afternoon."), ("inbound_track", "I call about a bill.")]
                    .into_iter()
                    .enumerate()
            {
                it.wait(2.0);
                let data = format!("{{\"transcript\":\"{text}\",\"confidence\":0.9}}");
                let number = at.to_string();
                let pairs = [
                    ("TranscriptionEvent", "transcription-content"),
                    ("TranscriptionData", data.as_str()),
                    ("Track", track),
                    ("SequenceId", &number),
                ];
                it.tell(&live, "Timestamp", &pairs);
            }
            it.wait(40.0);
            it.dialled(
                &twiml,
                &sid,
                true,
                &[("DialCallStatus", "completed"), ("DialCallDuration", "44"), ("DialBridged", "true")],
            );
            it.leg(&twiml, &["completed"]);
            it.over("completed");
            it.tell(
                &recording,
                "RecordingStartTime",
                &[
                    ("RecordingSid", "RE1"),
                    ("RecordingUrl", "https://api.twilio.com/RE1"),
                    ("RecordingStatus", "completed"),
                ],
            );
        },
        outcome: Outcome::Answered,
        hangup_by: Some("agent"),
        talk_seconds: 44.0,
        answered: true,
        recorded: true,
        ..MISSED
    },
    Scene {
        name: "answered, caller hangs up",
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(30.0);
            it.leg(&twiml, &["completed"]);
            it.over("completed");
            it.dialled(&twiml, &sid, false, &[("DialCallStatus", "completed"), ("DialCallDuration", "31")]);
        },
        outcome: Outcome::Answered,
        hangup_by: Some("caller"),
        talk_seconds: 31.0,
        answered: true,
        ..MISSED
    },
    Scene {
        name: "busy",
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "busy"]);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "busy")]);
            it.over("completed");
        },
        outcome: Outcome::Busy,
        ..MISSED
    },
    Scene {
        name: "failed",
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["failed"]);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "failed")]);
            it.over("completed");
        },
        outcome: Outcome::Failed,
        ..MISSED
    },
    Scene {
        name: "the caller gives up at once",
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "ringing", "canceled"]);
            it.dialled(&twiml, &sid, false, &[("DialCallStatus", "canceled")]);
            it.over("completed");
        },
        outcome: Outcome::AbandonedGreeting,
        hangup_by: Some("caller"),
        ..MISSED
    },
    Scene {
        name: "the caller gives up late",
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "ringing"]);
            it.wait(15.0);
            it.leg(&twiml, &["canceled"]);
            it.dialled(&twiml, &sid, false, &[("DialCallStatus", "canceled")]);
            it.over("completed");
        },
        hangup_by: Some("caller"),
        ..MISSED
    },
    Scene {
        name: "picked up and never connected",
        play: |it| {
            let twiml = it.call_in();
            it.wait(11.0);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress", "completed"]);
            let told = [("DialCallStatus", "completed"), ("DialCallDuration", "2"), ("DialBridged", "false")];
            it.dialled(&twiml, &sid, false, &told);
            it.over("completed");
        },
        hangup_by: Some("caller"),
        // As the join has it: from the answer that was none to the end.
        answered: true,
        talk_seconds: 0.0,
        ..MISSED
    },
    Scene {
        name: "busy, then a message",
        settings: VOICEMAIL,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "busy"]);
            let record = it.dialled(&twiml, &sid, true, &[("DialCallStatus", "busy")]);
            it.wait(20.0);
            let action = attribute(&record, "Record", "action").expect(&record);
            it.ask(
                &action,
                false,
                &[("RecordingUrl", "https://api.twilio.com/RE2"), ("RecordingDuration", "17"), ("Digits", "hangup")],
            );
            it.over("completed");
            let pairs = [
                ("RecordingSid", "RE2"),
                ("RecordingUrl", "https://api.twilio.com/RE2"),
                ("RecordingSource", "RecordVerb"),
            ];
            it.clock -= 19_000_000;
            it.tell(
                &attribute(&record, "Record", "recordingStatusCallback").expect(&record),
                "RecordingStartTime",
                &pairs,
            );
        },
        outcome: Outcome::Voicemail,
        hangup_by: Some("caller"),
        recorded: true,
        ..MISSED
    },
    Scene {
        name: "not answered, and no message left",
        settings: VOICEMAIL,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "ringing", "no-answer"]);
            let record = it.dialled(&twiml, &sid, true, &[("DialCallStatus", "no-answer")]);
            it.wait(30.0);
            it.ask(&super::provider::text(&record, "Redirect").expect(&record), true, &[]);
            it.over("completed");
        },
        ..MISSED
    },
    Scene {
        name: "busy, then somebody else answers",
        settings: SECOND,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "busy"]);
            let second = it.dialled(&twiml, &sid, true, &[("DialCallStatus", "busy")]);
            assert!(!second.contains(ANNOUNCED), "it was said before the first leg: {second}");
            talked(it, &second);
        },
        outcome: Outcome::Answered,
        hangup_by: Some("agent"),
        talk_seconds: 42.0,
        answered: true,
        destination: Some("sip:second@example.com"),
        ..MISSED
    },
    Scene {
        name: "put through to somebody else at once",
        settings: SECOND_ALONE,
        play: |it| {
            let twiml = it.call_in();
            assert!(twiml.matches(ANNOUNCED).count() <= 1, "{twiml}");
            talked(it, &twiml);
        },
        outcome: Outcome::Answered,
        hangup_by: Some("agent"),
        talk_seconds: 42.0,
        answered: true,
        destination: Some("sip:second@example.com"),
        ..MISSED
    },
    Scene {
        name: "busy, and the caller does not wait for somebody else",
        settings: SECOND,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "busy"]);
            let second = it.dialled(&twiml, &sid, true, &[("DialCallStatus", "busy")]);
            let sid = it.leg(&second, &["initiated", "ringing", "canceled"]);
            it.dialled(&second, &sid, false, &[("DialCallStatus", "canceled")]);
            it.over("completed");
        },
        outcome: Outcome::Busy,
        hangup_by: Some("caller"),
        destination: Some("sip:second@example.com"),
        ..MISSED
    },
    Scene {
        name: "busy, and told so",
        settings: SORRY,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "busy"]);
            let sorry = it.dialled(&twiml, &sid, true, &[("DialCallStatus", "busy")]);
            it.wait(3.0);
            it.ask(&super::provider::text(&sorry, "Redirect").expect(&sorry), true, &[]);
            it.over("completed");
        },
        outcome: Outcome::Busy,
        ..MISSED
    },
    Scene {
        name: "a machine answers",
        settings: FULL,
        play: |it| {
            let twiml = it.call_in();
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(4.0);
            let machine = attribute(&twiml, "Number", "amdStatusCallback").expect(&twiml);
            it.tell(&machine, "Timestamp", &[("AnsweredBy", "machine_start")]);
            it.wait(20.0);
            it.dialled(
                &twiml,
                &sid,
                false,
                &[("DialCallStatus", "completed"), ("DialCallDuration", "25"), ("DialBridged", "true")],
            );
            it.over("completed");
            // Twilio repeats what was not taken; without this one, nothing tells a machine from a person.
            let at = it.sent.iter().position(|sent| sent.url.contains("/machine")).expect("told");
            it.sent[at].is_stamped = false;
        },
        outcome: Outcome::Voicemail,
        hangup_by: Some("caller"),
        talk_seconds: 25.0,
        answered: true,
        ..MISSED
    },
    Scene {
        name: "a key is pressed, and answered",
        settings: MENU,
        play: |it| {
            let menu = it.call_in();
            it.wait(4.0);
            let again = it.ask(&attribute(&menu, "Gather", "action").expect(&menu), true, &[("Digits", "9")]);
            it.wait(4.0);
            let twiml = it.ask(&attribute(&again, "Gather", "action").expect(&again), true, &[("Digits", "1")]);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(10.0);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "completed"), ("DialCallDuration", "11")]);
            it.over("completed");
        },
        outcome: Outcome::Answered,
        hangup_by: Some("agent"),
        talk_seconds: 11.0,
        answered: true,
        destination: Some("sip:sales@example.com"),
        ..MISSED
    },
    Scene {
        name: "no key is pressed, and nobody answers",
        settings: MENU,
        play: |it| {
            let menu = it.call_in();
            it.wait(6.0);
            let again = it.ask(&super::provider::text(&menu, "Redirect").expect(&menu), true, &[]);
            it.wait(6.0);
            let twiml = it.ask(&super::provider::text(&again, "Redirect").expect(&again), true, &[]);
            let sid = it.leg(&twiml, &["initiated", "ringing", "no-answer"]);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "no-answer")]);
            it.over("completed");
        },
        ..MISSED
    },
    Scene {
        name: "left in the menu",
        settings: MENU,
        play: |it| {
            it.call_in();
            it.wait(14.0);
            it.over("completed");
        },
        outcome: Outcome::AbandonedMenu,
        hangup_by: Some("caller"),
        destination: None,
        hangs_on_status: true,
        ..MISSED
    },
    Scene {
        name: "an extension is dialled at the second try",
        settings: CODES,
        play: |it| {
            let ask = it.call_in();
            it.wait(3.0);
            assert_eq!(attribute(&ask, "Gather", "numDigits").as_deref(), Some("3"));
            let again = it.ask(&attribute(&ask, "Gather", "action").expect(&ask), true, &[("Digits", "12")]);
            it.wait(3.0);
            let twiml = it.ask(&attribute(&again, "Gather", "action").expect(&again), true, &[("Digits", "042")]);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(5.0);
            it.dialled(&twiml, &sid, false, &[("DialCallStatus", "completed"), ("DialCallDuration", "6")]);
            it.over("completed");
        },
        outcome: Outcome::Answered,
        hangup_by: Some("caller"),
        talk_seconds: 6.0,
        answered: true,
        extension: Some("042"),
        ..MISSED
    },
    Scene {
        name: "no extension is dialled",
        settings: CODES,
        play: |it| {
            let ask = it.call_in();
            it.wait(6.0);
            let again = it.ask(&super::provider::text(&ask, "Redirect").expect(&ask), true, &[]);
            it.wait(6.0);
            let twiml = it.ask(&super::provider::text(&again, "Redirect").expect(&again), true, &[]);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(5.0);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "completed"), ("DialCallDuration", "5")]);
            it.over("completed");
        },
        outcome: Outcome::Answered,
        hangup_by: Some("agent"),
        talk_seconds: 5.0,
        answered: true,
        ..MISSED
    },
    Scene {
        name: "closed",
        settings: CLOSED,
        play: |it| {
            let twiml = it.call_in();
            assert!(twiml.contains("<Say>We are closed.</Say>"), "{twiml}");
            it.wait(3.0);
            it.ask(&super::provider::text(&twiml, "Redirect").expect(&twiml), true, &[]);
            it.over("completed");
        },
        destination: None,
        ..MISSED
    },
    Scene {
        name: "closed, and a message",
        settings: CLOSED_MESSAGE,
        play: |it| {
            let twiml = it.call_in();
            it.wait(9.0);
            let action = attribute(&twiml, "Record", "action").expect(&twiml);
            it.ask(&action, true, &[("RecordingUrl", "https://api.twilio.com/RE3"), ("Digits", "#")]);
            it.over("completed");
        },
        outcome: Outcome::Voicemail,
        destination: None,
        recorded: true,
        ..MISSED
    },
    Scene {
        name: "callback, client reached",
        settings: BACK,
        play: |it| {
            let (agent, twiml) = call_back(it);
            let sid = it.leg(&twiml, &["initiated", "ringing", "in-progress"]);
            it.wait(20.0);
            it.dialled(
                &twiml,
                &sid,
                true,
                &[("DialCallStatus", "completed"), ("DialCallDuration", "21"), ("DialBridged", "true")],
            );
            agent_leg(it, &agent, "completed");
        },
        outcome: Outcome::Answered,
        hangup_by: Some("caller"),
        talk_seconds: 21.0,
        answered: true,
        ..MISSED
    },
    Scene {
        name: "callback, client not reached",
        settings: BACK,
        play: |it| {
            let (agent, twiml) = call_back(it);
            let sid = it.leg(&twiml, &["initiated", "ringing", "no-answer"]);
            it.dialled(&twiml, &sid, true, &[("DialCallStatus", "no-answer")]);
            agent_leg(it, &agent, "completed");
        },
        outcome: Outcome::CallbackClientMissed,
        ..MISSED
    },
    Scene {
        name: "callback, agent not reached",
        settings: BACK,
        play: |it| {
            let form = begin(it);
            let agent = asked(&form, "StatusCallback");
            agent_leg(it, &agent, "initiated");
            agent_leg(it, &agent, "ringing");
            it.wait(25.0);
            agent_leg(it, &agent, "no-answer");
            // The last word on this call: nothing else tells.
            it.sent.last_mut().expect("told").is_stamped = false;
        },
        outcome: Outcome::CallbackAgentMissed,
        hangup_by: None,
        ..MISSED
    },
];

fn begin(it: &mut Provider) -> String {
    let terms = Terms { account: "acme", rules: &it.rules, secret: Some(SECRET), base: BASE };
    let (phone, number) = (Phone::parse(CALLER).expect("E.164"), Phone::parse(NUMBER).expect("E.164"));
    let wish = Callback { id: "web/main:01J", phone, number, at: it.seen(0) };
    start_callback(&wish, &terms).expect("allowed").body
}

fn call_back(it: &mut Provider) -> (String, String) {
    let form = begin(it);
    let agent = asked(&form, "StatusCallback");
    agent_leg(it, &agent, "initiated");
    agent_leg(it, &agent, "ringing");
    agent_leg(it, &agent, "in-progress");
    let twiml = it.ask(&asked(&form, "Url"), true, &[]);
    assert!(twiml.contains("<Say>A callback.</Say>"), "{twiml}");
    assert_eq!(super::provider::text(&twiml, "Number").as_deref(), Some(CALLER));
    assert_eq!(attribute(&twiml, "Dial", "callerId").as_deref(), Some(NUMBER));
    (agent, twiml)
}

fn agent_leg(it: &mut Provider, url: &str, status: &str) {
    it.wait(2.0);
    it.tell(
        url,
        "Timestamp",
        &[("CallStatus", status), ("From", NUMBER), ("To", AGENT), ("Direction", "outbound-api")],
    );
}
