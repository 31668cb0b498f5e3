use super::*;
use callweave_core::phone::Phone;
use callweave_core::time::MICROS_PER_MINUTE;
use proptest::prelude::*;

const HOLD: i64 = 30;
const COOLDOWN: i64 = 10;

fn at(minute: i64) -> Time {
    Time(Time::EARLIEST.0 + minute * MICROS_PER_MINUTE)
}

fn line(n: usize) -> Line {
    Line { number: Phone(14_155_550_000 + n as u64), extension: None }
}

/// The log as far as lines go: the last event of each.
#[derive(Default)]
struct Shelves {
    last: HashMap<Line, Told>,
    sequence: u64,
    /// Every deed that was taken, with its time.
    deeds: Vec<(Time, Change)>,
}

impl Shelves {
    fn told(&self, line: &Line) -> Told {
        self.last.get(line).cloned().unwrap_or_default()
    }

    /// Compare-and-append.
    fn append(&mut self, change: &Change, now: Time) -> Result<u64, u64> {
        let actual = self.told(&change.line).sequence;
        if actual != change.expect {
            return Err(actual);
        }
        self.sequence += 1;
        let told = Told { sequence: self.sequence, holders: change.holders.clone(), kept_until: None };
        self.last.insert(change.line.clone(), told);
        self.deeds.push((now, change.clone()));
        Ok(self.sequence)
    }
}

/// A desk without its I/O: what [`super::super::pool`] does, in one breath.
struct Clerk {
    book: Book,
    lines: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    line: u64,
    how: &'static str,
}

impl Clerk {
    fn new(lines: usize, seed: u64, shelves: &Shelves) -> Clerk {
        let terms = Terms { hold: HOLD * MICROS_PER_MINUTE, cooldown: COOLDOWN * MICROS_PER_MINUTE };
        let mut book = Book::new(seed, terms);
        (0..lines).for_each(|n| {
            book.learn(&line(n), 0, shelves.told(&line(n)));
        });
        Clerk { book, lines }
    }

    fn make(&mut self, change: &Change, now: Time, shelves: &mut Shelves) -> bool {
        match shelves.append(change, now) {
            Ok(sequence) => {
                self.book.done(change, sequence);
                true
            }
            Err(_) => {
                self.book.learn(&change.line, change.expect, shelves.told(&change.line));
                false
            }
        }
    }

    fn ask(
        &mut self,
        visitor: &str,
        session: Option<&str>,
        now: Time,
        share: bool,
        log: &mut Shelves,
    ) -> Option<Given> {
        let wish = Wish { visitor_id: visitor, session_id: session, now };
        let id = |log: &Shelves| format!("lease-{}", log.deeds.len());
        let number = |line: &Line| line.number.0 % 10_000;
        while let Some(at) = self.book.of_visitor(visitor) {
            let line = number(self.book.line(at).expect("a line").0);
            match self.book.standing(at, &wish, &id(log)) {
                Standing::Strange => break,
                Standing::Holds(_) => return Some(Given { line, how: "kept" }),
                Standing::Due(change) => {
                    if self.make(&change, now, log) {
                        let how = if change.deed == Deed::Renew { "renewed" } else { "again" };
                        return Some(Given { line, how });
                    }
                }
                Standing::Moves(change) => {
                    if self.make(&change, now, log) {
                        let next = self.book.moved(at, &wish, &id(log)).expect("still theirs");
                        if self.make(&next, now, log) {
                            return Some(Given { line, how: "moved" });
                        }
                    }
                }
            }
        }
        let mut refreshed = false;
        loop {
            let taken = match self.book.take_free(now) {
                Some(at) => Some((at, "leased")),
                None if !refreshed => {
                    refreshed = true;
                    for (line, seen) in self.book.in_use(self.lines) {
                        self.book.learn(&line, seen, log.told(&line));
                    }
                    continue;
                }
                None if share => self.book.take_shared(now, 0).map(|at| (at, "shared")),
                None => None,
            };
            let (at, how) = taken?;
            let change = self.book.grant(at, &wish, &id(log), how == "shared").expect("a line that is out");
            let made = self.make(&change, now, log);
            self.book.put_back(at);
            if made {
                return Some(Given { line: number(&change.line), how });
            }
        }
    }
}

/// Minute, visitor, session, and the line they get and how.
type Step = (i64, &'static str, &'static str, Option<(usize, &'static str)>);

/// A day at one desk: at a minute a visitor's session asks, and gets this line in this way.
fn check(lines: usize, share: bool, story: &[Step]) {
    let mut log = Shelves::default();
    let mut clerk = Clerk::new(lines, 7, &log);
    // Lines never held come in the order of their rank: name them by that.
    let order: Vec<u64> = clerk.book.next_free(lines).iter().map(|(line, _)| line.number.0 % 10_000).collect();
    for &(minute, visitor, session, expected) in story {
        let session = (!session.is_empty()).then_some(session);
        let given = clerk.ask(visitor, session, at(minute), share, &mut log);
        let expected = expected.map(|(line, how)| Given { line: order[line], how });
        assert_eq!(given, expected, "{visitor}/{session:?} at minute {minute} with {lines} lines");
    }
}

#[test]
fn a_visitor_keeps_the_line_that_is_theirs() {
    check(
        2,
        false,
        &[
            (0, "ann", "1", Some((0, "leased"))),
            (1, "ann", "1", Some((0, "kept"))),
            // Nine tenths of 30 minutes are left until the third minute.
            (3, "ann", "1", Some((0, "kept"))),
            (4, "ann", "1", Some((0, "renewed"))),
            (5, "ann", "", Some((0, "kept"))),
            (6, "bob", "1", Some((1, "leased"))),
            // Another session of the same visitor, while the first still holds it.
            (7, "ann", "2", Some((0, "moved"))),
            (8, "ann", "2", Some((0, "kept"))),
            // The hold ran out at 37; it is theirs in the cooldown, and after it as long as nobody else came.
            (40, "ann", "3", Some((0, "again"))),
            (200, "ann", "3", Some((0, "again"))),
            (231, "cec", "1", Some((1, "leased"))),
            (241, "dan", "1", Some((0, "leased"))),
            (300, "ann", "3", Some((1, "leased"))),
        ],
    );
}

#[test]
fn the_line_held_least_recently_goes_next_after_its_cooldown() {
    check(
        3,
        false,
        &[
            (0, "ann", "1", Some((0, "leased"))),
            (1, "bob", "1", Some((1, "leased"))),
            (2, "cec", "1", Some((2, "leased"))),
            (3, "dan", "1", None),
            (15, "ann", "1", Some((0, "renewed"))),
            (39, "dan", "1", None),
            // Bob's hold ended at 31, and the cooldown at 41.
            (40, "dan", "1", None),
            (41, "dan", "1", Some((1, "leased"))),
            (100, "eve", "1", Some((2, "leased"))),
            (100, "fay", "1", Some((0, "leased"))),
            (100, "gus", "1", Some((1, "leased"))),
            (101, "hal", "1", None),
            // Two that were held equally long ago go by their rank.
            (140, "hal", "1", Some((0, "leased"))),
        ],
    );
}

#[test]
fn a_pool_that_is_shared_gives_the_line_unseen_for_longest() {
    check(
        2,
        true,
        &[
            (0, "ann", "1", Some((0, "leased"))),
            (1, "bob", "1", Some((1, "leased"))),
            (5, "ann", "1", Some((0, "renewed"))),
            (6, "cec", "1", Some((1, "shared"))),
            (7, "dan", "1", Some((0, "shared"))),
            (8, "bob", "1", Some((1, "renewed"))),
            (8, "ann", "1", Some((0, "kept"))),
            (9, "cec", "2", Some((1, "moved"))),
            (10, "eve", "1", Some((0, "shared"))),
        ],
    );
}

#[test]
fn no_more_than_so_many_share_what_one_event_tells() {
    let mut log = Shelves::default();
    let mut clerk = Clerk::new(1, 0, &log);
    for n in 0..40 {
        let given = clerk.ask(&format!("v{n}"), Some("s"), at(n), true, &mut log).expect("a line");
        assert_eq!(given.how, if n == 0 { "leased" } else { "shared" });
        assert!(log.told(&line(0)).holders.len() <= HOLDERS_MAX);
    }
    assert_eq!(clerk.book.by_visitor.len(), HOLDERS_MAX);
    assert_eq!(clerk.book.counts(at(40)), Counts { lines: 1, held: 1, resting: 0 });
    assert_eq!(clerk.book.counts(at(75)), Counts { lines: 1, held: 0, resting: 1 });
    assert_eq!(clerk.book.counts(at(80)), Counts { lines: 1, held: 0, resting: 0 });
}

#[test]
fn what_is_released_rests_from_then_on() {
    let mut log = Shelves::default();
    let mut clerk = Clerk::new(1, 0, &log);
    clerk.ask("ann", Some("1"), at(0), false, &mut log);
    let at_line = clerk.book.find(&line(0)).expect("a line");
    assert_eq!(clerk.book.released(at_line, "another", at(5)), None);
    let release = clerk.book.released(at_line, "lease-0", at(5)).expect("held");
    assert!(clerk.make(&release, at(5), &mut log));
    assert_eq!(clerk.book.released(at_line, "lease-0", at(6)), None, "it is over");
    assert_eq!(clerk.ask("bob", None, at(14), false, &mut log), None);
    assert_eq!(clerk.ask("bob", None, at(15), false, &mut log).map(|given| given.how), Some("leased"));
}

#[test]
fn lines_come_and_go_with_the_settings() {
    let mut log = Shelves::default();
    let mut clerk = Clerk::new(3, 0, &log);
    let given = clerk.ask("ann", None, at(0), false, &mut log).expect("a line");
    let out = clerk.book.take_free(at(0)).expect("a second");
    let (gone, _) = clerk.book.line(out).map(|(line, sequence)| (line.clone(), sequence)).expect("its name");
    let kept = Line { number: Phone(14_155_550_000 + given.line), extension: None };
    clerk.book.retain(|line| *line == kept);
    assert_eq!(clerk.book.counts(at(0)).lines, 2, "one is out, and goes when it comes back");
    clerk.book.put_back(out);
    assert_eq!((clerk.book.counts(at(0)).lines, clerk.book.find(&gone)), (1, None));
    assert_eq!(clerk.ask("bob", None, at(0), false, &mut log), None);
    let again = clerk.book.learn(&gone, 0, Told::default());
    assert_eq!(again, out, "places are used again");
    assert_eq!(clerk.ask("bob", None, at(0), false, &mut log).map(|given| given.line), Some(gone.number.0 % 10_000));
    // Ann's line is gone altogether: she gets another.
    clerk.book.retain(|line| *line != kept);
    assert_eq!(clerk.book.of_visitor("ann"), None);
    // A longer cooldown counts for what is free already.
    let terms = Terms { hold: HOLD * MICROS_PER_MINUTE, cooldown: 0 };
    clerk.book.set_terms(terms);
    assert_eq!(clerk.book.counts(at(35)), Counts { lines: 1, held: 0, resting: 0 });
    clerk.book.set_terms(Terms { cooldown: 100 * MICROS_PER_MINUTE, ..terms });
    assert_eq!(clerk.book.counts(at(35)), Counts { lines: 1, held: 0, resting: 1 });
}

#[test]
fn what_is_older_teaches_nothing() {
    let mut log = Shelves::default();
    let mut clerk = Clerk::new(1, 0, &log);
    clerk.ask("ann", None, at(0), false, &mut log);
    let place = clerk.book.find(&line(0)).expect("a line");
    // A server that lags, and one that was asked before the grant.
    clerk.book.learn(&line(0), 0, Told::default());
    assert!(clerk.book.knows(place, "ann"));
    // The line's events were trimmed since.
    clerk.book.learn(&line(0), 1, Told::default());
    assert!(!clerk.book.knows(place, "ann"));
    assert_eq!(clerk.book.line(place).map(|(_, sequence)| sequence), Some(0));
    // What cannot be read keeps the line for a while.
    clerk.book.learn(&line(0), 0, Told { sequence: 5, holders: Vec::new(), kept_until: Some(at(30)) });
    assert_eq!(clerk.ask("bob", None, at(39), false, &mut log), None);
}

/// Found by the storm in tests/it: what was read while a line was out made its grant compare with another's lease.
#[test]
fn a_line_that_others_took_while_it_was_out_is_not_granted() {
    let log = Shelves::default();
    let mut clerk = Clerk::new(1, 0, &log);
    let out = clerk.book.take_free(at(0)).expect("a line");
    let holder = Holder {
        lease_id: "theirs".into(),
        visitor_id: "ann".into(),
        session_id: None,
        granted_at: at(0),
        expires_at: at(30),
    };
    clerk.book.learn(&line(0), 0, Told { sequence: 1, holders: vec![holder], kept_until: None });
    let wish = |visitor_id, minute| Wish { visitor_id, session_id: None, now: at(minute) };
    for (minute, shares, granted) in [(1, false, false), (39, false, false), (40, false, true), (1, true, true)] {
        let change = clerk.book.grant(out, &wish("bob", minute), "his", shares);
        assert_eq!(change.is_some(), granted, "minute {minute}, sharing {shares}");
    }
    // Nor does whoever holds it get it a second time: their other request was answered by another desk.
    assert_eq!(clerk.book.grant(out, &wish("ann", 29), "again", true), None);
    assert!(clerk.book.grant(out, &wish("ann", 30), "again", true).is_some(), "the lease is over");
    clerk.book.put_back(out);
    assert_eq!(clerk.book.take_free(at(1)), None);
    assert_eq!(clerk.book.take_shared(at(1), 5), Some(out), "there are not so many");
}

/// Who held a line, from when until when, by what the log says.
#[derive(Debug)]
struct Span {
    visitor: Arc<str>,
    lease: Arc<str>,
    from: Time,
    until: Time,
}

/// What must hold of every history that does not share.
fn prove(deeds: &[(Time, Change)]) -> Result<(), TestCaseError> {
    let mut spans: HashMap<&Line, Vec<Span>> = HashMap::new();
    for (now, change) in deeds {
        let held = spans.entry(&change.line).or_default();
        let own = &change.holder;
        match change.deed {
            Deed::Grant => {
                for span in held.iter() {
                    let rest = if span.visitor == own.visitor_id { 0 } else { COOLDOWN * MICROS_PER_MINUTE };
                    prop_assert!(span.until.plus(rest) <= *now, "{:?} and {span:?}", change);
                }
                let (visitor, lease) = (own.visitor_id.clone(), own.lease_id.clone());
                held.push(Span { visitor, lease, from: *now, until: own.expires_at });
            }
            Deed::Renew | Deed::Release => {
                let span = held.last_mut().expect("a lease");
                prop_assert!(span.lease == own.lease_id && span.until > *now && span.from <= *now);
                span.until = own.expires_at;
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn one_desk_gives_the_least_recent_line(
        lines in 1usize..6, steps in prop::collection::vec((0i64..25, 0u8..9, 0u8..3), 1..120), seed: u64,
    ) {
        let mut log = Shelves::default();
        let mut clerk = Clerk::new(lines, seed, &log);
        let mut now = at(0);
        for (minutes, visitor, session) in steps {
            now = now.plus(minutes * MICROS_PER_MINUTE);
            let last = |log: &Shelves, line: &Line| log.told(line).holders.iter().map(|it| it.expires_at).max();
            let before: HashMap<Line, Option<Time>> = (0..lines).map(|n| (line(n), last(&log, &line(n)))).collect();
            let session = format!("s{session}");
            let given = clerk.ask(&format!("v{visitor}"), Some(&session), now, false, &mut log);
            let is_free = |last: &Option<Time>| last.is_none_or(|last| last.plus(COOLDOWN * MICROS_PER_MINUTE) <= now);
            let free = before.values().filter(|last| is_free(last)).min();
            match given {
                None => prop_assert!(free.is_none(), "a line is free, and nobody gets it"),
                Some(given) if given.how == "leased" => {
                    let line = Line { number: Phone(14_155_550_000 + given.line), extension: None };
                    prop_assert_eq!(Some(&before[&line]), free);
                }
                Some(_) => {}
            }
        }
        prove(&log.deeds)?;
    }

    #[test]
    fn many_desks_never_give_one_line_to_two(
        lines in 1usize..6, desks in 2usize..5, crash in 0usize..60,
        steps in prop::collection::vec((0i64..15, 0u8..9, 0u8..3, 0usize..4), 1..120),
    ) {
        let mut log = Shelves::default();
        let mut clerks: Vec<Clerk> = (0..desks).map(|seed| Clerk::new(lines, seed as u64, &log)).collect();
        let mut now = at(0);
        for (n, (minutes, visitor, session, desk)) in steps.into_iter().enumerate() {
            now = now.plus(minutes * MICROS_PER_MINUTE);
            let desk = desk % desks;
            if n == crash {
                clerks[desk] = Clerk::new(lines, 99, &log);
            }
            clerks[desk].ask(&format!("v{visitor}"), Some(&format!("s{session}")), now, false, &mut log);
        }
        prove(&log.deeds)?;
    }

    #[test]
    fn shelves_hold_every_line_once(
        lines in 1usize..6, steps in prop::collection::vec((0i64..25, 0u8..9, any::<bool>()), 1..80),
    ) {
        let mut log = Shelves::default();
        let mut clerk = Clerk::new(lines, 1, &log);
        let mut now = at(0);
        for (minutes, visitor, share) in steps {
            now = now.plus(minutes * MICROS_PER_MINUTE);
            clerk.ask(&format!("v{visitor}"), None, now, share, &mut log);
            let book = &clerk.book;
            prop_assert_eq!(book.free.len() + book.resting.len() + book.held.len(), lines);
            for (visitor, at) in &book.by_visitor {
                prop_assert!(book.knows(*at, visitor));
            }
        }
    }
}
