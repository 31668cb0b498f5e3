//! Parquet's hybrid of run-length and bit-packed numbers: definition levels, and places in a dictionary.
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/#run-length-encoding--bit-packing-hybrid-rle--3>

/// Values that are packed together.
const GROUP: usize = 8;
/// Equal values that are worth a run of their own.
const RUN_MIN: usize = 2 * GROUP;

/// The bits that numbers up to `max` need.
pub fn width(max: u32) -> u32 {
    u32::BITS - max.leading_zeros()
}

/// Appends `values`, each of at most `width` bits, without the length or the width before them.
pub fn encode(values: &[u32], width: u32, to: &mut Vec<u8>) {
    let mut at = 0;
    while at < values.len() {
        let run = run(&values[at..]);
        if run >= RUN_MIN {
            varint((run as u64) << 1, to);
            to.extend_from_slice(&values[at].to_le_bytes()[..width.div_ceil(8) as usize]);
            at += run;
            continue;
        }
        // Packed groups go on until a long run begins at one of their borders.
        let mut end = at + GROUP;
        while end < values.len() && !begins_run(&values[end..]) {
            end += GROUP;
        }
        let groups = (end - at) / GROUP;
        varint((groups as u64) << 1 | 1, to);
        pack(&values[at..end.min(values.len())], groups, width, to);
        at = end;
    }
}

/// How many values at the beginning are equal.
fn run(values: &[u32]) -> usize {
    values.iter().take_while(|value| **value == values[0]).count()
}

fn begins_run(values: &[u32]) -> bool {
    values.len() >= RUN_MIN && values[0] == values[RUN_MIN - 1] && values[..RUN_MIN].iter().all(|it| *it == values[0])
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Packs values from the lowest bit up; the last group is filled up with zeros.
fn pack(values: &[u32], groups: usize, width: u32, to: &mut Vec<u8>) {
    let end = to.len() + groups * width as usize;
    to.reserve(groups * width as usize + 8);
    let (mut bits, mut count) = (0u64, 0);
    for &value in values {
        bits |= u64::from(value) << count;
        count += width;
        if count >= 32 {
            to.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            count -= 32;
        }
    }
    to.extend_from_slice(&bits.to_le_bytes());
    to.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let value = value.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, (header >> 1) as usize));
                bytes = rest;
            } else {
                let groups = (header >> 1) as usize;
                let (packed, rest) = bytes.split_at(groups * width as usize);
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                let value = |at: usize| (0..width as usize).fold(0, |all, i| all | bit(at * width as usize + i) << i);
                values.extend((0..groups * GROUP).map(value));
                bytes = rest;
            }
        }
        assert!(bytes.is_empty());
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(runs in prop::collection::vec((any::<u32>(), 1..60usize), 0..30), width in 0..=32u32) {
            let mask = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let values: Vec<u32> =
                runs.iter().flat_map(|(value, count)| std::iter::repeat_n(value & mask, if *count > 30 { *count } else { 1 })).collect();
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            prop_assert_eq!(decode(&bytes, width, values.len()), values);
        }
    }

    #[test]
    fn widths() {
        for (max, bits) in [(0, 0), (1, 1), (2, 2), (255, 8), (256, 9), (u32::MAX, 32)] {
            assert_eq!(width(max), bits);
        }
    }
}
