//! Short stories of one account, and what must come of them.

use serde_json::{Value, json};

use crate::oracle::{Row, Source, Tables, World, join};

pub const N: &str = "+14155550100";
pub const CALLER: &str = "+4915155500001";

/// Events in the order of their arrival.
#[derive(Default, Clone)]
pub struct Story(pub Vec<Value>);

impl Story {
    /// `at` is a time of 2026-11-20 (`10:00:00`), or a whole RFC 3339 time.
    pub fn on(mut self, at: &str, kind: &str, data: Value) -> Story {
        let id = self.0.len().to_string();
        self.0.push(json!({"specversion": "1.0", "id": id, "source": "s", "type": kind, "time": time(at),
            "account": "acme", "data": data}));
        self
    }

    /// A page view of `v` without session id.
    pub fn page(self, at: &str, url: &str) -> Story {
        self.on(at, "page_view", json!({"visitor_id": "v", "url": url}))
    }

    /// `N` is leased until `until` to a session of the visitor by the same name.
    pub fn lease(self, at: &str, lease: &str, session: &str, until: &str) -> Story {
        let data = json!({"lease_id": lease, "pool": "p", "number": N, "visitor_id": format!("v-{session}"),
            "session_id": session, "expires_at": time(until)});
        self.on(at, "lease_granted", data)
    }

    pub fn settings(self, at: &str, settings: Value) -> Story {
        self.on(at, "account_settings", settings)
    }

    /// A step of an inbound call from `CALLER` to `N`, with what else it tells.
    pub fn call(self, at: &str, call: &str, status: &str, more: Value) -> Story {
        let data = json!({"call_id": call, "status": status, "direction": "inbound", "from": CALLER, "to": N});
        self.on(at, "call", with(data, more))
    }

    /// A call of `CALLER` to `N` that was answered at once and ended after so many seconds, with what else it tells.
    pub fn talk(self, at: &str, call: &str, seconds: f64, more: Value) -> Story {
        let data = json!({"call_id": call, "direction": "inbound", "from": CALLER, "to": N, "started_at": time(at),
            "answered_at": time(at), "ended_at": crate::oracle::rfc3339(micros(at) + (seconds * 1e6) as i64)});
        self.on(at, "call_record", with(data, more))
    }

    pub fn world(&self) -> World {
        join(&self.0, &TABLES)
    }
}

pub fn with(mut data: Value, more: Value) -> Value {
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    data
}

pub fn time(at: &str) -> String {
    if at.contains('T') { at.to_owned() } else { format!("2026-11-20T{at}Z") }
}

pub fn micros(at: &str) -> i64 {
    crate::oracle::micros(&time(at))
}

/// As the oracle writes it.
pub fn column(at: &str) -> Value {
    json!(crate::oracle::rfc3339(micros(at)))
}

pub fn key(id: &str) -> (String, String) {
    ("acme".to_owned(), id.to_owned())
}

/// The named columns must be as told; others are not looked at.
pub fn check(row: &Row, expected: Value) {
    let expected = expected.as_object().expect("columns");
    for (name, value) in expected {
        let got = row.get(name.as_str());
        assert_eq!(got, Some(value), "{name} of {row:#?}");
    }
}

pub fn check_call(story: &Story, call: &str, expected: Value) {
    check(&story.world().calls[&key(call)], expected);
}

pub fn check_session(story: &Story, session: &str, expected: Value) {
    check(&story.world().sessions[&key(session)], expected);
}

pub fn session_ids(story: &Story) -> Vec<String> {
    story.world().sessions.into_keys().map(|(_, id)| id).collect()
}

/// A few lines in place of the maintained tables.
pub const TABLES: Tables = Tables { classify, channel: |source, medium, _| format!("{source}/{medium}") };

fn classify(url: &str, referrer: Option<&str>) -> Source {
    let parameter = |wanted: &str| {
        let pairs =
            url.split_once('?').map_or("", |(_, query)| query).split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| value.to_owned()).next()
    };
    let click = ["gclid", "msclkid", "fbclid"].iter().find_map(|name| Some((name.to_string(), parameter(name)?)));
    let (source, medium) = match (parameter("utm_source"), &click, referrer) {
        (Some(source), _, _) => (source, parameter("utm_medium").unwrap_or_else(|| "(none)".into())),
        (None, Some((name, _)), _) => (name.clone(), "cpc".into()),
        (None, None, Some(referrer)) => (referrer.to_owned(), "referral".into()),
        (None, None, None) => ("(direct)".into(), "(none)".into()),
    };
    let channel = format!("{source}/{medium}");
    let (click_id_type, click_id) = click.unzip();
    let campaign = parameter("utm_campaign");
    Source {
        source,
        medium,
        campaign,
        channel,
        term: parameter("utm_term"),
        content: parameter("utm_content"),
        click_id_type,
        click_id,
    }
}
