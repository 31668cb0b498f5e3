//! Calls: progress events and records with every gap, repetition and boundary that the small print speaks of.

use rand::Rng;
use serde_json::{Map, Value, json};

use super::super::read::rfc3339;
use super::accounts::{OVERFLOW, STATIC, STATIC_WITHOUT_SOURCE, UNKNOWN};
use super::maker::{EXTENSIONS, Held, Maker, Rules};
use super::{DAY, HOUR, MINUTE, SECOND};

const OUTCOMES: [&str; 9] = [
    "answered",
    "missed",
    "abandoned_greeting",
    "abandoned_menu",
    "busy",
    "voicemail",
    "failed",
    "callback_agent_missed",
    "callback_client_missed",
];

const ANONYMOUS: &str = "anonymous";

/// When a call starts, who calls, and the lease whose number is called, if that was the aim.
struct Aim {
    start: i64,
    caller: String,
    held: Option<Held>,
}

/// A call as it went; what is told of it may be less.
struct Course {
    base: Value,
    start: i64,
    /// Statuses between start and end.
    steps: Vec<(i64, &'static str)>,
    answered: Option<i64>,
    ended: Option<i64>,
}

impl Maker<'_> {
    pub fn make_calls(&mut self) {
        let mut earlier: Vec<(i64, String)> = Vec::new();
        for n in 0..self.rng.random_range(1..=self.size.calls) {
            let rules = self.a_rule();
            let aim = self.aim(rules, &earlier);
            earlier.push((aim.start, aim.caller.clone()));
            let course = self.course(&format!("c{n}"), aim, rules);
            match self.rng.random_range(0..10) {
                0..=5 => self.tell_progress(&course),
                6 | 7 => self.tell_record(&course),
                _ => {
                    self.tell_progress(&course);
                    self.tell_record(&course);
                }
            }
            self.say_more(&course);
        }
    }

    /// Mostly an instant at which a rule turns: the end of a lease, of the window, of an earlier call's sales cycle.
    fn aim(&mut self, rules: Rules, earlier: &[(i64, String)]) -> Aim {
        let nth = self.rng.random_range(0..self.size.callers);
        let caller = if self.chance(0.15) { ANONYMOUS.to_owned() } else { format!("+491515550000{nth}") };
        let shortly = self.rng.random_range(0..30 * MINUTE);
        match self.rng.random_range(0..10) {
            0..=4 if !self.held.is_empty() => {
                let held = self.held.clone();
                let held = self.pick(&held);
                let offset = self.pick(&[0, 0, shortly, shortly, rules.window]);
                Aim { start: self.around(held.at + offset), caller, held: Some(held) }
            }
            5 | 6 if !earlier.is_empty() => {
                let (opened, caller) = self.pick(earlier);
                let offset = self.pick(&[0, HOUR, DAY, rules.cycle, rules.cycle, rules.cycle]);
                Aim { start: self.around(opened + offset), caller, held: None }
            }
            7 => {
                let time = self.any_time();
                Aim { start: self.around(time - time.rem_euclid(HOUR / 2)), caller, held: None }
            }
            _ => {
                let instant = self.an_instant();
                let offset = self.pick(&[0, shortly, rules.window]);
                Aim { start: self.around(instant + offset), caller, held: None }
            }
        }
    }

    /// Direction, from and to.
    fn parties(&mut self, aim: &Aim) -> (&'static str, String, String) {
        let direction =
            self.pick(&["inbound", "inbound", "inbound", "inbound", "inbound", "inbound", "callback", "outbound"]);
        let caller = aim.caller.clone();
        let numbers = self.pool_numbers.clone();
        let of_pool = self.pick(&numbers).number;
        let other = self.pick(&[STATIC, STATIC_WITHOUT_SOURCE, OVERFLOW, UNKNOWN]);
        let number = match &aim.held {
            Some(held) => held.number.clone(),
            None if self.chance(0.6) => of_pool,
            None => other.to_owned(),
        };
        match direction {
            // Nobody dials a number that was withheld.
            "outbound" if caller != ANONYMOUS => (direction, number, caller),
            "outbound" => ("inbound", caller, number),
            _ => (direction, caller, number),
        }
    }

    fn course(&mut self, call_id: &str, aim: Aim, rules: Rules) -> Course {
        let (direction, from, to) = self.parties(&aim);
        let start = aim.start;
        let mut base = json!({"call_id": call_id, "direction": direction, "from": from, "to": to});
        match aim.held.and_then(|held| held.extension) {
            Some(extension) if self.chance(0.6) => base["extension"] = json!(extension),
            _ if self.chance(0.1) => base["extension"] = json!(self.pick(&EXTENSIONS)),
            _ => {}
        }
        let mut steps = Vec::new();
        if self.chance(0.25) {
            steps.push((start + SECOND, "menu"));
        }
        if self.chance(0.65) {
            steps.push((start + self.pick(&[0, SECOND, 2 * SECOND + 5]), "ringing"));
        }
        let wait = self.rng.random_range(2..40) * SECOND;
        let answered = self.chance(0.65).then_some(start + wait);
        if answered.is_none() && self.chance(0.25) {
            steps.push((start + wait, "voicemail"));
        }
        let ended = match answered {
            Some(answer) => {
                let random = self.rng.random_range(0..900 * SECOND);
                let talk = self.pick(&[rules.target, random]);
                self.around(answer + talk).max(answer)
            }
            None => {
                let random = self.rng.random_range(0..90 * SECOND);
                let length = self.pick(&[rules.greeting, random]);
                self.around(start + length).max(start)
            }
        };
        let ended = self.chance(0.9).then_some(ended);
        Course { base, start, steps, answered, ended }
    }

    /// Members that any event of a call may have, with values of this event's own.
    fn extras(&mut self, data: &mut Value) {
        let tag = self.rng.random_range(0..100);
        let extras = [
            (0.2, "agent", json!(self.pick(&["12", "+14155559999", "Ada"]))),
            (0.2, "destination", if tag < 20 { json!("12") } else { json!(format!("sip:{tag}@pbx.example")) }),
            (0.1, "cause", json!(format!("cause-{tag}"))),
            (0.3, "hangup_by", json!(self.pick(&["caller", "caller", "agent", "system"]))),
            (0.05, "outcome", json!(self.pick(&OUTCOMES))),
            (0.1, "recording_url", json!(format!("https://pbx.example/{tag}.wav"))),
            // Of a record these two are unknown members.
            (0.05, "talk_seconds", json!(self.pick(&[0.0, 12.5, 29.999999, 30.0, 31.25]))),
            (0.05, "spam_score", json!(self.pick(&[0.0, 0.5]))),
        ];
        for (often, name, value) in extras {
            if self.chance(often) {
                data[name] = value;
            }
        }
    }

    fn tell_progress(&mut self, course: &Course) {
        let mut told: Vec<(i64, &str)> = vec![(course.start, "started")];
        told.extend(&course.steps);
        if let Some(answer) = course.answered {
            told.push((answer, "answered"));
            if self.chance(0.2) {
                told.push((answer + 2 * SECOND, "transferred"));
            }
        }
        told.extend(course.ended.map(|end| (end, "ended")));
        let mut any = false;
        for (time, status) in told {
            // Now and then one is lost, told twice, or told by a clock that stepped back.
            let lost = self.chance(0.05) && (any || status != "ended");
            if lost {
                continue;
            }
            any = true;
            let times = if self.chance(0.07) { 2 } else { 1 };
            for n in 0..times {
                let stepped = if self.chance(0.02) { -5 * SECOND } else { 0 };
                self.tell_step(course, status, time + stepped + n * SECOND);
            }
        }
    }

    fn tell_step(&mut self, course: &Course, status: &str, time: i64) {
        let mut data = course.base.clone();
        data["status"] = json!(status);
        // The extension is dialled after the start, so not every event knows it.
        if status == "started" && self.chance(0.5) {
            data.as_object_mut().map(|members| members.remove("extension"));
        }
        if status == "transferred" && self.chance(0.2) {
            data["to"] = json!(UNKNOWN);
        }
        self.extras(&mut data);
        self.put(time, "call", data);
    }

    /// One record, or a second that corrects it; nothing for a call that did not end.
    fn tell_record(&mut self, course: &Course) {
        let Some(ended) = course.ended else { return self.tell_progress(course) };
        let mut data = course.base.clone();
        data["started_at"] = json!(rfc3339(course.start));
        data["ended_at"] = json!(rfc3339(ended));
        data["answered_at"] = json!(course.answered.map(rfc3339));
        let written = ended + self.pick(&[0, 0, SECOND]);
        let mut first = data.clone();
        self.extras(&mut first);
        self.put(written, "call_record", first);
        if self.chance(0.2) {
            let corrected = course.start - self.pick(&[0, SECOND, 1]);
            data["started_at"] = json!(rfc3339(corrected));
            data["ended_at"] = json!(rfc3339(ended + SECOND));
            self.extras(&mut data);
            let corrected_at = written + self.pick(&[1, MINUTE]);
            self.put(corrected_at, "call_record", data);
        }
    }

    /// Tags and notes change nothing of the call.
    fn say_more(&mut self, course: &Course) {
        let members = [("call_id", course.base["call_id"].clone()), ("comment", json!("called back"))];
        if self.chance(0.1) {
            let note: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            self.put(course.start + HOUR, "call_note", Value::Object(note));
        }
        if self.chance(0.1) {
            let tag = json!({"call_id": course.base["call_id"], "category": "sale", "origin": "manual"});
            self.put(course.start + HOUR, "call_tag", tag);
        }
    }
}
