//! Twilio, played: it goes where our answers lead it, signs what it sends, and has a clock of its own.

use callweave_core::event::{Body, Event, decode};
use callweave_core::settings::{Rules, Settings};
use callweave_core::telephony::twilio::{signature, take};
use callweave_core::telephony::{Hook, Outgoing, Refused, Taken, Terms};
use callweave_core::time::{MICROS_PER_SECOND, Time};

pub const BASE: &str = "https://calls.example.com/v1/hooks/twilio/acme";
pub const SECRET: &str = "fedcba9876543210fedcba9876543210";
pub const CALLER: &str = "+447400123456";
pub const NUMBER: &str = "+442079460000";
pub const PARENT: &str = "CA0123456789abcdef0123456789abcde1";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// One request as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub url: String,
    pub body: String,
    /// When the collector gets it, in microseconds after [`Provider::start`].
    pub at: i64,
    /// It carries the provider's own time, so that it may come at any time.
    pub is_stamped: bool,
}

pub struct Provider {
    pub rules: Rules,
    pub start: Time,
    /// Microseconds since the start.
    pub clock: i64,
    /// How far the collector's clock is ahead of the provider's, in seconds.
    pub skew: i64,
    pub sent: Vec<Sent>,
    pub outgoing: Vec<Outgoing>,
    legs: u32,
}

pub fn rules(settings: &str) -> Rules {
    let settings: Settings = serde_json::from_str(settings).expect(settings);
    assert_eq!(settings.check(), Ok(()), "{settings:?}");
    Rules::new(settings)
}

/// Takes a signed request.
pub fn receive(rules: &Rules, sent: &Sent, received: Time) -> Result<Taken, Refused> {
    let path = sent.url.strip_prefix(BASE).expect("one of our URLs").split('?').next().unwrap_or_default();
    let told = signature(&sent.url, sent.body.as_bytes(), SECRET);
    let headers =
        [("x-twilio-signature", told.as_str()), ("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    let hook = Hook {
        method: "POST",
        url: &sent.url,
        step: path.trim_start_matches('/'),
        headers: &headers,
        body: sent.body.as_bytes(),
        received,
    };
    take(&hook, &Terms { account: "acme", rules, secret: Some(SECRET), base: BASE })
}

pub fn form(pairs: &[(&str, &str)]) -> String {
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// An attribute of the first element of this name.
pub fn attribute(twiml: &str, element: &str, name: &str) -> Option<String> {
    let from = twiml.find(&format!("<{element} "))?;
    let tag = &twiml[from..from + twiml[from..].find('>')?];
    let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
    Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

pub fn text(twiml: &str, element: &str) -> Option<String> {
    let from = twiml.find(&format!("<{element}"))?;
    let rest = &twiml[from..];
    let rest = &rest[rest.find('>')? + 1..];
    Some(rest[..rest.find('<')?].replace("&amp;", "&"))
}

impl Provider {
    pub fn new(settings: &str, skew: i64) -> Provider {
        Provider {
            rules: rules(settings),
            start: Time::parse("2026-11-20T12:00:00.250001Z").expect("a time"),
            clock: 0,
            skew,
            sent: Vec::new(),
            outgoing: Vec::new(),
            legs: 1,
        }
    }

    pub fn wait(&mut self, seconds: f64) {
        self.clock += (seconds * MICROS_PER_SECOND as f64) as i64;
    }

    fn stamp(&self) -> String {
        chrono::DateTime::from_timestamp_micros(self.start.0 + self.clock).expect("a time").to_rfc2822()
    }

    /// When the collector sees a request that comes so long after the start.
    pub fn seen(&self, at: i64) -> Time {
        self.start.plus(at + self.skew * MICROS_PER_SECOND)
    }

    fn send(&mut self, url: &str, pairs: &[(&str, &str)], is_stamped: bool) -> String {
        // The way to the collector.
        self.clock += 40_000;
        let mut all = vec![("AccountSid", ACCOUNT), ("ApiVersion", "2010-04-01")];
        all.extend(pairs);
        let sent = Sent { url: url.to_owned(), body: form(&all), at: self.clock, is_stamped };
        let taken = receive(&self.rules, &sent, self.seen(sent.at)).expect(url);
        assert_eq!(taken.rejected, [], "{sent:?}");
        self.outgoing.extend(taken.outgoing);
        self.sent.push(sent);
        taken.reply.body
    }

    /// A request on the caller's leg that waits for TwiML.
    pub fn ask(&mut self, url: &str, alive: bool, pairs: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("CallSid", PARENT),
            ("From", CALLER),
            ("To", NUMBER),
            ("Direction", "inbound"),
            ("CallStatus", if alive { "in-progress" } else { "completed" }),
        ];
        all.extend(pairs);
        self.send(url, &all, false)
    }

    pub fn call_in(&mut self) -> String {
        let pairs = [
            ("CallSid", PARENT),
            ("From", CALLER),
            ("To", NUMBER),
            ("Direction", "inbound"),
            ("CallStatus", "ringing"),
        ];
        self.send(BASE, &pairs, false)
    }

    /// The leg that this TwiML's `<Dial>` starts goes through these states, with a second and a half between them.
    pub fn leg(&mut self, twiml: &str, states: &[&str]) -> String {
        self.legs += 1;
        let sid = format!("CA0123456789abcdef0123456789abcd{:02}", self.legs);
        let element = if twiml.contains("<Number ") { "Number" } else { "Sip" };
        let url = attribute(twiml, element, "statusCallback").expect(twiml);
        let to = text(twiml, element).expect(twiml);
        for (at, state) in states.iter().enumerate() {
            self.wait(1.5);
            let (stamp, number) = (self.stamp(), at.to_string());
            let pairs = [
                ("CallSid", sid.as_str()),
                ("ParentCallSid", PARENT),
                ("From", CALLER),
                ("To", &to),
                ("Direction", "outbound-dial"),
                ("CallStatus", state),
                ("CallbackSource", "call-progress-events"),
                ("SequenceNumber", &number),
                ("Timestamp", &stamp),
            ];
            self.send(&url, &pairs, true);
        }
        sid
    }

    pub fn dialled(&mut self, twiml: &str, sid: &str, alive: bool, pairs: &[(&str, &str)]) -> String {
        let mut all = vec![("DialCallSid", sid)];
        all.extend(pairs);
        self.ask(&attribute(twiml, "Dial", "action").expect(twiml), alive, &all)
    }

    /// The status callback of the caller's leg.
    pub fn over(&mut self, status: &str) {
        let (stamp, seconds) = (self.stamp(), (self.clock / MICROS_PER_SECOND).to_string());
        let pairs = [
            ("CallSid", PARENT),
            ("From", CALLER),
            ("To", NUMBER),
            ("Direction", "inbound"),
            ("CallStatus", status),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "0"),
            ("Timestamp", &stamp),
            ("CallDuration", &seconds),
            ("Duration", "1"),
        ];
        self.send(&format!("{BASE}/status"), &pairs, true);
    }

    /// The same, as it is told.
    pub fn over_as(&mut self, pairs: &[(&str, &str)]) {
        self.send(&format!("{BASE}/status"), pairs, false);
    }

    /// A callback with a time of its own.
    pub fn tell(&mut self, url: &str, time: &str, pairs: &[(&str, &str)]) {
        let stamp = self.stamp();
        let mut all = vec![("CallSid", PARENT), (time, stamp.as_str())];
        all.extend(pairs);
        self.send(url, &all, true);
    }

    /// What the collector makes of a request that comes at this time.
    pub fn events(&self, sent: &Sent, at: i64) -> Vec<Event<'static>> {
        let taken = receive(&self.rules, sent, self.seen(at)).expect("signed");
        assert_eq!(taken.rejected, []);
        taken.events
    }

    /// The account's settings, as an event.
    pub fn settings(&self) -> Event<'static> {
        let settings = self.rules.settings().clone();
        let time = Time::parse("2026-01-01T00:00:00Z").expect("a time");
        Event {
            account: "acme".into(),
            source: "test".into(),
            id: "settings".into(),
            time,
            recorded: time,
            body: Body::AccountSettings(Box::new(settings)),
        }
    }
}

/// The log's own way: written and read again.
pub fn through_the_log(event: &Event<'_>, apply: impl FnOnce(&Event<'_>)) {
    let line = event.to_json();
    apply(&decode(line.as_bytes(), None).expect(&line));
}
