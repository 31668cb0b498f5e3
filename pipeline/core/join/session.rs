//! One session, in as few bytes as its life allows.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::intern::{Named, Sym};
use super::name::Name;
use super::thin::{Spans, is_between};
use super::timeline::{Entry, Timeline, What};
use super::timers::Due;
use crate::limits::{PAGES_LET_GO_AT_ONCE, PAGES_PER_SESSION, SIGN_SPANS, SIGNS_PER_SESSION};
use crate::time::Time;

#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    /// The browser's name for it; a made session has none.
    pub given: Option<Name>,
    /// A made session that turned out not to exist, though a row of it was written.
    pub taken_back: bool,
    flags: Flags,
    /// Page views in the timeline, and everything else in it.
    pages: u16,
    signs: u16,
    pub visitor: u32,
    pub due: Due,
    pub written: Written,
    /// The first of its leases; further ones are in `rest`.
    lease: Option<Lease>,
    started_at: Time,
    /// Of the last entry of the timeline; its start if there is none.
    last_at: Time,
    timeline: Timeline,
    rest: Option<Box<Rest>>,
}

/// A snapshot has those that cannot be found out anew; older ones have the first alone, as a boolean, which is a byte, too.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
struct Flags(u8);

/// Heartbeats stand behind the last event of its own.
const BEATS_LAST: u8 = 1;
/// The line of its lease may hold what both tell of later calls ([`super::settled`]).
const SETTLED: u8 = 2;
/// Events of its own were let go: what looks like a gap between others is none.
const OWN_LET_GO: u8 = 4;

impl Flags {
    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

impl From<u8> for Flags {
    fn from(kept: u8) -> Flags {
        Flags(kept & (BEATS_LAST | OWN_LET_GO))
    }
}

impl From<Flags> for u8 {
    fn from(flags: Flags) -> u8 {
        flags.0 & (BEATS_LAST | OWN_LET_GO)
    }
}

/// Its number's complement: so that none takes no more room.
type Lease = std::num::NonZeroU32;

/// What few sessions have.
#[derive(Default, Serialize, Deserialize)]
struct Rest {
    leases: Vec<u32>,
    /// Calls for which this session is a candidate.
    calls: Vec<u32>,
    /// Page views that were let go from the middle of the timeline.
    pages_let_go: u32,
    /// How likely it made calls that are no longer held, in thousandths.
    called: u16,
}

/// What was written of a thing: the next row counts only if it differs.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub revision: u32,
    hash: [u32; 2],
}

impl Written {
    pub fn hash(self) -> u64 {
        u64::from(self.hash[0]) | u64::from(self.hash[1]) << 32
    }

    /// Rows of so many revisions were written of another thing by the same name.
    pub fn behind(revision: u32) -> Written {
        Written { revision, hash: [0; 2] }
    }

    /// Nothing was written of this thing itself.
    pub fn is_nothing(self) -> bool {
        self.hash() == 0
    }

    pub fn next(self, hash: u64) -> Written {
        Written { revision: self.revision + 1, hash: [hash as u32, (hash >> 32) as u32] }
    }
}

impl Session {
    pub fn new(given: Option<Name>, visitor: u32, at: Time) -> Session {
        Session {
            given,
            taken_back: false,
            flags: Flags::default(),
            pages: 0,
            signs: 0,
            visitor,
            due: Due::default(),
            written: Written::default(),
            lease: None,
            started_at: at,
            last_at: at,
            timeline: Timeline::default(),
            rest: None,
        }
    }

    /// Begins anew at `at`, with nothing in it.
    pub fn restart(&mut self, at: Time) {
        self.timeline = Timeline::default();
        (self.started_at, self.last_at) = (at, at);
        (self.pages, self.signs) = (0, 0);
        self.flags.set(BEATS_LAST | OWN_LET_GO, false);
    }

    pub fn started_at(&self) -> Time {
        self.started_at
    }

    /// The last event but leases.
    pub fn last_at(&self) -> Time {
        self.last_at
    }

    /// Page views and signs of life but those of its leases, by time.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.timeline.entries(self.started_at)
    }

    pub fn touch(&self) -> Option<Sym> {
        self.entries().find_map(|entry| match entry.what {
            What::Page { touch, .. } => Some(touch),
            _ => None,
        })?
    }

    /// Of each page view that says something of the session.
    pub fn touches(&self) -> impl Iterator<Item = Sym> {
        self.entries().filter_map(|entry| match entry.what {
            What::Page { touch, .. } => touch,
            _ => None,
        })
    }

    pub fn first_page(&self) -> Option<(Time, Sym)> {
        self.entries().find_map(page)
    }

    pub fn last_page(&self) -> Option<Sym> {
        self.entries().filter_map(page).last().map(|(_, url)| url)
    }

    /// The page view that was on screen at `at`.
    pub fn page_at(&self, at: Time) -> Option<Sym> {
        self.entries().take_while(|entry| entry.at <= at).filter_map(page).last().map(|(_, url)| url)
    }

    /// The last event at `at` or before.
    pub fn last_sign(&self, at: Time) -> Option<Time> {
        if self.last_at <= at {
            return (!self.timeline.is_empty()).then_some(self.last_at);
        }
        self.entries().take_while(|entry| entry.at <= at).last().map(|entry| entry.at)
    }

    pub fn pages_count(&self) -> u32 {
        u32::from(self.pages) + self.rest.as_ref().map_or(0, |rest| rest.pages_let_go)
    }

    /// Page views by then.
    pub fn pages_by(&self, at: Time) -> u32 {
        if self.last_at <= at {
            return self.pages_count();
        }
        let seen = self.entries().take_while(|entry| entry.at <= at).filter(Entry::is_page).count();
        seen as u32
    }

    /// The last of the events that make a session: page views and web events.
    pub fn last_own(&self) -> Time {
        if !self.flags.has(BEATS_LAST) {
            return self.last_at;
        }
        self.entries().filter(Entry::is_own).last().map_or(self.started_at, |entry| entry.at)
    }

    /// From when to when it was one visit, though events of its own that show it were let go.
    pub fn whole(&self) -> Option<(Time, Time)> {
        self.flags.has(OWN_LET_GO).then(|| (self.started_at, self.last_own()))
    }

    pub fn note_own_let_go(&mut self) {
        self.flags.set(OWN_LET_GO, true);
    }

    /// Its timeline begins at `at` or later; it does so now.
    pub fn begin(&mut self, at: Time) {
        if self.timeline.is_empty() {
            self.last_at = at;
        } else if at != self.started_at {
            let entries: Vec<Entry> = self.entries().collect();
            self.timeline.set(at, &entries);
        }
        self.started_at = at;
    }

    /// Puts an event in its place.
    fn insert(&mut self, entry: Entry) {
        if entry.is_page() {
            self.pages += 1;
        } else {
            self.signs += 1;
        }
        if self.timeline.is_empty() || entry.at >= self.last_at {
            let last = if self.timeline.is_empty() { self.started_at } else { self.last_at };
            self.timeline.push(last, &entry);
            self.last_at = entry.at;
            self.flags.set(BEATS_LAST, !entry.is_own());
            return;
        }
        self.edit(|entries| {
            let place = entries.partition_point(|held| held.at <= entry.at);
            entries.insert(place, entry);
        });
    }

    fn edit(&mut self, change: impl FnOnce(&mut Vec<Entry>)) {
        let mut entries: Vec<Entry> = self.entries().collect();
        change(&mut entries);
        self.timeline.set(self.started_at, &entries);
        self.pages = entries.iter().filter(|entry| entry.is_page()).count() as u16;
        self.signs = entries.len() as u16 - self.pages;
        self.last_at = entries.last().map_or(self.started_at, |entry| entry.at);
        self.flags.set(BEATS_LAST, entries.last().is_some_and(|entry| !entry.is_own()));
    }

    /// Whether no further page view fits: some in the middle go then.
    pub fn is_full_of_pages(&self) -> bool {
        usize::from(self.pages) >= PAGES_PER_SESSION
    }

    /// Puts a page view in its place; whether it is the first now, and how many things were let go for it. What was seen last before each of
    /// `calls` (by time) stays.
    pub fn add_page(&mut self, at: Time, url: Sym, touch: Option<Sym>, calls: &[Time]) -> (bool, usize) {
        if at < self.started_at {
            self.begin(at);
        }
        let mut let_go = 0;
        let is_first = self.first_page().is_none_or(|(first, _)| at < first);
        if self.is_full_of_pages() {
            let from = (PAGES_PER_SESSION - PAGES_LET_GO_AT_ONCE) / 2;
            let is_given = self.given.is_some();
            self.edit(|entries| {
                // Of a visit with a name those have one that tell something of it: the first, and that of its experiment.
                let tells = |it: &&Entry| is_given && matches!(it.what, What::Page { touch: Some(_), .. });
                let told = entries.iter().filter(tells).nth(1).copied();
                let pages: Vec<Time> = entries.iter().filter(|entry| entry.is_page()).map(|entry| entry.at).collect();
                let mut place = 0;
                entries.retain(|entry| {
                    if !entry.is_page() {
                        return true;
                    }
                    place += 1;
                    let is_in_the_middle = (from + 1..=from + PAGES_LET_GO_AT_ONCE).contains(&place);
                    let next = pages.get(place);
                    let rests_on_it = next.is_some_and(|next| is_between(calls, entry.at, *next));
                    let goes = is_in_the_middle && !rests_on_it && told != Some(*entry);
                    let_go += usize::from(goes);
                    !goes
                });
            });
            self.rest().pages_let_go += let_go as u32;
            self.note_own_let_go();
        }
        self.insert(Entry { at, what: What::Page { url, touch } });
        (is_first, let_go)
    }

    /// Whether no further sign of life fits: see [`Session::thin`].
    pub fn is_full(&self) -> bool {
        usize::from(self.signs) >= SIGNS_PER_SESSION
    }

    /// Lets signs of life go: of each of [`SIGN_SPANS`] equal spans of its life the latest stays, and what was seen last before each of
    /// `calls` (by time), which rest on it. Heartbeats go first, as other signs are rarer and make sessions; the event that a visit begins with stays.
    pub fn thin(&mut self, calls: &[Time]) {
        let spans = Spans::of(self.started_at, self.last_at);
        for heartbeats_alone in [true, false] {
            let begins_at = self.given.is_none().then_some(self.started_at);
            self.edit(|entries| {
                let all = std::mem::take(entries);
                let signs = |it: &&Entry| if heartbeats_alone { !it.is_own() } else { !it.is_page() };
                let mut later = all.iter().filter(signs).skip(1);
                for entry in &all {
                    let next = if signs(&entry) { later.next() } else { None };
                    if next
                        .is_none_or(|next| spans.are_apart(entry.at, next.at) || is_between(calls, entry.at, next.at))
                        || (entry.is_own() && Some(entry.at) == begins_at)
                    {
                        entries.push(*entry);
                    }
                }
            });
            if !heartbeats_alone {
                self.note_own_let_go();
            }
            if usize::from(self.signs) <= SIGNS_PER_SESSION - SIGN_SPANS / 2 {
                break;
            }
        }
    }

    /// Whether the session's start changed.
    pub fn add_sign(&mut self, at: Time, what: What) -> bool {
        let earlier = self.add_sign_of_lease(at);
        self.insert(Entry { at, what });
        earlier
    }

    /// A lease's grants and renewals stand with the lease; whether the session's start changed.
    pub fn add_sign_of_lease(&mut self, at: Time) -> bool {
        // A made session begins with the first event that makes it, and is named by that.
        let earlier = self.given.is_some() && at < self.started_at;
        if earlier {
            self.begin(at);
        }
        earlier
    }

    /// Takes its events out of it, and its leases off it.
    pub fn take_entries(&mut self) -> Vec<Entry> {
        let entries = self.entries().collect();
        self.timeline = Timeline::default();
        (self.pages, self.signs) = (0, 0);
        self.flags.set(BEATS_LAST, false);
        self.last_at = self.started_at;
        self.lease = None;
        if let Some(rest) = &mut self.rest {
            rest.leases.clear();
        }
        entries
    }

    pub fn is_settled(&self) -> bool {
        self.flags.has(SETTLED)
    }

    pub fn set_settled(&mut self, settled: bool) {
        self.flags.set(SETTLED, settled);
    }

    /// Reads one place of each piece of memory that it has: see `Account::fetch`.
    pub fn fetch(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| usize::from(rest.called));
        rest + usize::from(self.timeline.fetch())
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    pub fn has_one_lease(&self) -> bool {
        self.lease.is_some() && self.rest.as_ref().is_none_or(|rest| rest.leases.is_empty())
    }

    pub fn has_leases(&self) -> bool {
        self.lease.is_some()
    }

    /// In order of their coming.
    pub fn leases(&self) -> impl Iterator<Item = u32> + Clone {
        let further = self.rest.as_ref().map_or(&[][..], |rest| &rest.leases);
        self.lease.iter().map(|lease| !lease.get()).chain(further.iter().copied())
    }

    /// The same, to go through while they may change.
    pub fn held_leases(&self) -> SmallVec<[u32; 4]> {
        self.leases().collect()
    }

    fn set_leases(&mut self, leases: &[u32]) {
        self.lease = leases.first().and_then(|lease| Lease::new(!lease));
        if leases.len() > 1 || self.rest.is_some() {
            self.rest().leases = leases.iter().skip(1).copied().collect();
        }
    }

    pub fn add_lease(&mut self, lease: u32) {
        let mut leases = self.held_leases();
        leases.push(lease);
        self.set_leases(&leases);
    }

    pub fn drop_lease(&mut self, lease: u32) {
        let mut leases = self.held_leases();
        leases.retain(|held| *held != lease);
        self.set_leases(&leases);
    }

    /// Calls for which this session is a candidate.
    pub fn calls(&self) -> &[u32] {
        self.rest.as_ref().map_or(&[], |rest| &rest.calls)
    }

    pub fn add_call(&mut self, call: u32) {
        self.rest().calls.push(call);
    }

    pub fn drop_call(&mut self, call: u32) {
        if let Some(rest) = &mut self.rest {
            rest.calls.retain(|held| *held != call);
        }
        self.tidy();
    }

    /// A call is no longer held that was likely its own, in thousandths.
    pub fn has_called(&mut self, likely: u16) {
        let rest = self.rest();
        rest.called = rest.called.saturating_add(likely).min(1_000);
    }

    /// How likely it made calls that are no longer held, in thousandths.
    pub fn called(&self) -> u16 {
        self.rest.as_ref().map_or(0, |rest| rest.called)
    }

    /// A session that is taken back is no call's candidate, and counts no pages.
    pub fn empty(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.calls.clear();
            rest.pages_let_go = 0;
        }
        self.last_at = self.started_at;
    }

    /// Marks the shared values that it names.
    pub fn name_values(&self, named: &mut Named) {
        self.given.and_then(|id| id.sym()).into_iter().for_each(|text| named.texts.set(text));
        for entry in self.entries() {
            if let What::Page { url, touch } = entry.what {
                named.texts.set(url);
                touch.into_iter().for_each(|touch| named.touches.set(touch));
            }
        }
    }

    fn tidy(&mut self) {
        let idle =
            |rest: &Rest| rest.leases.is_empty() && rest.calls.is_empty() && rest.pages_let_go == 0 && rest.called == 0;
        if self.rest.as_deref().is_some_and(idle) {
            self.rest = None;
        }
    }
}

fn page(entry: Entry) -> Option<(Time, Sym)> {
    match entry.what {
        What::Page { url, .. } => Some((entry.at, url)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Option<Session>>(), 96);
    }
}
