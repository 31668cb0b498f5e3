//! Visits: page views, web events, heartbeats and leases, with and without session ids.

use rand::Rng;
use serde_json::{Value, json};

use super::super::read::rfc3339;
use super::maker::{EXTENSIONS, Held, Maker};
use super::{DAY, HEARTBEATS_MAX, HOUR, MINUTE, SECOND};

const STEPS_MAX: usize = 7;

/// Landing pages: campaigns that are equal in some of their parameters, and pages without.
const URLS: [&str; 14] = [
    "https://shop.example/",
    "https://shop.example/",
    "https://shop.example/prices",
    "https://shop.example/prices?x=1",
    "https://www.shop.example/contact#form",
    "https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=spring",
    "https://shop.example/a?utm_source=google&utm_medium=cpc&utm_campaign=spring",
    "https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=spring&utm_term=red+shoes",
    "https://shop.example/?utm_campaign=autumn%20sale&utm_content=top",
    "https://shop.example/?utm_source=newsletter&utm_medium=email",
    "https://shop.example/?gclid=G1",
    "https://shop.example/?gclid=G2&utm_campaign=spring",
    "https://shop.example/?utm_source=&fbclid=F1",
    "https://shop.example/?msclkid=G1",
];

const REFERRERS: [Option<&str>; 4] =
    [None, Some("https://www.google.com/"), Some("https://news.example.org/today"), Some("https://m.facebook.com/")];

/// A visit under way.
struct Visit<'v> {
    visitor: &'v str,
    session: String,
    /// How many of its events name the session.
    naming: f64,
    heartbeats: usize,
}

impl Maker<'_> {
    pub fn make_visits(&mut self, visitor: &str) {
        for n in 0..self.rng.random_range(1..=self.size.visits) {
            let naming = self.pick(&[0.0, 0.0, 1.0, 0.5]);
            let mut visit = Visit { visitor, session: format!("{visitor}-s{n}"), naming, heartbeats: 0 };
            let mut time = if self.chance(0.3) { self.an_instant() } else { self.any_time() };
            self.instants.push(time);
            for _ in 0..self.rng.random_range(1..=STEPS_MAX) {
                self.step(&mut visit, time);
                time += self.gap();
            }
        }
    }

    fn gap(&mut self) -> i64 {
        let timeout = self.a_rule().timeout;
        let minutes = self.rng.random_range(1..=20) * MINUTE;
        let hours = self.rng.random_range(1..=20) * HOUR;
        let odd = self.rng.random_range(1..600 * SECOND);
        self.pick(&[0, 1, SECOND, odd, odd, minutes, minutes, timeout - 1, timeout, timeout + 1, timeout / 2, hours])
    }

    fn session(&mut self, visit: &Visit) -> Option<String> {
        self.chance(visit.naming).then(|| visit.session.clone())
    }

    fn step(&mut self, visit: &mut Visit, time: i64) {
        match self.rng.random_range(0..10) {
            0..=3 => self.page_view(visit, time),
            4 | 5 => self.web_event(visit, time),
            6 => self.heartbeats(visit, time),
            _ => self.lease(visit, time),
        }
    }

    fn page_view(&mut self, visit: &Visit, time: i64) {
        let variant = self.pick(&[None, None, Some("a"), Some("b")]);
        let data = json!({
            "visitor_id": visit.visitor,
            "session_id": self.session(visit),
            "url": self.pick(&URLS),
            "referrer": self.pick(&REFERRERS),
            "language": self.pick(&[None, Some("de"), Some("en")]),
            "experiment_id": variant.map(|_| "headline"),
            "experiment_variant": variant,
        });
        self.put(time, "page_view", data);
    }

    fn web_event(&mut self, visit: &Visit, time: i64) {
        let numbers = self.pool_numbers.clone();
        let name = self.pick(&["click_to_call", "click_to_call", "form_submit", "callback_request"]);
        let number = if name == "form_submit" { None } else { Some(self.pick(&numbers).number) };
        let properties = (name == "callback_request").then(|| json!({"phone": "+4915155500000"}));
        let data = json!({"visitor_id": visit.visitor, "session_id": self.session(visit), "name": name,
            "number": number, "properties": properties});
        self.put(time, "web_event", data);
        self.instants.push(time);
    }

    fn heartbeats(&mut self, visit: &mut Visit, time: i64) {
        let wanted = self.pick(&[1, 2, 3, 12]);
        let every = self.pick(&[30 * SECOND, 10 * MINUTE]);
        let count = wanted.min(HEARTBEATS_MAX - visit.heartbeats);
        visit.heartbeats += count;
        for n in 0..count {
            let data = json!({"visitor_id": visit.visitor, "session_id": self.session(visit)});
            self.put(time + n as i64 * every, "heartbeat", data);
        }
        self.instants.push(time + count as i64 * every);
    }

    fn lease(&mut self, visit: &Visit, time: i64) {
        let numbers = self.pool_numbers.clone();
        let number = self.pick(&numbers);
        let hold = self.pick(&[5 * MINUTE, 30 * MINUTE, HOUR]);
        let lease_id = format!("L{}", self.leases);
        self.leases += 1;
        let extension = if number.extensions && self.chance(0.9) { Some(self.pick(&EXTENSIONS)) } else { None };
        let data = json!({"lease_id": lease_id, "pool": number.pool, "number": number.number, "extension": extension,
            "visitor_id": visit.visitor, "session_id": self.session(visit), "expires_at": rfc3339(time + hold)});
        self.put(time, "lease_granted", data.clone());
        if self.chance(0.06) {
            self.grant_again(data, time);
        }
        self.instants.extend([time, time + hold]);
        let seen = self.instants.len() - 2;
        self.renew_and_release(&lease_id, time, hold);
        let held = |at: &i64| Held { at: *at, number: number.number.clone(), extension };
        self.held.extend(self.instants[seen..].iter().map(held));
    }

    /// A second grant by the same name, which counts for nothing.
    fn grant_again(&mut self, mut data: Value, time: i64) {
        let numbers = self.pool_numbers.clone();
        data["number"] = json!(self.pick(&numbers).number);
        let later = time + self.pick(&[0, SECOND, 10 * MINUTE]);
        data["expires_at"] = json!(rfc3339(later + DAY));
        self.put(later, "lease_granted", data);
    }

    fn renew_and_release(&mut self, lease_id: &str, granted: i64, hold: i64) {
        let mut last = granted;
        for _ in 0..self.pick(&[0, 0, 1, 2, 3]) {
            last += self.pick(&[0, hold / 2, hold - 1, hold, hold + MINUTE]);
            // Some renewals tell an end before the one that was told already.
            let expires = last + self.pick(&[hold, hold, hold / 4]);
            let id = if self.chance(0.03) { "unheard-of" } else { lease_id };
            self.put(last, "lease_renewed", json!({"lease_id": id, "expires_at": rfc3339(expires)}));
            self.instants.extend([last, expires]);
        }
        for _ in 0..self.pick(&[0, 0, 1, 2]) {
            let released = last + self.pick(&[0, SECOND, hold / 2, hold * 2]);
            let id = if self.chance(0.03) { "unheard-of" } else { lease_id };
            self.put(released, "lease_released", json!({"lease_id": id}));
            self.instants.push(released);
        }
    }
}
