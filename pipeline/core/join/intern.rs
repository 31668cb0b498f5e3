//! Values that much of the state shares are held once, and the state names them by number. Nobody counts who names
//! what: once many things that name values were let go, all that are still named are marked, and the others leave.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::arena::Arena;
use super::index::Index;
use super::name::Name;
use crate::row::{SourceRow, Str};
use crate::source::{Agent, Place};

/// At least so many things must have been let go before unnamed values are looked for.
const SWEEP_FROM: usize = 4_096;

/// The number of a held value, plus one: so that none of them takes no more room.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(super) struct Sym(NonZeroU32);

impl Sym {
    fn at(self) -> u32 {
        self.0.get() - 1
    }

    pub fn number(self) -> u32 {
        self.0.get()
    }

    pub fn of(number: u32) -> Option<Sym> {
        NonZeroU32::new(number).map(Sym)
    }
}

pub(super) fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Something that stands for a value: shared with rows, or the value itself.
pub(super) trait Held {
    type Of: Hash + Eq + ?Sized;
    fn of(&self) -> &Self::Of;
}

impl<T: Hash + Eq + ?Sized> Held for Arc<T> {
    type Of = T;
    fn of(&self) -> &T {
        self
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Interner<H> {
    held: Arena<H>,
    #[serde(skip)]
    table: Index,
}

impl<H> Default for Interner<H> {
    fn default() -> Self {
        Interner { held: Arena::default(), table: Index::default() }
    }
}

impl<H: Held> Interner<H> {
    pub fn get(&self, sym: Sym) -> &H {
        &self.held[sym.at()]
    }

    pub fn find(&self, value: &H::Of) -> Option<Sym> {
        let held = self.table.find(hash_of(value), |at| self.held[at].of() == value)?;
        Sym::of(held + 1)
    }

    pub fn hold(&mut self, value: H) -> Sym {
        self.find(value.of()).unwrap_or_else(|| self.insert(value))
    }

    fn insert(&mut self, value: H) -> Sym {
        let hash = hash_of(value.of());
        let at = self.held.insert(value);
        let held = &self.held;
        self.table.list(hash, at, |at| hash_of(held[at].of()));
        Sym(NonZeroU32::MIN.saturating_add(at))
    }

    /// The table is no part of a snapshot.
    fn list(&mut self) {
        let held = &self.held;
        for (at, value) in held.iter() {
            self.table.list(hash_of(value.of()), at, |at| hash_of(held[at].of()));
        }
    }

    fn sweep(&mut self, marks: &Marks) {
        let table = &mut self.table;
        self.held.retain(|at, _| marks.has(at), |at, value| table.unlist(hash_of(value.of()), at));
    }
}

pub(super) type Texts = Interner<Str>;

impl Texts {
    pub fn intern(&mut self, text: &str) -> Sym {
        self.find(text).unwrap_or_else(|| self.insert(text.into()))
    }
}

/// What a session's first page view says.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Touch {
    pub source: Sym,
    pub agent: Sym,
    pub place: Sym,
    pub referrer: Option<Sym>,
    pub language: Option<Sym>,
    pub campaign: Option<Sym>,
}

/// What few first page views say. Click ids are each another: they are read from the URL again where a row needs them.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Campaign {
    /// The hash of all `utm_*` together; nothing if there are none.
    pub utm: Option<u64>,
    /// The hash of the click id with its type.
    pub click: Option<u64>,
    pub experiment_id: Option<Sym>,
    pub experiment_variant: Option<Sym>,
}

/// What a lease is of.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Its number among the lines.
    pub line: u32,
    pub pool: Sym,
    pub extension: Option<Sym>,
}

macro_rules! held_as_it_is {
    ($($kind:ty),*) => {$(
        impl Held for $kind {
            type Of = $kind;
            fn of(&self) -> &$kind {
                self
            }
        }
    )*};
}

held_as_it_is!(Touch, Campaign, Terms);

/// What the state shares. Nothing of its numbering shows in an effect.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Shared {
    pub texts: Texts,
    pub sources: Interner<Arc<SourceRow>>,
    pub agents: Interner<Arc<Agent>>,
    pub places: Interner<Arc<Place>>,
    pub touches: Interner<Touch>,
    pub campaigns: Interner<Campaign>,
    pub terms: Interner<Terms>,
    /// Things that were let go since the last sweep.
    let_go: usize,
}

impl Shared {
    pub fn name(&mut self, text: &str) -> Name {
        Name::new(text, &mut self.texts)
    }

    pub fn text(&self, sym: Sym) -> Str {
        self.texts.get(sym).clone()
    }

    pub fn listed(mut self) -> Shared {
        self.texts.list();
        self.sources.list();
        self.agents.list();
        self.places.list();
        self.touches.list();
        self.campaigns.list();
        self.terms.list();
        self
    }

    /// Something that names values is no more.
    pub fn let_go(&mut self, count: usize) {
        self.let_go += count;
    }

    /// Whether it is worth while to look for what nobody names: a quarter of all may be idle, and more where there are many `things` to
    /// go through that may name them.
    pub fn wants_sweep(&self, things: usize) -> bool {
        let enough = (self.texts.held.len() + self.touches.held.len()) / 4 + things / 2;
        self.let_go >= SWEEP_FROM.max(enough)
    }

    /// Lets go what is not among `named`.
    pub fn sweep(&mut self, mut named: Named) {
        self.let_go = 0;
        self.touches.sweep(&named.touches);
        for (_, touch) in self.touches.held.iter() {
            named.sources.set(touch.source);
            named.agents.set(touch.agent);
            named.places.set(touch.place);
            for text in [touch.referrer, touch.language].into_iter().flatten() {
                named.texts.set(text);
            }
            touch.campaign.into_iter().for_each(|campaign| named.campaigns.set(campaign));
        }
        self.campaigns.sweep(&named.campaigns);
        for (_, campaign) in self.campaigns.held.iter() {
            for text in [campaign.experiment_id, campaign.experiment_variant].into_iter().flatten() {
                named.texts.set(text);
            }
        }
        self.terms.sweep(&named.terms);
        for (_, terms) in self.terms.held.iter() {
            named.texts.set(terms.pool);
            terms.extension.into_iter().for_each(|extension| named.texts.set(extension));
        }
        self.texts.sweep(&named.texts);
        self.sources.sweep(&named.sources);
        self.agents.sweep(&named.agents);
        self.places.sweep(&named.places);
    }
}

/// One bit a value.
#[derive(Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    pub fn set(&mut self, sym: Sym) {
        let (word, bit) = (sym.at() as usize / 64, sym.at() % 64);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    fn has(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// Values that things name; what touches name follows from them.
#[derive(Default)]
pub(super) struct Named {
    pub texts: Marks,
    /// First sources of visitors.
    pub sources: Marks,
    pub touches: Marks,
    pub terms: Marks,
    agents: Marks,
    places: Marks,
    campaigns: Marks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_once_and_lets_go_what_nobody_names() {
        let mut shared = Shared::default();
        let kept = shared.texts.intern("kept");
        let gone = shared.texts.intern("gone");
        assert_eq!(shared.texts.intern("kept"), kept);
        let mut named = Named::default();
        named.texts.set(kept);
        shared.sweep(named);
        assert_eq!((shared.texts.find("kept"), shared.texts.find("gone")), (Some(kept), None));
        assert_eq!(shared.texts.intern("new"), gone, "its place is used again");
        assert_eq!(&**shared.texts.get(gone), "new");
    }
}
