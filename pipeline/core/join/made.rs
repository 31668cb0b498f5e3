//! Made sessions: a visitor's run of events that name none.

use super::account::Account;
use super::intern::Sym;
use super::session::Session;
use super::timeline::{Entry, What};
use crate::time::{MICROS_PER_MINUTE, Time, micros};

impl Account {
    /// An event of a visitor that names no session.
    pub fn own_event(&mut self, visitor: u32, own: Entry) {
        let at = own.at;
        let last = self.visitors[visitor].visits.iter().rev().copied().find(|&ix| self.sessions[ix].given.is_none());
        let Some(last) = last else {
            return self.remake_sessions(visitor, Some(own));
        };
        let session = &self.sessions[last];
        let last_own = session.last_own();
        let web_at_once = || session.entries().any(|entry| entry == Entry { at, what: What::Web });
        // Of one instant, page views come first.
        let late = at < last_own || (at == last_own && own.is_page() && web_at_once());
        let splits = self.splits(last, &own, &[]);
        if late || (splits && self.session_ended_at(last) >= at) {
            return self.remake_sessions(visitor, Some(own));
        }
        if splits {
            let ix = self.revived_session(visitor, at);
            self.put_own(ix, own);
            self.file_visit(ix);
            self.session_seen(ix, at, false);
        } else {
            let first = self.put_own(last, own);
            self.session_seen(last, at, first);
        }
    }

    /// Whether a session ends before this event of its visitor. In spans that are `whole` there is no gap.
    fn splits(&self, ix: u32, own: &Entry, whole: &[(Time, Time)]) -> bool {
        let session = &self.sessions[ix];
        let timeout = micros(self.rules(own.at).settings().session_timeout_minutes, MICROS_PER_MINUTE);
        let last = session.last_own();
        let is_gap = own.at.since(last) >= timeout;
        if is_gap && !whole.iter().any(|(from, to)| *from <= last && own.at <= *to) {
            return true;
        }
        // At the very instant of its start a session takes in everything: two that begin at once would be one by name.
        let touch = match own.what {
            What::Page { touch, .. } if own.at != session.started_at() => touch,
            _ => None,
        };
        touch.is_some_and(|touch| self.is_other_campaign(session.touch(), touch))
    }

    /// Whether a page view with this touch brings a campaign that is not the session's.
    fn is_other_campaign(&self, own: Option<Sym>, touch: Sym) -> bool {
        let Some(own) = own.filter(|own| *own != touch) else { return false };
        let campaign = |sym| {
            let campaign = self.shared.touches.get(sym).campaign.map(|it| self.shared.campaigns.get(it));
            campaign.map_or((None, None), |it| (it.utm, it.click))
        };
        let ((own_utm, own_click), (utm, click)) = (campaign(own), campaign(touch));
        (utm.is_some() && utm != own_utm) || (click.is_some() && click != own_click)
    }

    /// Whether the session has another first page view now.
    fn put_own(&mut self, ix: u32, own: Entry) -> bool {
        match own.what {
            What::Page { url, touch } => self.add_page(ix, own.at, url, touch),
            what => self.add_sign(ix, own.at, what),
        }
    }

    pub fn rebuild_made_sessions(&mut self, visitor: u32) {
        let visits = self.visits(visitor);
        if visits.iter().any(|&ix| self.sessions[ix].given.is_none()) {
            self.remake_sessions(visitor, None);
        }
        for ix in visits {
            if self.sessions.get(ix).is_some_and(|session| session.given.is_some()) {
                self.touch_session(ix);
            }
        }
    }

    /// Makes a visitor's sessions anew from all their events that name none. A session that begins when one did before
    /// is that one; the others are taken back.
    fn remake_sessions(&mut self, visitor: u32, new: Option<Entry>) {
        let mut old = self.visits(visitor).to_vec();
        old.retain(|&ix| self.sessions[ix].given.is_none());
        let mut heartbeats = match &mut self.visitors[visitor].rest {
            Some(rest) => std::mem::take(&mut rest.heartbeats),
            None => Vec::new(),
        };
        let loose = self.visitors[visitor].loose_leases().to_vec();
        for &lease in &loose {
            self.hold_no_more(lease, visitor);
        }
        let whole: Vec<(Time, Time)> = old.iter().filter_map(|&ix| self.sessions[ix].whole()).collect();
        let mut own = Vec::new();
        for &ix in &old {
            for entry in self.sessions[ix].take_entries() {
                if entry.is_own() {
                    own.push(entry);
                } else {
                    heartbeats.push(entry.at);
                }
            }
        }
        own.extend(new);
        // Of one instant, page views come first.
        own.sort_by_key(|event| (event.at, !event.is_page()));
        let made = self.split_into_sessions(visitor, &old, own, &whole);
        for at in heartbeats {
            match self.made_session_at(visitor, at) {
                Some(ix) => drop(self.add_sign(ix, at, What::Heartbeat)),
                None => self.visitors[visitor].rest().heartbeats.push(at),
            }
        }
        for &lease in &loose {
            self.place_loose_lease(lease);
        }
        for &ix in old.iter().chain(&made) {
            if self.sessions.get(ix).is_some_and(|session| !session.taken_back) {
                let from = self.sessions[ix].started_at();
                self.touch_calls_on_leases(ix, from);
                self.touch_calls_of(ix);
                self.reshape_session(ix);
            }
        }
        self.touch_calls_on_loose_leases(visitor, Time::MIN);
    }

    /// The sessions made of `own`, by start; those of `old` that are no more are taken back.
    fn split_into_sessions(&mut self, visitor: u32, old: &[u32], own: Vec<Entry>, whole: &[(Time, Time)]) -> Vec<u32> {
        let mut left: Vec<u32> = old.to_vec();
        let mut made: Vec<u32> = Vec::new();
        let starts: Vec<Time> = old.iter().map(|&ix| self.sessions[ix].started_at()).collect();
        for event in own {
            let current = made.last().copied();
            if let Some(ix) = current
                && !self.splits(ix, &event, whole)
            {
                self.put_own(ix, event);
                continue;
            }
            let at = event.at;
            let twin =
                old.iter().zip(&starts).find(|(ix, start)| **start == at && left.contains(ix)).map(|(ix, _)| *ix);
            let ix = match twin {
                Some(ix) => {
                    left.retain(|&held| held != ix);
                    self.sessions[ix].restart(at);
                    ix
                }
                None => self.revived_session(visitor, at),
            };
            self.put_own(ix, event);
            made.push(ix);
        }
        for &ix in &made {
            let session = &mut self.sessions[ix];
            let (start, last) = (session.started_at(), session.last_own());
            if whole.iter().any(|(from, to)| *from <= last && start <= *to) {
                session.note_own_let_go();
            }
        }
        for &ix in &left {
            self.touch_calls_of(ix);
        }
        self.visitors[visitor].visits.retain(|ix| !old.contains(&ix));
        for &ix in &made {
            self.file_visit(ix);
        }
        for ix in left {
            self.retract_session(ix);
        }
        self.visits_moved(visitor, 0, &[]);
        made
    }

    /// A made session that begins at `at`: one that was taken back, if it began then, else a new one.
    fn revived_session(&mut self, visitor: u32, at: Time) -> u32 {
        match self.taken_back(visitor, |session| session.given.is_none() && session.started_at() == at) {
            Some(ix) => {
                self.sessions[ix].restart(at);
                ix
            }
            None => self.sessions.insert(Session::new(None, visitor, at)),
        }
    }
}
