//! Settings: none, one, or several that change every rule in the middle of things.

use rand::Rng;
use serde_json::{Value, json};

use super::super::read::rfc3339;
use super::maker::{EXTENSIONS, Maker, Rules};
use super::{DAY, HOUR, MINUTE, SECOND};

const SETTINGS_MAX: usize = 4;

/// Those of an account that has told none.
const DEFAULTS: Rules =
    Rules { timeout: 30 * MINUTE, window: 72 * HOUR, cycle: 7 * DAY, target: 30 * SECOND, greeting: 10 * SECOND };

pub const STATIC: &str = "+14155550201";
pub const STATIC_WITHOUT_SOURCE: &str = "+14155550202";
pub const OVERFLOW: &str = "+14155550203";
/// In no settings.
pub const UNKNOWN: &str = "+14155550204";

impl Maker<'_> {
    pub fn make_settings(&mut self) {
        for n in 0..self.rng.random_range(0..=SETTINGS_MAX) {
            let rules = Rules {
                timeout: self.pick(&[30, 30, 10]) * MINUTE,
                window: self.pick(&[72, 24, 1]) * HOUR,
                cycle: self.pick(&[14, 2, 1]) * DAY / 2,
                target: self.pick(&[60, 25]) * SECOND / 2,
                greeting: self.pick(&[10, 3]) * SECOND,
            };
            self.rules.push(rules);
            let data = self.settings(rules);
            // The first stands alone in time; `place_settings` moves the others.
            let time = if n == 0 { self.first_settings() } else { self.to };
            self.put(time, "account_settings", data);
        }
        if self.rules.is_empty() {
            self.rules.push(DEFAULTS);
        }
    }

    /// Mostly before anything happens.
    fn first_settings(&mut self) -> i64 {
        if self.chance(0.8) { self.from - DAY } else { self.from + DAY / 2 - 7 }
    }

    /// Later settings come at any time or at the very instant of something else, but after the first.
    pub fn place_settings(&mut self) {
        let first =
            self.events_mut().iter().filter(|(_, event)| event["type"] == "account_settings").map(|e| e.0).min();
        let Some(first) = first else { return };
        let times: Vec<i64> = self.events_mut().iter().map(|(time, _)| *time).filter(|time| *time > first).collect();
        for at in 0..self.events_mut().len() {
            let (time, event) = &self.events_mut()[at];
            if event["type"] != "account_settings" || *time == first {
                continue;
            }
            let moved = if !times.is_empty() && self.chance(0.5) { self.pick(&times) } else { self.any_time() };
            let moved = moved.max(first + 1);
            let placed = &mut self.events_mut()[at];
            placed.0 = moved;
            placed.1["time"] = json!(rfc3339(moved));
            if placed.1.get("recordedtime").is_some() {
                placed.1["recordedtime"] = json!(rfc3339(moved));
            }
        }
    }

    fn settings(&mut self, rules: Rules) -> Value {
        let mut settings = json!({
            "timezone": self.pick(&["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
            "currency": "EUR",
            "target_seconds": rules.target as f64 / SECOND as f64,
            "greeting_seconds": rules.greeting as f64 / SECOND as f64,
            "sales_cycle_days": rules.cycle as f64 / DAY as f64,
            "session_timeout_minutes": rules.timeout / MINUTE,
            "attribution_window_hours": rules.window / HOUR,
            "numbers": self.numbers(),
            "pools": [self.pool("north"), self.pool("south")],
        });
        if self.chance(0.7) {
            settings["business_hours"] = self.business_hours();
        }
        if self.chance(0.4) {
            let day = self.any_time();
            settings["holidays"] = json!([rfc3339(day)[..10]]);
        }
        if self.chance(0.3) {
            settings["spam_numbers"] = json!([self.pick(&["+4915155500001", "+49151555000*", "+1*"])]);
        }
        if self.chance(0.5) {
            settings["agents"] = json!({"12": self.pick(&["Ben", "Eve"]), "+14155559999": "Ann"});
        }
        settings
    }

    fn numbers(&mut self) -> Value {
        let mut numbers = vec![
            json!({"number": STATIC, "kind": "static", "forward_to": "+14155559999", "source": "flyer",
                "medium": "print", "campaign": self.pick(&[Some("autumn"), None])}),
            json!({"number": STATIC_WITHOUT_SOURCE, "kind": "static", "forward_to": "+14155559999"}),
            json!({"number": OVERFLOW, "kind": "overflow", "forward_to": "+14155559999",
                "pool": self.pick(&[Some("north"), None])}),
        ];
        for number in self.pool_numbers.clone() {
            if self.chance(0.1) {
                // A number that was of a pool, or will be.
                numbers.push(json!({"number": number.number, "kind": "static", "forward_to": "+14155559999",
                    "source": "radio", "medium": "audio"}));
            } else if self.chance(0.9) {
                numbers.push(json!({"number": number.number, "kind": "pool", "pool": number.pool,
                    "forward_to": "+14155559999"}));
            }
        }
        json!(numbers)
    }

    fn pool(&mut self, name: &str) -> Value {
        json!({"name": name, "site": format!("{name}.example"), "hold_minutes": 30, "cooldown_minutes": 5,
            "extensions": self.pick(&[Some(EXTENSIONS[0].len()), None]), "on_exhausted": "overflow",
            "overflow_number": OVERFLOW})
    }

    /// Some days are absent, some closed at noon, some open around the clock.
    fn business_hours(&mut self) -> Value {
        let mut week = serde_json::Map::new();
        for day in ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] {
            let spans = self.pick(&[
                Some(json!([["00:00", "24:00"]])),
                Some(json!([["09:00", "12:00"], ["13:00", "18:30"]])),
                Some(json!([["20:00", "24:00"]])),
                Some(json!([])),
                None,
            ]);
            week.extend(spans.map(|spans| (day.to_owned(), spans)));
        }
        Value::Object(week)
    }
}
