//! Which lines a pool has: its numbers, or with extensions each of them with many codes.

use std::collections::HashSet;

use callweave_core::phone::Phone;
use callweave_core::settings::{NumberKind, Rules};
use xxhash_rust::xxh3::xxh3_64;

use super::line::Line;

/// Lines of one pool. With extensions there may be billions; a desk keeps a few hundred bytes of each that it has read.
pub const LINES_MAX: usize = 65_536;

const ROUNDS: u64 = 4;

/// The lines of a pool in the order in which they are taken into use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    numbers: Vec<Phone>,
    members: HashSet<Phone>,
    codes: Option<Codes>,
}

/// All codes of so many digits that do not begin with 0, which people leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Codes {
    digits: u32,
}

impl Codes {
    fn first(self) -> u64 {
        10u64.pow(self.digits.saturating_sub(1))
    }

    fn count(self) -> u64 {
        9 * self.first()
    }

    /// The code at a place: a shuffle that the number decides, so that every desk goes the same way, and who has one code
    /// does not know the next one's. A Feistel network over as many bits as the codes need, walked until it is inside
    /// (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002); no code comes twice before all have come.
    fn at(self, number: Phone, place: u64) -> u64 {
        let count = self.count();
        let half = (u64::BITS - (count - 1).leading_zeros()).div_ceil(2);
        let mask = (1u64 << half) - 1;
        let mut code = place % count;
        loop {
            let (mut left, mut right) = (code >> half, code & mask);
            for round in 0..ROUNDS {
                let key = [number.0, round, right].map(u64::to_le_bytes).concat();
                (left, right) = (right, left ^ (xxh3_64(&key) & mask));
            }
            code = (left << half) | right;
            if code < count {
                return self.first() + code;
            }
        }
    }
}

impl Plan {
    pub fn of(rules: &Rules, pool: &str) -> Plan {
        let own = rules.settings().numbers.iter();
        let own = own.filter(|number| number.kind == NumberKind::Pool && number.pool.as_deref() == Some(pool));
        let numbers: Vec<Phone> = own.map(|number| number.number).take(LINES_MAX).collect();
        let codes = rules.pool(pool).and_then(|pool| pool.extensions).map(|digits| Codes { digits: digits.into() });
        Plan { members: numbers.iter().copied().collect(), numbers, codes }
    }

    pub fn len(&self) -> usize {
        let codes = self.codes.map_or(1, |codes| usize::try_from(codes.count()).unwrap_or(usize::MAX));
        self.numbers.len().saturating_mul(codes).min(LINES_MAX)
    }

    pub fn has_extensions(&self) -> bool {
        self.codes.is_some()
    }

    /// The line at a place below [`Plan::len`]. Each number gets its first code before any gets its second.
    pub fn line(&self, place: usize) -> Option<Line> {
        let number = *self.numbers.get(place.checked_rem(self.numbers.len())?)?;
        let code = self.codes.map(|codes| codes.at(number, (place / self.numbers.len()) as u64));
        Some(Line { number, extension: code.map(|code| code.to_string().into()) })
    }

    /// Whether this may be a line of the pool.
    pub fn may_hold(&self, line: &Line) -> bool {
        let fits = match (self.codes, &line.extension) {
            (None, None) => true,
            (Some(codes), Some(code)) => {
                code.len() == codes.digits as usize
                    && code.bytes().all(|b| b.is_ascii_digit())
                    && !code.starts_with('0')
            }
            _ => false,
        };
        fits && self.members.contains(&line.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(numbers: usize, extensions: Option<u8>) -> Plan {
        let numbers: Vec<_> = (0..numbers)
            .map(|n| serde_json::json!({"number": format!("+1415555{n:04}"), "kind": "pool", "pool": "p"}))
            .chain([
                serde_json::json!({"number": "+14155560000", "kind": "overflow", "pool": "p"}),
                serde_json::json!({"number": "+14155560001", "kind": "pool", "pool": "q"}),
            ])
            .collect();
        let settings = serde_json::json!({"numbers": numbers, "pools": [{"name": "p", "extensions": extensions}]});
        Plan::of(&Rules::new(serde_json::from_value(settings).expect("settings")), "p")
    }

    #[test]
    fn a_pool_has_its_numbers_or_its_numbers_with_codes() {
        for (numbers, extensions, lines) in [
            (0, None, 0),
            (0, Some(3), 0),
            (7, None, 7),
            (1, Some(1), 9),
            (2, Some(2), 180),
            (3, Some(3), 2700),
            (10, Some(4), LINES_MAX),
            (1, Some(10), LINES_MAX),
        ] {
            let plan = plan(numbers, extensions);
            assert_eq!(plan.len(), lines, "{numbers} numbers, {extensions:?} digits");
            let all: Vec<Line> = (0..plan.len()).map(|at| plan.line(at).expect("a line")).collect();
            assert!(all.iter().all(|line| plan.may_hold(line)));
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), lines, "each once");
        }
        assert_eq!(plan(0, None).line(0), None);
    }

    #[test]
    fn codes_do_not_count_up_and_never_change() {
        let plan = plan(1, Some(4));
        let code = |at| plan.line(at).and_then(|line| line.extension).map(|code| code.parse::<i64>().expect("digits"));
        let first: Vec<i64> = (0..5).filter_map(code).collect();
        assert!(first.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 1), "{first:?}");
        // Desks of different versions agree on them: these values may never change.
        assert_eq!(first, [2936, 5160, 5445, 3726, 5015]);
    }

    #[test]
    fn other_lines_are_not_the_pools() {
        let line = |number: u64, code: Option<&str>| Line { number: Phone(number), extension: code.map(Into::into) };
        let (plain, coded) = (plan(2, None), plan(2, Some(3)));
        for (line, in_plain, in_coded) in [
            (line(14_155_550_001, None), true, false),
            (line(14_155_550_002, None), false, false),
            (line(14_155_550_001, Some("123")), false, true),
            (line(14_155_550_001, Some("023")), false, false),
            (line(14_155_550_001, Some("1234")), false, false),
            (line(14_155_550_001, Some("12a")), false, false),
            (line(14_155_560_000, None), false, false),
            (line(14_155_560_001, None), false, false),
        ] {
            assert_eq!((plain.may_hold(&line), coded.may_hold(&line)), (in_plain, in_coded), "{line:?}");
        }
    }
}
