//! What is written about an answered call later: a tag, a note, a transcript, a deal, in this order.

use callweave_core::time::MICROS_PER_SECOND;

use super::calls::Call;
use super::tables::{AGENT_LINES, AGENT_NAMES, CALLER_LINES, NOTES, STAGES, TAGS};
use super::world::{Action, World};

const SOURCE_CRM: &str = "crm/main";
const KINDS: u8 = 4;

impl World {
    /// Plans the next thing that is written about a call; after the last the call is forgotten.
    pub(super) fn next_follow_up(&mut self, at: u32, call: Call) {
        let options = &self.options;
        let shares = [options.tag_share, options.note_share, options.transcript_share, options.deal_share];
        let mut kind = call.next_follow_up;
        while call.answered.is_some() && kind < KINDS {
            if self.draw.chance(shares[usize::from(kind)]) {
                if let Some(call) = self.calls.get_mut(at) {
                    call.next_follow_up = kind;
                }
                let after = if kind + 1 < KINDS {
                    self.draw.seconds(5.0, 180.0)
                } else {
                    self.draw.exponential(2.0 * 86_400.0).min(20 * 86_400 * MICROS_PER_SECOND)
                };
                return self.plan(after, Action::FollowUp(at));
            }
            kind += 1;
        }
        self.calls.take(at);
    }

    pub(super) fn follow_up(&mut self, at: u32) {
        let Some(mut call) = self.calls.get(at) else { return };
        match call.next_follow_up {
            0 => self.tag(&call),
            1 => self.note(&call),
            2 => self.transcript(&call),
            _ => self.deal(&call),
        }
        call.next_follow_up += 1;
        self.next_follow_up(at, call);
    }

    fn tag(&mut self, call: &Call) {
        let (category, valued, value) =
            (*self.draw.pick(&TAGS), self.draw.chance(0.4), 50 + 5 * self.draw.below(90) as u64);
        let by_hand = self.draw.chance(0.7);
        let by = *self.draw.pick(&AGENT_NAMES);
        self.begin(call.account, SOURCE_CRM, "call_tag");
        self.lines.id("call_id", 'c', call.id);
        self.lines.text("category", category);
        if valued {
            self.lines.integer("value", value);
            self.lines.text("currency", self.accounts[usize::from(call.account)].currency);
        }
        self.lines.text("origin", if by_hand { "manual" } else { "menu" });
        if by_hand {
            self.lines.text("by", by);
        }
        self.finish(call.account, "call_tag", None);
    }

    fn note(&mut self, call: &Call) {
        let (comment, by) = (*self.draw.pick(&NOTES), *self.draw.pick(&AGENT_NAMES));
        self.begin(call.account, SOURCE_CRM, "call_note");
        self.lines.id("call_id", 'c', call.id);
        self.lines.text("status", "open");
        self.lines.text("comment", comment);
        self.lines.text("by", by);
        self.finish(call.account, "call_note", None);
    }

    fn transcript(&mut self, call: &Call) {
        let turns = 2 + self.draw.below(8);
        self.begin(call.account, SOURCE_CRM, "transcript");
        self.lines.id("call_id", 'c', call.id);
        self.lines.array("segments");
        let mut start_millis = 400;
        for turn in 0..turns {
            let agent = turn % 2 == 0;
            let text = *self.draw.pick(if agent { &AGENT_LINES[..] } else { &CALLER_LINES[..] });
            self.lines.item();
            self.lines.text("speaker", if agent { "agent" } else { "caller" });
            self.lines.thousandths("start_seconds", start_millis);
            self.lines.text("text", text);
            self.lines.close_object();
            start_millis += 1500 + self.draw.below(4000) as u64;
        }
        self.lines.close_array();
        self.lines.text("language", "en");
        self.finish(call.account, "transcript", None);
    }

    fn deal(&mut self, call: &Call) {
        let deal = self.id();
        let stage = *self.draw.pick(&STAGES);
        let revenue = 8_000 + self.draw.below(400_000) as u64 * 10;
        self.begin(call.account, SOURCE_CRM, "deal");
        self.lines.id("deal_id", 'd', deal);
        self.lines.id("call_id", 'c', call.id);
        if call.from != 0 {
            self.lines.phone("phone", call.from);
        }
        self.lines.text("stage", stage);
        if stage == "won" || stage == "quoted" {
            self.lines.thousandths("revenue", revenue);
            self.lines.thousandths("margin", revenue / 30 * 10);
            self.lines.text("currency", self.accounts[usize::from(call.account)].currency);
        }
        if stage == "won" || stage == "lost" {
            self.lines.time("closed_at", self.now);
        }
        self.finish(call.account, "deal", None);
    }
}
