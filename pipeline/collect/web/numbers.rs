//! Which numbers a page shows: each number on it is routed by what is known of the visit, and leased where the route names
//! a pool.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use callweave_core::event::PageView;
use callweave_core::limits::{EXTENSION_BYTES_MAX, ID_BYTES_MAX};
use callweave_core::phone::Phone;
use callweave_core::settings::{RouteAsk, Rules, Shows};
use callweave_core::source::{BOT, Surveyor, is_crawler};
use callweave_core::time::Time;
use futures::future::join_all;
use tokio::time::timeout;

use super::super::accounts::InForce;
use super::super::sites::SiteInForce;
use super::answer::Number;
use super::hit::{HeldBefore, Numbers};
use super::written::Written;
use crate::lease::{self, Desk, Held, How};

/// Numbers that one page has replaced, and leases that it holds; more are passed over.
pub const NUMBERS_MAX: usize = 20;

/// What deals numbers to pages.
pub struct Dealer {
    desk: Arc<Desk>,
    /// Each with caches of its own; as many as there are threads to use them.
    surveyors: Vec<Mutex<Surveyor>>,
    turn: AtomicUsize,
    written: Written,
}

/// Who asks for numbers.
pub struct Asking<'a> {
    pub in_force: &'a InForce,
    pub site: &'a SiteInForce,
    pub visitor: &'a str,
    pub session: Option<&'a str>,
    /// The landing page, with the browser's user agent and address; nothing is known of a visit without one.
    pub landing: Option<PageView<'a>>,
    pub numbers: &'a Numbers<'a>,
    pub now: Time,
}

/// What is to be shown in place of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wanted<'r> {
    replaces: Option<Phone>,
    shows: Showing<'r>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Showing<'r> {
    Pool(&'r str),
    Number(Phone),
}

impl Dealer {
    /// `surveyor` knows the places; it is made ready here, so that no request waits for its tables.
    pub fn new(desk: Arc<Desk>, surveyor: &Surveyor) -> Dealer {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let surveyors: Vec<_> = (0..threads).map(|_| Mutex::new(surveyor.another())).collect();
        surveyors[0]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .visit(&PageView { user_agent: Some("Mozilla/5.0".into()), ..PageView::default() });
        Dealer { desk, surveyors, turn: AtomicUsize::new(0), written: Written::default() }
    }

    /// The numbers to show, within the site's time. None where that was not enough: the page shows its own.
    pub async fn deal(&self, asking: &Asking<'_>) -> Vec<Number> {
        let wanted = self.wanted(asking);
        let mut pools: Vec<&str> = Vec::new();
        for wanted in &wanted {
            if let Showing::Pool(pool) = wanted.shows
                && !pools.contains(&pool)
            {
                pools.push(pool);
            }
        }
        let leases = join_all(pools.iter().map(|pool| self.lease(asking, pool)));
        let Ok(leases) = timeout(asking.site.number_timeout, leases).await else {
            tracing::warn!(account = %asking.in_force.account, "numbers were not leased in time");
            return Vec::new();
        };
        let shown = wanted.iter().filter_map(|wanted| match wanted.shows {
            Showing::Number(number) => Some(self.number(asking, wanted.replaces, number, None)),
            Showing::Pool(pool) => {
                let at = pools.iter().position(|known| *known == pool)?;
                let shown = leases[at].as_ref()?;
                Some(self.number(asking, wanted.replaces, shown.number, Some((pool, shown))))
            }
        });
        shown.collect()
    }

    fn wanted<'s>(&self, asking: &Asking<'s>) -> Vec<Wanted<'s>> {
        let rules = &asking.in_force.rules;
        if !asking.numbers.want {
            return held_on_to(rules, &asking.numbers.held);
        }
        let Some(landing) = &asking.landing else { return Vec::new() };
        let visit = self.surveyor(|surveyor| surveyor.visit(landing));
        // Crawlers call nobody, would empty every pool, and must not take a tracking number for the business's own.
        let crawls = || landing.user_agent.as_deref().is_some_and(is_crawler);
        if visit.agent.device.as_deref() == Some(BOT) && crawls() {
            return Vec::new();
        }
        let ask = RouteAsk::of(landing, &visit, asking.site.name());
        let listed: Vec<Phone> =
            asking.numbers.replace.iter().filter_map(|text| Phone::parse(text).ok()).take(NUMBERS_MAX).collect();
        routed(rules, &ask, &listed)
    }

    /// Whichever surveyor is idle.
    fn surveyor<T>(&self, mut work: impl FnMut(&mut Surveyor) -> T) -> T {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for at in 0..self.surveyors.len() {
            match self.surveyors[(turn + at) % self.surveyors.len()].try_lock() {
                Ok(mut surveyor) => return work(&mut surveyor),
                Err(TryLockError::Poisoned(poisoned)) => return work(&mut poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        work(&mut self.surveyors[turn % self.surveyors.len()].lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn lease(&self, asking: &Asking<'_>, pool: &str) -> Option<lease::Shown> {
        let held = asking.numbers.held.iter().take(NUMBERS_MAX).find(|held| held.pool.as_str() == pool);
        let held = held.and_then(|held| {
            let number = Phone::parse(&held.number).ok()?;
            Some(Held { lease_id: &held.lease_id, number, extension: held.extension.as_deref() })
        });
        let ask = lease::Ask {
            account: &asking.in_force.account,
            rules: &asking.in_force.rules,
            pool,
            visitor_id: asking.visitor,
            session_id: asking.session,
            held: held.filter(is_short),
            now: asking.now,
        };
        match self.desk.number(ask).await {
            Ok(shown) => Some(shown),
            Err(error) => {
                tracing::warn!(account = %asking.in_force.account, pool, %error, "no number was leased");
                None
            }
        }
    }

    fn number(
        &self,
        asking: &Asking<'_>,
        replaces: Option<Phone>,
        number: Phone,
        leased: Option<(&str, &lease::Shown)>,
    ) -> Number {
        let forms = self.written.of(number);
        let forward = || {
            let to = asking.in_force.rules.number(number)?.forward_to.as_deref()?;
            Phone::parse(to).ok()
        };
        Number {
            replaces: replaces.or_else(forward),
            number,
            extension: leased.and_then(|(_, shown)| shown.extension.clone()),
            national: forms.national.clone(),
            international: forms.international.clone(),
            pool: leased.map(|(pool, _)| pool.to_owned()),
            lease_id: leased.and_then(|(_, shown)| shown.lease_id.clone()),
            expires_at: leased.and_then(|(_, shown)| shown.expires_at),
            how: leased.map_or(How::Static, |(_, shown)| shown.how).name(),
        }
    }
}

/// What each number on the page is replaced by. Where the page lists none, the numbers that routes name are meant, and
/// where there are none either, whichever stands there.
fn routed<'r>(rules: &'r Rules, ask: &RouteAsk<'_>, listed: &[Phone]) -> Vec<Wanted<'r>> {
    let mut numbers: Vec<Option<Phone>> = Vec::new();
    let named = rules.settings().routes.iter().filter_map(|route| route.replaces);
    let from: Vec<Phone> = if listed.is_empty() { named.collect() } else { listed.to_vec() };
    for number in from.into_iter().map(Some) {
        if !numbers.contains(&number) && numbers.len() < NUMBERS_MAX {
            numbers.push(number);
        }
    }
    if numbers.is_empty() {
        numbers.push(None);
    }
    let shown = numbers.into_iter().filter_map(|replaces| {
        let shows = match rules.route(&ask.clone().replacing(replaces))? {
            Shows::Pool(pool) => Showing::Pool(&pool.name),
            Shows::Number(number) => Showing::Number(number),
        };
        Some(Wanted { replaces, shows })
    });
    shown.collect()
}

/// What a page that wants nothing new holds on to. Where a lease is another's by now, it gets a number of its own: the
/// page is open, and must not go on showing what is not its visitor's.
fn held_on_to<'r>(rules: &'r Rules, held: &[HeldBefore<'_>]) -> Vec<Wanted<'r>> {
    let held = held.iter().take(NUMBERS_MAX).filter_map(|held| {
        let pool = rules.pool(&held.pool)?;
        let replaces = held.replaces.as_ref().and_then(|text| Phone::parse(text).ok());
        Some(Wanted { replaces, shows: Showing::Pool(&pool.name) })
    });
    held.collect()
}

fn is_short(held: &Held<'_>) -> bool {
    let fits = |text: &str, max| (1..=max).contains(&text.len());
    fits(held.lease_id, ID_BYTES_MAX) && held.extension.is_none_or(|text| fits(text, EXTENSION_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_number_on_the_page_is_routed_by_itself() {
        let page = PageView { url: "https://a.example/?utm_source=news".into(), ..PageView::default() };
        let visit = Surveyor::default().visit(&page).clone();
        let pool = json!([{"name": "main"}, {"name": "sales"}]);
        let numbers = json!([
            {"number": "+14155550101", "kind": "pool", "pool": "main", "forward_to": "+14155550100"},
            {"number": "+14155550102", "kind": "pool", "pool": "sales", "forward_to": "+14155550199"},
            {"number": "+14155550103", "kind": "static", "forward_to": "+14155550100", "source": "news"},
        ]);
        let (hundred, other) = ("+14155550100", "+14155550199");
        let to = |replaces: &str, shows: &'static str| (Some(replaces.to_owned()), shows);
        let by_row = json!([
            {"replaces": hundred, "source": "news", "number": "+14155550103"},
            {"replaces": other, "pool": "sales"},
            {"replaces": hundred, "pool": "main"},
        ]);
        for (routes, listed, expected) in [
            (json!([]), &[hundred][..], vec![to(hundred, "main")]),
            (json!([]), &[], vec![(None, "main")]),
            (by_row.clone(), &[], vec![to(hundred, "+14155550103"), to(other, "sales")]),
            (by_row.clone(), &[other, other], vec![to(other, "sales")]),
            (by_row, &["+14155550177"], vec![]),
            (json!([{"source": "ads", "pool": "main"}]), &[hundred], vec![]),
            (json!([{"pool": "main"}]), &[hundred, other], vec![to(hundred, "main"), to(other, "main")]),
        ] {
            let settings = json!({"numbers": numbers, "pools": pool, "routes": routes});
            let rules = Rules::new(serde_json::from_value(settings).expect("settings"));
            let listed: Vec<Phone> = listed.iter().map(|text| Phone::parse(text).expect("a number")).collect();
            let found = routed(&rules, &RouteAsk::of(&page, &visit, None), &listed);
            let found: Vec<_> = found
                .iter()
                .map(|wanted| {
                    let shows = match wanted.shows {
                        Showing::Pool(name) => name.to_owned(),
                        Showing::Number(number) => number.to_string(),
                    };
                    (wanted.replaces.map(|number| number.to_string()), shows)
                })
                .collect();
            let expected: Vec<_> = expected.into_iter().map(|(number, shows)| (number, shows.to_owned())).collect();
            assert_eq!(found, expected, "{routes} {listed:?}");
        }
    }
}
