//! What goes wrong on the way: events that come late, come twice, or cannot be used.

use callweave_core::time::Time;

use super::truth::Truth;
use super::world::{Action, World};

/// A line that arrives later.
pub(super) struct Held {
    line: Vec<u8>,
    kind: &'static str,
    account: u16,
    truth: Option<Truth>,
}

const KIND_UNUSABLE: &str = "unusable";
/// A duplicate follows within so many seconds.
const DUPLICATE_SECONDS: f64 = 60.0;

/// Lines that are no events, each for another reason. Where the account is known, `{account}` stands for it.
const UNUSABLE: [&str; 8] = [
    "{\"specversion\":\"1.0\",\"id\":\"cut-off\",\"source\":\"web/main\",\"ty",
    "GET / HTTP/1.1",
    "[]",
    r#"{"specversion":"1.0","id":"x1","source":"web/main","type":"page_vew","time":"2026-11-20T12:00:00Z","account":"{account}","data":{}}"#,
    r#"{"specversion":"1.0","id":"x2","source":"web/main","type":"page_view","time":"1970-01-01T00:00:00Z","account":"{account}","data":{"visitor_id":"v1","url":"https://www.acme.example/"}}"#,
    r#"{"specversion":"1.0","id":"x3","source":"web/main","type":"page_view","time":"2026-11-20T12:00:00Z","account":"{account}","data":{"url":7}}"#,
    r#"{"specversion":"1.0","id":"x4","source":"phone/main","type":"call","time":"2026-11-20T12:00:00Z","account":"{account}","data":{"call_id":"c1","status":"started","direction":"inbound","from":"555-0100","to":"+12015550100"}}"#,
    r#"{"specversion":"1.0","id":"x5","source":"phone/main","type":"call_record","time":"2026-11-20T12:00:00Z","account":"{account}","data":{"call_id":"c2","direction":"inbound","from":"anonymous","to":"+12015550100","started_at":"2026-11-20T12:00:00Z","ended_at":"2026-11-20T11:00:00Z"}}"#,
];

impl World {
    /// When the event that begins now arrives, if not at once.
    pub(super) fn lateness(&mut self) -> Option<Time> {
        if !self.draw.chance(self.options.late_share) {
            return None;
        }
        Some(self.now.plus(self.draw.seconds(0.5, self.options.late_seconds)))
    }

    /// Keeps the line that was just written, or holds it back; and may add a duplicate or an unusable line.
    pub(super) fn arrange(&mut self, account: u16, kind: &'static str, truth: Option<Truth>) {
        let start = self.line_start();
        let again = self.draw.chance(self.options.duplicate_share);
        let delay = self.arrives.take().map(|at| at.since(self.now));
        if again {
            let after = delay.unwrap_or(0) + self.draw.seconds(0.0, DUPLICATE_SECONDS);
            let line = self.lines.bytes()[start..].to_vec();
            self.hold(after, Held { line, kind, account, truth: None });
        }
        match delay {
            Some(delay) => {
                let line = self.lines.bytes()[start..].to_vec();
                self.lines.truncate(start);
                self.hold(delay, Held { line, kind, account, truth });
            }
            None => self.keep(account, kind, truth),
        }
        if self.draw.chance(self.options.unusable_share) {
            let line = self.draw.pick(&UNUSABLE).replace("{account}", &self.accounts[usize::from(account)].name);
            self.lines.line(line.as_bytes());
            self.keep(account, KIND_UNUSABLE, None);
        }
    }

    pub(super) fn release_held(&mut self, held: u32) {
        if let Some(held) = self.held.take(held) {
            self.lines.line(held.line.trim_ascii_end());
            self.keep(held.account, held.kind, held.truth);
        }
    }

    fn hold(&mut self, after: i64, held: Held) {
        let held = self.held.put(held);
        self.plan(after, Action::Held(held));
    }
}
