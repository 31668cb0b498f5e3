//! Telephone numbers that nobody has: those set aside for fiction. In the North American plan 555-0100 to 555-0199 of
//! every area code (ATIS-0300115, "555 line numbers"); in the United Kingdom those of Ofcom's "Telephone numbers for
//! use in TV and radio drama programmes".

use super::draw::Draw;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Country {
    UnitedStates,
    UnitedKingdom,
}

/// Area codes of the United States, of which the first [`TRACKING_CODES`] are for tracking numbers, the rest for callers.
const US_AREA_CODES: [u16; 200] = [
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 220, 224, 225, 228, 229, 231,
    234, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 272, 276, 281, 301, 302, 303, 304, 305, 307,
    308, 309, 310, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321, 323, 325, 330, 331, 334, 336, 337, 339, 346, 347,
    351, 352, 360, 361, 385, 386, 401, 402, 404, 405, 406, 407, 408, 409, 410, 412, 413, 414, 415, 417, 419, 423, 424,
    425, 430, 432, 434, 435, 440, 442, 443, 458, 469, 470, 475, 478, 479, 480, 484, 501, 502, 503, 504, 505, 507, 508,
    509, 510, 512, 513, 515, 516, 517, 518, 520, 530, 531, 534, 539, 540, 541, 551, 559, 561, 562, 563, 567, 570, 571,
    573, 574, 575, 580, 585, 586, 601, 602, 603, 605, 606, 607, 608, 609, 610, 612, 614, 615, 616, 617, 618, 619, 620,
    623, 626, 630, 631, 636, 641, 646, 650, 651, 657, 660, 661, 662, 669, 678, 681, 682, 701, 702, 703, 704, 706, 707,
    708, 712, 713, 714, 715, 716, 717, 718, 719, 720, 724, 727, 731, 732, 734, 737,
];
const TRACKING_CODES: usize = 100;
const LINES_PER_CODE: usize = 100;

/// The first number of each British block of a thousand; the first [`TRACKING_BLOCKS`] are for tracking numbers.
const UK_BLOCKS: [u64; 18] = [
    441134960000,
    441144960000,
    441154960000,
    441164960000,
    441174960000,
    441184960000,
    441214960000,
    441314960000,
    441414960000,
    441514960000,
    441614960000,
    442079460000,
    441914980000,
    442896496000,
    442920180000,
    441632960000,
    447700900000,
    443069990000,
];
const TRACKING_BLOCKS: usize = 10;
const LINES_PER_BLOCK: usize = 1000;

/// Tracking numbers there are to give, of each country.
pub(super) const TRACKING_NUMBERS: usize = TRACKING_CODES * LINES_PER_CODE;

/// The `n`th tracking number, neighbours in different places; nothing from [`TRACKING_NUMBERS`] on.
pub(super) fn tracking(country: Country, n: usize) -> Option<u64> {
    if n >= TRACKING_NUMBERS {
        return None;
    }
    Some(match country {
        Country::UnitedStates => us(n % TRACKING_CODES, n / TRACKING_CODES),
        Country::UnitedKingdom => UK_BLOCKS[n % TRACKING_BLOCKS] + (n / TRACKING_BLOCKS) as u64,
    })
}

/// Somebody's own number; mostly of the same country. There are only some thousands of them, so strangers share one now
/// and then, as people in one household do.
pub(super) fn caller(draw: &mut Draw, home: Country) -> u64 {
    let british = (home == Country::UnitedKingdom) != draw.chance(0.03);
    if british {
        let blocks = &UK_BLOCKS[TRACKING_BLOCKS..];
        *draw.pick(blocks) + draw.below(LINES_PER_BLOCK) as u64
    } else {
        us(TRACKING_CODES + draw.below(US_AREA_CODES.len() - TRACKING_CODES), draw.below(LINES_PER_CODE))
    }
}

/// How many telephones [`caller`] gives to choose from, about.
pub(super) const TELEPHONES: usize = (US_AREA_CODES.len() - TRACKING_CODES) * LINES_PER_CODE;
/// Telephones that many people share, as those of a switchboard or a shelter do.
pub(super) const SHARED_TELEPHONES: usize = 50;
/// A million in each of twenty area codes.
pub(super) const TELEPHONES_MOST: usize = 20_000_000;

/// The `n`th telephone of a country, of more than are set aside for fiction: numbers that cannot exist. In the North American
/// plan no exchange begins with 1, and in the United Kingdom nobody has the area code 01632.
pub(super) fn telephone(n: usize, country: Country) -> u64 {
    match country {
        Country::UnitedStates => {
            let code = US_AREA_CODES[TRACKING_CODES + n % 20];
            10_000_000_000 + u64::from(code) * 10_000_000 + 1_000_000 + (n / 20) as u64 % 1_000_000
        }
        Country::UnitedKingdom => 441_632_000_000 + (n % 1_000_000) as u64,
    }
}

/// A telephone that many people share.
pub(super) fn shared(draw: &mut Draw, country: Country) -> u64 {
    let n = draw.below(SHARED_TELEPHONES);
    match country {
        Country::UnitedStates => us(US_AREA_CODES.len() - 1, n),
        Country::UnitedKingdom => UK_BLOCKS[TRACKING_BLOCKS] + n as u64,
    }
}

pub(super) fn is_shared(phone: u64) -> bool {
    let us = us(US_AREA_CODES.len() - 1, 0);
    let uk = UK_BLOCKS[TRACKING_BLOCKS];
    [us, uk].iter().any(|first| (*first..*first + SHARED_TELEPHONES as u64).contains(&phone))
}

fn us(code: usize, line: usize) -> u64 {
    10_000_000_000 + u64::from(US_AREA_CODES[code]) * 10_000_000 + 5_550_100 + line as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracking_numbers_differ_and_callers_have_none() {
        for country in [Country::UnitedStates, Country::UnitedKingdom] {
            let all: std::collections::BTreeSet<u64> =
                (0..TRACKING_NUMBERS).filter_map(|n| tracking(country, n)).collect();
            assert_eq!(all.len(), TRACKING_NUMBERS);
            assert_eq!(tracking(country, TRACKING_NUMBERS), None);
            let mut draw = Draw::new(7);
            assert!((0..10_000).all(|_| !all.contains(&caller(&mut draw, country))));
        }
        assert_eq!(tracking(Country::UnitedStates, 0), Some(12_015_550_100));
    }
}
