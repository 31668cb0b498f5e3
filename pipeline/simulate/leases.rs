//! Numbers on pages: a lease is granted, renewed while the page is open, released when it closes, or runs out.

use callweave_core::settings::OnExhausted;

use super::pool::Lease;
use super::tables::{CAMPAIGNS, Route};
use super::visits::Visit;
use super::world::{Action, World};

const SOURCE_LEASE: &str = "lease/main";

impl World {
    /// Chooses the number of the page. A lease that was granted now is returned.
    pub(super) fn show_number(&mut self, visit: &mut Visit) -> Option<u32> {
        let house = &mut self.accounts[usize::from(visit.account)];
        let pool = match CAMPAIGNS[usize::from(visit.campaign)].route {
            Route::Newsletter => {
                visit.number = house.newsletter;
                return None;
            }
            Route::Ads => 0u8,
            Route::Site => 1,
        };
        if let Some((at, id)) = visit.lease
            && self.leases.get_mut(at).is_some_and(|lease| lease.id == id && lease.expires > self.now)
        {
            return None;
        }
        let share = self.options.on_exhausted == OnExhausted::Share;
        let Some(slot) = house.pools[usize::from(pool)].acquire(self.now, share) else {
            (visit.lease, visit.number, visit.extension) = (None, house.overflow, 0);
            return None;
        };
        let shown = house.pools[usize::from(pool)].slot(slot);
        let hold = self.hold_micros();
        let id = self.id();
        let lease = Lease { account: visit.account, pool, slot, id, expires: self.now.plus(hold), released: false };
        let at = self.leases.put(lease);
        (visit.lease, visit.number, visit.extension) = (Some((at, id)), shown.number, shown.extension);
        self.plan(hold, Action::LeaseEnd(at));
        Some(at)
    }

    pub(super) fn write_grant(&mut self, visit: &Visit, at: u32) {
        let Some(lease) = self.leases.get_mut(at) else { return };
        let (id, pool, expires) = (lease.id, lease.pool, lease.expires);
        self.begin(visit.account, SOURCE_LEASE, "lease_granted");
        let pool = self.accounts[usize::from(visit.account)].pools[usize::from(pool)].name;
        self.lines.id("lease_id", 'l', id);
        self.lines.text("pool", pool);
        self.lines.phone("number", visit.number);
        if visit.extension != 0 {
            self.lines.number_text("extension", u64::from(visit.extension));
        }
        self.visitor_members(visit.visitor.id, visit.session);
        self.lines.time("expires_at", expires);
        self.finish(visit.account, "lease_granted", None);
    }

    /// A lease is renewed once half of its time is over.
    pub(super) fn renew(&mut self, visit: &Visit) {
        let Some((at, id)) = visit.lease else { return };
        let hold = self.hold_micros();
        let Some(lease) = self.leases.get_mut(at) else { return };
        if lease.id != id || lease.released || lease.expires <= self.now || lease.expires.since(self.now) > hold / 2 {
            return;
        }
        lease.expires = self.now.plus(hold);
        let expires = lease.expires;
        self.begin(visit.account, SOURCE_LEASE, "lease_renewed");
        self.lines.id("lease_id", 'l', id);
        self.lines.time("expires_at", expires);
        self.finish(visit.account, "lease_renewed", None);
    }

    pub(super) fn lease_end(&mut self, at: u32) {
        let Some(lease) = self.leases.get_mut(at) else { return };
        if lease.expires > self.now && !lease.released {
            let after = lease.expires.since(self.now);
            return self.plan(after, Action::LeaseEnd(at));
        }
        if let Some(lease) = self.leases.take(at)
            && !lease.released
        {
            self.give_back(&lease);
        }
    }

    fn give_back(&mut self, lease: &Lease) {
        let again = self.now.plus((self.options.cooldown_minutes * 60_000.0) as i64 * 1000);
        self.accounts[usize::from(lease.account)].pools[usize::from(lease.pool)].release(lease.slot, again);
    }

    /// The page was closed in a way that tells so: the lease ends at once.
    pub(super) fn release(&mut self, visit: &Visit) {
        let Some((at, id)) = visit.lease else { return };
        let Some(lease) = self.leases.get_mut(at).filter(|lease| lease.id == id && lease.expires > self.now) else {
            return;
        };
        lease.released = true;
        let lease = *lease;
        self.give_back(&lease);
        self.begin(visit.account, SOURCE_LEASE, "lease_released");
        self.lines.id("lease_id", 'l', id);
        self.finish(visit.account, "lease_released", None);
        self.tell_book(visit, |book, now| book.left(visit.number, visit.serial, now));
    }

    fn hold_micros(&self) -> i64 {
        (self.options.hold_minutes * 60_000.0) as i64 * 1000
    }
}
