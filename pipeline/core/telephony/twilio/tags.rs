//! What a URL that we gave the provider says of the call that it is about. Nothing is remembered between two requests, so
//! what a later one has to know stands in its URL, which the provider signs.

use super::form::{Form, written};
use super::outcome::Failure;
use crate::phone::Party;
use crate::time::Time;

/// Which attempt to reach somebody it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Leg {
    /// Where the number's calls go, or a menu sent them.
    #[default]
    First,
    /// Where they go outside of business hours.
    Closed,
    /// Where they go when nobody took them.
    Unanswered,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tags {
    pub call: Option<String>,
    pub from: Option<Party>,
    pub to: Option<Party>,
    pub is_callback: bool,
    /// Whether one of the account's own softphones calls one of its numbers.
    pub is_inside: bool,
    pub extension: Option<String>,
    /// When the request came that this URL was the answer to: what follows it is later, whatever the clocks say.
    pub after: Option<Time>,
    pub leg: Leg,
    /// How attempts before this one ended.
    pub before: Option<Failure>,
    /// Whether nothing is tried after this attempt.
    pub is_last: bool,
    /// Who is called.
    pub target: Option<String>,
}

impl Leg {
    pub fn name(self) -> &'static str {
        match self {
            Leg::First => "first",
            Leg::Closed => "closed",
            Leg::Unanswered => "unanswered",
        }
    }
}

impl Tags {
    pub fn read(query: &Form<'_>) -> Tags {
        let text = |name| query.get(name).map(str::to_owned);
        let party = |name| query.get(name).and_then(|text| Party::parse(text).ok());
        Tags {
            call: text("call"),
            from: party("from"),
            to: party("to"),
            is_callback: query.get("way") == Some("callback"),
            is_inside: query.get("way") == Some("inside"),
            extension: text("extension"),
            after: query.get("after").and_then(|micros| micros.parse().ok()).map(Time),
            leg: match query.get("leg") {
                Some("closed") => Leg::Closed,
                Some("unanswered") => Leg::Unanswered,
                _ => Leg::First,
            },
            before: query.get("before").and_then(Failure::named),
            is_last: query.get("last") == Some("1"),
            target: text("target"),
        }
    }

    pub fn written(&self) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        let mut add = |name: &'static str, value: Option<String>| {
            if let Some(value) = value {
                pairs.push((name, value));
            }
        };
        add("call", self.call.clone());
        add("from", self.from.map(|party| party.to_string()));
        add("to", self.to.map(|party| party.to_string()));
        let way = self.is_callback.then_some("callback").or(self.is_inside.then_some("inside"));
        add("way", way.map(str::to_owned));
        add("extension", self.extension.clone());
        add("after", self.after.map(|time| time.0.to_string()));
        add("leg", (self.leg != Leg::First).then(|| self.leg.name().to_owned()));
        add("before", self.before.map(|before| before.name().to_owned()));
        add("last", self.is_last.then(|| "1".to_owned()));
        add("target", self.target.clone());
        written(&pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let full = Tags {
            call: Some("CA1&x=<".into()),
            from: Some(Party::Anonymous),
            to: Party::parse("+14155550123").ok(),
            is_callback: true,
            is_inside: false,
            extension: Some("042#".into()),
            after: Some(Time(1_795_178_096_789_001)),
            leg: Leg::Unanswered,
            before: Some(Failure::Unbridged),
            is_last: true,
            target: Some("sip:ada@example.com;x=\"1\"".into()),
        };
        let inside = Tags { is_inside: true, ..Tags::default() };
        for tags in [full, inside, Tags::default()] {
            let text = tags.written();
            assert_eq!(Tags::read(&Form::parse(text.as_bytes()).unwrap()), tags, "{text}");
        }
    }
}
