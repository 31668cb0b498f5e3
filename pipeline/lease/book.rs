//! What a desk knows of a pool's lines, and which of them goes to whom. Pure: no clock, no I/O; `now` is an input.
//!
//! Each line has one place in the order: when it was last held until, never held first. Whatever is asked of the order is
//! its beginning: the line that is free and was held least recently, and, if none is free, the one whose holders
//! were not seen for longest. So every answer takes logarithmic time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use callweave_core::time::Time;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::line::{Change, Deed, HOLDERS_MAX, Holder, Line, Told};

/// A lease is renewed once less than nine tenths of its hold are left: signs of life that come more often cost nothing.
const RENEW_TENTHS: i64 = 9;

/// How long lines are held and rest, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub hold: i64,
    pub cooldown: i64,
}

/// A visitor's wish.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub visitor_id: &'a str,
    pub session_id: Option<&'a str>,
    pub now: Time,
}

/// What a line is to a visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Not theirs, or not any more.
    Strange,
    /// Theirs, and nothing is to be done.
    Holds(Holder),
    /// Theirs once this is in the log.
    Due(Change),
    /// Theirs for another session: that one's lease ends first.
    Moves(Change),
}

/// Lines by what they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub lines: usize,
    /// A session holds them.
    pub held: usize,
    /// They wait for late callers of their last session.
    pub resting: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shelf {
    Free,
    Resting,
    Held,
    /// Somebody is about to be given it: on no shelf.
    Out,
}

#[derive(Debug)]
struct Entry {
    line: Line,
    rank: u32,
    told: Told,
    /// Until when it was last held; [`Time::MIN`] for never.
    last: Time,
    shelf: Shelf,
    /// It belongs to the pool no more, and goes once it is put back.
    retired: bool,
}

/// By when it was last held, then by rank.
type Place = (Time, u32, u32);

/// The lines of a pool.
#[derive(Debug)]
pub struct Book {
    terms: Terms,
    /// Of lines never held, desks begin with different ones, so that they seldom want the same.
    seed: u64,
    /// The latest `now`: shelves are as of then.
    clock: Time,
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    by_line: HashMap<Line, u32>,
    by_visitor: HashMap<Arc<str>, u32>,
    free: BTreeSet<Place>,
    resting: BTreeSet<Place>,
    held: BTreeSet<Place>,
}

impl Book {
    pub fn new(seed: u64, terms: Terms) -> Book {
        Book {
            terms,
            seed,
            clock: Time::MIN,
            entries: Vec::new(),
            vacant: Vec::new(),
            by_line: HashMap::new(),
            by_visitor: HashMap::new(),
            free: BTreeSet::new(),
            resting: BTreeSet::new(),
            held: BTreeSet::new(),
        }
    }

    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Other settings: every line is looked at anew.
    pub fn set_terms(&mut self, terms: Terms) {
        if terms == self.terms {
            return;
        }
        self.terms = terms;
        for at in 0..self.entries.len() as u32 {
            if self.entry(at).is_some_and(|entry| entry.shelf != Shelf::Out) {
                self.unshelve(at);
                self.shelve(at);
            }
        }
    }

    pub fn counts(&mut self, now: Time) -> Counts {
        self.sweep(now);
        let out = self.by_line.len().saturating_sub(self.free.len() + self.resting.len() + self.held.len());
        Counts { lines: self.by_line.len(), held: self.held.len() + out, resting: self.resting.len() }
    }

    pub fn find(&self, line: &Line) -> Option<u32> {
        self.by_line.get(line).copied()
    }

    /// The line that the visitor held last, as far as this desk knows.
    pub fn of_visitor(&self, visitor_id: &str) -> Option<u32> {
        self.by_visitor.get(visitor_id).copied()
    }

    /// The line and its last sequence.
    pub fn line(&self, at: u32) -> Option<(&Line, u64)> {
        self.entry(at).map(|entry| (&entry.line, entry.told.sequence))
    }

    /// What the log says of a line; nothing older replaces what is newer. `seen` is the sequence that was known when the log
    /// was asked: where that is still what is known, an empty answer counts, too (the line's events were trimmed).
    pub fn learn(&mut self, line: &Line, seen: u64, told: Told) -> u32 {
        let Some(at) = self.find(line) else { return self.add(line.clone(), told) };
        let known = self.entry(at).map_or(0, |entry| entry.told.sequence);
        if told.sequence > known || (told.sequence == 0 && known == seen) {
            self.replace(at, told);
        }
        at
    }

    /// The log's own last word on a line is older than what is known: it was begun anew, and knows no better.
    pub fn learn_anew(&mut self, line: &Line, told: Told) {
        if let Some(at) = self.find(line) {
            self.replace(at, told);
        }
    }

    /// A deed of this desk is in the log.
    pub fn done(&mut self, change: &Change, sequence: u64) -> u32 {
        let told = Told { sequence, holders: change.holders.clone(), kept_until: None };
        self.learn(&change.line, change.expect, told)
    }

    /// Only these lines belong to the pool now.
    pub fn retain(&mut self, stays: impl Fn(&Line) -> bool) {
        for at in 0..self.entries.len() as u32 {
            let Some(entry) = self.entry_mut(at) else { continue };
            if stays(&entry.line) {
                entry.retired = false;
            } else if entry.shelf == Shelf::Out {
                entry.retired = true;
            } else {
                self.remove(at);
            }
        }
    }

    /// What the line is to the visitor. `lease_id` is what a new lease would be called.
    pub fn standing(&self, at: u32, wish: &Wish<'_>, lease_id: &str) -> Standing {
        let Some(entry) = self.entry(at) else { return Standing::Strange };
        let Some(own) = latest_of(&entry.told.holders, wish.visitor_id) else { return Standing::Strange };
        let now = wish.now;
        let other_holds = |holder: &Holder| holder.visitor_id != own.visitor_id && holder.expires_at > now;
        let same = wish.session_id.is_none() || own.session_id.as_deref() == wish.session_id;
        if own.expires_at > now && same {
            // A wish without a session must not make the lease of one last longer than a session's sign of life would.
            if own.expires_at.since(now) >= self.terms.hold / 10 * RENEW_TENTHS {
                return Standing::Holds(own.clone());
            }
            let renewed = Holder { expires_at: now.plus(self.terms.hold), ..own.clone() };
            return Standing::Due(self.change(entry, Deed::Renew, renewed, now));
        }
        if own.expires_at > now {
            let ended = Holder { expires_at: now, ..own.clone() };
            return Standing::Moves(self.change(entry, Deed::Release, ended, now));
        }
        if entry.shelf == Shelf::Out || entry.told.holders.iter().any(other_holds) {
            return Standing::Strange;
        }
        Standing::Due(self.granted(entry, wish, lease_id))
    }

    /// Whether the visitor is among those who hold the line, or did so last.
    pub fn knows(&self, at: u32, visitor_id: &str) -> bool {
        self.entry(at).is_some_and(|entry| latest_of(&entry.told.holders, visitor_id).is_some())
    }

    /// The end of a lease before its time; nothing where it is not active.
    pub fn released(&self, at: u32, lease_id: &str, now: Time) -> Option<Change> {
        let entry = self.entry(at)?;
        let own = entry.told.holders.iter().find(|own| &*own.lease_id == lease_id && own.expires_at > now)?;
        Some(self.change(entry, Deed::Release, Holder { expires_at: now, ..own.clone() }, now))
    }

    /// After its move: the same line for the visitor's new session, whoever else shares it.
    pub fn moved(&self, at: u32, wish: &Wish<'_>, lease_id: &str) -> Option<Change> {
        let entry = self.entry(at)?;
        latest_of(&entry.told.holders, wish.visitor_id)?;
        Some(self.granted(entry, wish, lease_id))
    }

    /// The visitor's lease as it stands, if it is still active.
    pub fn active(&self, wish: &Wish<'_>) -> Option<(&Line, &Holder)> {
        let entry = self.entry(self.of_visitor(wish.visitor_id)?)?;
        let own = latest_of(&entry.told.holders, wish.visitor_id).filter(|own| own.expires_at > wish.now)?;
        let same = wish.session_id.is_none() || own.session_id.as_deref() == wish.session_id;
        same.then_some((&entry.line, own))
    }

    /// The free line that was held least recently. It is out until it is [put back](Book::put_back).
    pub fn take_free(&mut self, now: Time) -> Option<u32> {
        self.sweep(now);
        let &(last, _, at) = self.free.first()?;
        if last != Time::MIN && last.plus(self.terms.cooldown) > now {
            return None;
        }
        self.take(at);
        Some(at)
    }

    /// Of lines that are not free the one whose holders were unseen for longest; after others were faster so many times, the
    /// one that comes so many places later.
    pub fn take_shared(&mut self, now: Time, tries: usize) -> Option<u32> {
        self.sweep(now);
        let places = || self.free.iter().chain(&self.resting).chain(&self.held);
        let &(_, _, at) = places().nth(tries).or_else(|| places().next())?;
        self.take(at);
        Some(at)
    }

    /// The grant of a line that is out, to be appended; nothing where it came out meanwhile that others hold it, and it is not
    /// to be shared, or that the visitor does: a lease that is active is kept or ended, and never replaced.
    pub fn grant(&self, at: u32, wish: &Wish<'_>, lease_id: &str, shares: bool) -> Option<Change> {
        let entry = self.entry(at)?;
        let is_free = entry.last == Time::MIN || entry.last.plus(self.terms.cooldown) <= wish.now;
        let is_own = latest_of(&entry.told.holders, wish.visitor_id).is_some_and(|own| own.expires_at > wish.now);
        (is_free || (shares && !is_own)).then(|| self.granted(entry, wish, lease_id))
    }

    /// A line that was out stands in its order again.
    pub fn put_back(&mut self, at: u32) {
        match self.entry(at) {
            Some(entry) if entry.retired => {
                self.remove(at);
            }
            Some(entry) if entry.shelf == Shelf::Out => self.shelve(at),
            _ => {}
        }
    }

    /// The next lines that would be given, or that might be free: with their sequences, to be read again.
    pub fn next_free(&self, count: usize) -> Vec<(Line, u64)> {
        self.named(self.free.iter().take(count))
    }

    /// Those that are not free, in the order in which they will be.
    pub fn in_use(&self, count: usize) -> Vec<(Line, u64)> {
        self.named(self.resting.iter().chain(&self.held).take(count))
    }

    fn named<'p>(&self, places: impl Iterator<Item = &'p Place>) -> Vec<(Line, u64)> {
        places.filter_map(|(_, _, at)| self.line(*at)).map(|(line, sequence)| (line.clone(), sequence)).collect()
    }

    fn granted(&self, entry: &Entry, wish: &Wish<'_>, lease_id: &str) -> Change {
        let holder = Holder {
            lease_id: lease_id.into(),
            visitor_id: wish.visitor_id.into(),
            session_id: wish.session_id.map(Into::into),
            granted_at: wish.now,
            expires_at: wish.now.plus(self.terms.hold),
        };
        self.change(entry, Deed::Grant, holder, wish.now)
    }

    /// Others who hold the line, or for whom it rests, stay; the visitor's own earlier leases do not.
    fn change(&self, entry: &Entry, deed: Deed, holder: Holder, now: Time) -> Change {
        let stays =
            |other: &&Holder| other.visitor_id != holder.visitor_id && other.expires_at.plus(self.terms.cooldown) > now;
        let mut holders: Vec<Holder> = entry.told.holders.iter().filter(stays).cloned().collect();
        holders.sort_by_key(|other| other.expires_at);
        let over = (holders.len() + 1).saturating_sub(HOLDERS_MAX);
        holders.drain(..over);
        holders.push(holder.clone());
        Change { line: entry.line.clone(), deed, holder, holders, expect: entry.told.sequence }
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at as usize)?.as_ref()
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.get_mut(at as usize)?.as_mut()
    }

    fn add(&mut self, line: Line, told: Told) -> u32 {
        let at = self.vacant.pop().unwrap_or(self.entries.len() as u32);
        // Half of the hash is as good.
        let rank = xxh3_64_with_seed(line.to_string().as_bytes(), self.seed) as u32;
        self.by_line.insert(line.clone(), at);
        let entry = Entry { line, rank, told: Told::default(), last: Time::MIN, shelf: Shelf::Free, retired: false };
        match self.entries.get_mut(at as usize) {
            Some(vacant) => *vacant = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        self.shelve(at);
        self.replace(at, told);
        at
    }

    fn remove(&mut self, at: u32) {
        self.unshelve(at);
        self.forget_visitors(at);
        if let Some(entry) = self.entries.get_mut(at as usize).and_then(Option::take) {
            self.by_line.remove(&entry.line);
            self.vacant.push(at);
        }
    }

    fn replace(&mut self, at: u32, told: Told) {
        self.forget_visitors(at);
        let is_out = self.entry(at).is_some_and(|entry| entry.shelf == Shelf::Out);
        if !is_out {
            self.unshelve(at);
        }
        for holder in &told.holders {
            let before = self.by_visitor.get(&holder.visitor_id).and_then(|other| self.entry(*other));
            let before = before.and_then(|entry| latest_of(&entry.told.holders, &holder.visitor_id));
            if before.is_none_or(|before| before.expires_at <= holder.expires_at) {
                self.by_visitor.insert(holder.visitor_id.clone(), at);
            }
        }
        if let Some(entry) = self.entry_mut(at) {
            let ends = told.holders.iter().map(|holder| holder.expires_at).chain(told.kept_until);
            entry.last = ends.max().unwrap_or(Time::MIN);
            entry.told = told;
        }
        if !is_out {
            self.shelve(at);
        }
    }

    fn forget_visitors(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at as usize).and_then(Option::as_ref) else { return };
        for holder in &entry.told.holders {
            if self.by_visitor.get(&holder.visitor_id) == Some(&at) {
                self.by_visitor.remove(&holder.visitor_id);
            }
        }
    }

    fn place(&self, at: u32) -> Option<(Place, Shelf)> {
        self.entry(at).map(|entry| ((entry.last, entry.rank, at), entry.shelf))
    }

    fn shelf(&mut self, shelf: Shelf) -> Option<&mut BTreeSet<Place>> {
        match shelf {
            Shelf::Free => Some(&mut self.free),
            Shelf::Resting => Some(&mut self.resting),
            Shelf::Held => Some(&mut self.held),
            Shelf::Out => None,
        }
    }

    fn unshelve(&mut self, at: u32) {
        if let Some((place, shelf)) = self.place(at)
            && let Some(places) = self.shelf(shelf)
        {
            places.remove(&place);
        }
    }

    fn take(&mut self, at: u32) {
        self.unshelve(at);
        if let Some(entry) = self.entry_mut(at) {
            entry.shelf = Shelf::Out;
        }
    }

    fn shelve(&mut self, at: u32) {
        let Some((place, _)) = self.place(at) else { return };
        let shelf = self.shelf_of(place.0);
        if let Some(entry) = self.entry_mut(at) {
            entry.shelf = shelf;
        }
        if let Some(places) = self.shelf(shelf) {
            places.insert(place);
        }
    }

    fn shelf_of(&self, last: Time) -> Shelf {
        match last {
            Time::MIN => Shelf::Free,
            last if last > self.clock => Shelf::Held,
            last if last.plus(self.terms.cooldown) > self.clock => Shelf::Resting,
            _ => Shelf::Free,
        }
    }

    /// Time passes: every line moves on at most twice after each of its leases.
    fn sweep(&mut self, now: Time) {
        self.clock = self.clock.max(now);
        for shelf in [Shelf::Held, Shelf::Resting] {
            while let Some(&(last, _, at)) = self.shelf(shelf).and_then(|places| places.first())
                && self.shelf_of(last) != shelf
            {
                self.unshelve(at);
                self.shelve(at);
            }
        }
    }
}

/// The visitor's lease among a line's; of several the one that lasts longest.
fn latest_of<'h>(holders: &'h [Holder], visitor_id: &str) -> Option<&'h Holder> {
    holders.iter().filter(|holder| &*holder.visitor_id == visitor_id).max_by_key(|holder| holder.expires_at)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
