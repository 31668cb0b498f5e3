#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time(1_795_178_096_000_000);

    fn seen(seconds_before: i64) -> Evidence {
        let last_sign = START.minus(seconds_before * MICROS_PER_SECOND);
        Evidence { last_sign, active: false, clicked: false, known_caller: false, same_country: None }
    }

    fn check(
        evidence: &[Evidence],
        chosen: Option<usize>,
        rests_on: Option<RestsOn>,
        confidence: std::ops::Range<f64>,
    ) {
        let choice = choose(evidence, START);
        assert_eq!((choice.chosen, choice.rests_on), (chosen, rests_on), "{evidence:?} {choice:?}");
        let of_chosen = choice.chosen.map_or(choice.none, |at| choice.probabilities[at]);
        assert!(confidence.contains(&of_chosen), "{of_chosen} of {evidence:?}");
        let sum = choice.probabilities.iter().sum::<f64>() + choice.none;
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn chooses() {
        let active = |it: Evidence| Evidence { active: true, ..it };
        let clicked = |it: Evidence| Evidence { clicked: true, ..it };
        let known = |it: Evidence| Evidence { known_caller: true, ..it };
        check(&[active(seen(10))], Some(0), None, 0.9..1.0);
        check(&[seen(8 * 3600)], Some(0), None, 0.2..0.9);
        check(&[seen(71 * 3600)], Some(0), None, 0.0..0.3);
        check(&[active(seen(10)), active(seen(400))], Some(0), None, 0.6..0.95);
        check(&[seen(600), seen(7200)], Some(0), None, 0.8..1.0);
        check(&[active(seen(10)), active(clicked(seen(30)))], Some(1), Some(RestsOn::Click), 0.9..1.0);
        check(&[active(clicked(seen(10))), active(seen(30))], Some(0), None, 0.9..1.0);
        check(&[active(seen(60)), known(seen(3600))], Some(0), None, 0.5..1.0);
        check(&[seen(600), known(seen(900))], Some(1), Some(RestsOn::Caller), 0.9..1.0);
        check(&[seen(70 * 3600), seen(71 * 3600)], None, None, 0.5..1.0);
    }
}
