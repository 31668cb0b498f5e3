//! Tags that an account's `tag_rules` give to calls once they are decided.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::intern::hash_of;
use super::{Effects, Mode};
use crate::event::{Body, CallTag, Event, TagOrigin, Transcript};
use crate::moment::{Beside, Moment, MomentKind};
use crate::row::CallRow;
use crate::settings::TagRule;

/// What few calls have.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Tagging {
    /// Words of rules that were said, by hash.
    said: Vec<u64>,
    /// Categories that were given, by hash: each once, whatever the row says later.
    given: Vec<u64>,
}

impl Tagging {
    fn has_said(&self, words: &str) -> bool {
        self.said.contains(&hash_of(&words.to_lowercase()))
    }
}

/// Stands at both ends of each word that is compared: no text has this character.
const EDGE: char = '\u{ffff}';

/// A text in which words are looked for whole: in small letters, with one space for white space of any kind and length, and with [`EDGE`]s,
/// so that a plain search finds what begins and ends with words.
fn compared(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    for part in text.to_lowercase().split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut in_word = false;
        for letter in part.chars() {
            if is_of_word(letter) != in_word {
                out.push(EDGE);
                in_word = !in_word;
            }
            out.push(letter);
        }
        if in_word {
            out.push(EDGE);
        }
    }
    out
}

/// Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces: nobody can tell by their letters where a word ends.
fn is_of_word(letter: char) -> bool {
    let is_unspaced = matches!(letter,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}');
    letter.is_alphanumeric() && !is_unspaced
}

/// What such a tag's event is said to come from.
const SOURCE: &str = "callweave/tag_rules";

impl Account {
    /// Notes which words of the rules were said: the transcript itself is not kept.
    pub fn hear(&mut self, transcript: &Transcript<'_>) {
        let Some(ix) = self.find_call(&transcript.call_id) else { return };
        let rules = self.rules(self.calls[ix].start()).clone();
        let wanted = rules.settings().tag_rules.iter().filter_map(|rule| rule.transcript_contains.as_deref());
        let wanted: Vec<(u64, String)> =
            wanted.map(|words| (hash_of(&words.to_lowercase()), compared(words))).collect();
        if wanted.is_empty() {
            return;
        }
        let said: Vec<String> = transcript.segments.iter().map(|segment| compared(&segment.text)).collect();
        // Nothing but white space is in every text, and is no words.
        let is_said = |words: &str| !words.is_empty() && said.iter().any(|text| text.contains(words));
        for (hash, _) in wanted.iter().filter(|(_, words)| is_said(words)) {
            let said = &mut self.calls[ix].tagging.get_or_insert_default().said;
            if !said.contains(hash) {
                said.push(*hash);
                self.touch_call(ix);
            }
        }
    }

    /// The tags of rules that a decided call's row meets now and did not before.
    pub fn tag_by_rules(&mut self, ix: u32, out: &mut Effects) {
        let rules = self.rules(self.calls[ix].start()).clone();
        if rules.settings().tag_rules.is_empty() {
            return;
        }
        let row = self.current_row(ix);
        for rule in &rules.settings().tag_rules {
            let call = &mut self.calls[ix];
            let category = hash_of(&rule.category);
            let is_new = call.tagging.as_ref().is_none_or(|tagging| !tagging.given.contains(&category));
            if !is_new || !meets(rule, &row, call.tagging.as_deref()) {
                continue;
            }
            call.tagging.get_or_insert_default().given.push(category);
            let tag = CallTag {
                call_id: row.call_id.to_string().into(),
                category: rule.category.clone().into(),
                value: None,
                currency: None,
                origin: TagOrigin::Rule,
                by: None,
            };
            let at = row.ended_at.unwrap_or(row.started_at);
            let id = format!("{}:{}", row.call_id, rule.category);
            let which = format!("{}:{SOURCE}", rule.category);
            let mut moment = Moment::new(MomentKind::CallTagged, &self.name, at, &row.call_id, &which);
            moment.beside = (self.mode == Mode::Live).then(|| Box::new(Beside::of_tag(&tag)));
            let told = (self.mode == Mode::Live).then(|| row.clone());
            out.moments.push(moment.of_call(Some(row.call_id.clone()), told));
            out.tags.push(Event {
                account: self.name.to_string().into(),
                source: SOURCE.into(),
                id: id.into(),
                time: at,
                recorded: at,
                body: Body::CallTag(tag),
            });
        }
    }
}

/// Whether all conditions hold; an absent one does.
fn meets(rule: &TagRule, row: &CallRow, tagging: Option<&Tagging>) -> bool {
    let holds = |wanted: &Option<String>, is: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(is);
    holds(&rule.outcome, &|outcome| row.outcome.is_some_and(|told| told.name() == outcome))
        && rule.tracking_number.is_none_or(|number| row.tracking_number.number() == Some(number))
        && holds(&rule.source, &|source| row.source.as_ref().is_some_and(|told| *told.source == *source))
        && rule.min_talk_seconds.is_none_or(|seconds| row.talk_seconds >= seconds)
        && holds(&rule.transcript_contains, &|words| tagging.is_some_and(|tagging| tagging.has_said(words)))
}

#[cfg(test)]
mod tests {
    use super::compared;

    #[test]
    fn words_are_found_whole() {
        for (words, text, expected) in [
            ("guten Tag", "Guten Tag, hier ist Ada", true),
            ("guten Tag", "ja,  GUTEN \t\u{a0}tag!", true),
            (" guten  Tag ", "guten Tag", true),
            ("guten Tag", "xguten tagx", false),
            ("guten Tag", "guten tage", false),
            ("guten Tag", "guten, Tag", false),
            ("guten Tag", "gutentag", false),
            // Found behind a place where it only begins.
            ("a a", "xa a a", true),
            ("tag", "Montag, Tag-chen", true),
            ("tag", "Montag 2tag tag2", false),
            ("öl", "Öl und Möl", true),
            ("öl", "Möl", false),
            ("c++", "in C++ and C", true),
            ("$50", "for $50.", true),
            ("$50", "for $500", false),
            ("?", "how much?", true),
            ("?", "how much", false),
            ("你好", "喂你好吗", true),
            ("価格", "価格は", true),
        ] {
            assert_eq!(compared(text).contains(&compared(words)), expected, "{words:?} in {text:?}");
        }
        assert_eq!(compared(" \t\u{3000}"), "");
    }
}
