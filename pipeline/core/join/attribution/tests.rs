use super::*;

fn judge(rates: &Rates) -> Judge<'_> {
    Judge { rates, anybody: 1.0, is_callback: false, called_before: None, absent: 0.0, talk: None }
}

/// A caller who has called before, from a telephone of which few know.
fn again(rates: &Rates) -> Judge<'_> {
    Judge { anybody: 0.001, called_before: Some(86_400 * MICROS_PER_SECOND), ..judge(rates) }
}

const START: Time = Time(1_795_178_096_000_000);

fn seen(state: State, seconds_before: i64) -> Evidence {
    let delay = seconds_before * MICROS_PER_SECOND;
    Evidence {
        last_sign: START.minus(delay),
        state,
        delay,
        clicked: None,
        asked: None,
        link: 0.0,
        again: 0.0,
        spent: 0.0,
        moved: false,
        same_country: None,
        pages: 2,
        shown: 60 * MICROS_PER_SECOND,
    }
}

fn check(
    judge: &Judge<'_>,
    evidence: &[Evidence],
    chosen: Option<usize>,
    rests_on: Option<RestsOn>,
    confidence: std::ops::Range<f64>,
) {
    let choice = judge.choose(evidence);
    assert_eq!((choice.chosen, choice.rests_on), (chosen, rests_on), "{evidence:?} {choice:?}");
    let of_chosen = choice.chosen.map_or(choice.none, |at| choice.probabilities[at]);
    assert!(confidence.contains(&of_chosen), "{of_chosen} of {evidence:?}");
    let sum = choice.probabilities.iter().sum::<f64>() + choice.none;
    assert!((sum - 1.0).abs() < 1e-11);
}

#[test]
fn chooses_before_anything_was_learned() {
    use State::{Held, Lapsed, Released};
    let rates = Rates::default();
    let plain = judge(&rates);
    // Last seen by a click, and by something else before.
    let clicked = |seconds: i64, before: Evidence| {
        let (since, without) = (seconds * MICROS_PER_SECOND, (before.state, before.delay, before.shown));
        Evidence { delay: since, clicked: Some(Click { since, without }), ..before }
    };
    let known = |it: Evidence| Evidence { link: 0.9, again: 0.9, ..it };
    check(&plain, &[seen(Held, 10)], Some(0), None, 0.9..1.0);
    check(&plain, &[seen(Lapsed, 8 * 3600)], Some(0), None, 0.1..0.7);
    check(&plain, &[seen(Released, 71 * 3600)], Some(0), None, 0.0..0.2);
    check(&plain, &[seen(Held, 10), seen(Held, 400)], Some(0), None, 0.6..0.99);
    check(&plain, &[seen(Lapsed, 600), seen(Lapsed, 7200)], Some(0), None, 0.6..1.0);
    check(&plain, &[seen(Held, 10), clicked(3, seen(Held, 30))], Some(1), Some(RestsOn::Click), 0.9..1.0);
    check(&plain, &[clicked(3, seen(Held, 10)), seen(Held, 30)], Some(0), None, 0.9..1.0);
    check(&plain, &[clicked(3, seen(Held, 400)), seen(Held, 30)], Some(0), Some(RestsOn::Click), 0.9..1.0);
    check(&plain, &[seen(Lapsed, 70 * 3600), seen(Lapsed, 71 * 3600)], None, None, 0.5..1.0);
    check(&again(&rates), &[seen(Held, 60), known(seen(Lapsed, 3600))], Some(1), Some(RestsOn::Caller), 0.5..1.0);
    // Nobody hangs up so soon who looked for whom they called.
    let lapsed = [seen(Lapsed, 7200), seen(Lapsed, 8000)];
    check(&plain, &lapsed, Some(0), None, 0.3..0.6);
    check(&Judge { talk: Some(0), ..judge(&rates) }, &lapsed, None, None, 0.4..0.9);
    let spent = Evidence { spent: 1.0, ..seen(Held, 10) };
    check(&plain, &[spent, seen(Lapsed, 200)], Some(1), None, 0.5..1.0);
}

/// Calls of sessions whose rate falls by half each bin, and strays: the fit finds what was put in.
#[test]
fn the_fit_finds_the_rates() {
    let mut lessons = Vec::new();
    for n in 0..2_000usize {
        // Somebody is on the page for ten seconds, at one point in ten.
        let mut seen = Seen { hours: 1.0, points: 1.0, ..Seen::default() };
        if n % 10 == 0 {
            let chance = || Chance { state: State::Held, delay: 10 * MICROS_PER_SECOND, pages: 2 };
            seen.near.extend((0..crate::limits::POINTS_PER_CALL).map(|_| chance()));
        }
        let mut lesson = Lesson::new(0, None, &seen);
        // Three of four calls come while somebody is; a quarter when nobody is.
        if n % 4 < 3 {
            lesson.near(bins::near(State::Held, 10.0), 1, 0);
        }
        lessons.push(lesson);
    }
    let rates = fit::fit(lessons.iter(), &Tally::default(), &Rates::default(), &Rates::default(), true);
    let held = f64::from(rates.near[bins::near(State::Held, 10.0)]) * f64::from(rates.pages[1]);
    // Strays come to a third of 0.9 at all times, so of the 0.75 calls a point 0.72 are the page's, at a tenth of all points.
    let strays = rates.stray;
    assert!((0.2..0.35).contains(&strays), "{strays}");
    assert!((5.5..8.5).contains(&held), "{held}");
}

/// What comes of few calls is less sure, and nothing changes which is likelier.
#[test]
fn few_calls_make_less_sure() {
    let evidence = [seen(State::Held, 10), seen(State::Held, 100), seen(State::Lapsed, 7200)];
    let of = |calls: f64| {
        let rates = Rates { calls, ..Rates::default() };
        judge(&rates).choose(&evidence).probabilities
    };
    let by_calls = [0.0, 100.0, 5_000.0, 1e9].map(of);
    for pair in by_calls.windows(2) {
        assert!(pair[0][0] < pair[1][0] && pair[0][2] > pair[1][2], "{pair:?}");
    }
    for of in &by_calls {
        assert!(of[0] > of[1] && of[1] > of[2], "{of:?}");
    }
    let plain = f64::from(Rates::default().near[bins::near(State::Held, 10.0)]);
    let other = f64::from(Rates::default().near[bins::near(State::Held, 100.0)]);
    let pages = |delay| f64::from(Rates::default().pages[bins::pages(2, delay)]);
    let expected = plain * pages(10.0) / (other * pages(100.0));
    assert!((by_calls[3][0] / by_calls[3][1] / expected - 1.0).abs() < 1e-3, "{by_calls:?}");
}

/// A pool with few calls has as many strays as its account, in proportion to its calls.
#[test]
fn a_pool_has_its_accounts_strays() {
    let lessons: Vec<Lesson> = (0..1_000usize)
        .map(|n| {
            // Somebody is on the page at one point in two; of calls when nobody is, all are strays.
            let mut seen = Seen { hours: 1.0, points: 1.0, ..Seen::default() };
            if n % 2 == 0 {
                let chance = || Chance { state: State::Held, delay: 10 * MICROS_PER_SECOND, pages: 2 };
                seen.near.extend((0..crate::limits::POINTS_PER_CALL).map(|_| chance()));
            }
            let mut lesson = Lesson::new(0, None, &seen);
            if n % 10 < 6 {
                lesson.near(bins::near(State::Held, 10.0), 1, 0);
            }
            lesson
        })
        .collect();
    let fitted = |lessons: &[Lesson], supposed: &Rates, of_account| {
        fit::fit(lessons.iter(), &Tally::default(), supposed, supposed, of_account)
    };
    let account = fitted(&lessons, &Rates::default(), true);
    let pool = fitted(&lessons[..40], &account, false);
    // Two of five calls are strays when nobody is there, and as many come while somebody is; a tenth of all is supposed.
    assert!((0.4..0.85).contains(&account.stray), "{}", account.stray);
    // The pool's calls say the same, so it is no farther from them than its account is.
    assert!((account.stray..0.85).contains(&pool.stray), "{} {}", pool.stray, account.stray);
    assert_eq!((account.calls, pool.calls), (1_000.0, 1_000.0));
}
