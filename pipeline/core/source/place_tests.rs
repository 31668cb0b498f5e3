//! Places, by a database that is written here: the MaxMind DB file format 2.0 specification, in small.

use std::sync::Arc;

use super::*;

/// The control byte of a value and its size, then its bytes.
fn value(kind: u8, size: usize, bytes: &[u8]) -> Vec<u8> {
    assert!(size < 29 + 256);
    let (small, more) = if size < 29 { (size as u8, None) } else { (29, Some((size - 29) as u8)) };
    let mut out = if kind < 8 { vec![kind << 5 | small] } else { vec![small, kind - 7] };
    out.extend(more);
    out.extend(bytes);
    out
}

fn text(text: &str) -> Vec<u8> {
    value(2, text.len(), text.as_bytes())
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let bytes: Vec<u8> = members.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    value(7, members.len(), &bytes)
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    value(11, items.len(), &items.concat())
}

fn number(kind: u8, number: u32) -> Vec<u8> {
    value(kind, 4, &number.to_be_bytes())
}

fn record(country: &str, region: &str, city: &str) -> Vec<u8> {
    let names = |name: &str| map(&[("names", map(&[("en", text(name))]))]);
    map(&[
        ("country", map(&[("iso_code", text(country))])),
        ("subdivisions", array(&[names(region)])),
        ("city", names(city)),
    ])
}

/// An IPv6 database of networks: their first bits, how many of them count, and their record.
fn database(database_type: &str, networks: &[(u128, u32, Vec<u8>)]) -> Arc<[u8]> {
    #[derive(Clone, Copy)]
    enum To {
        Nothing,
        Node(usize),
        Data(usize),
    }
    let (mut nodes, mut data) = (vec![[To::Nothing; 2]], Vec::<u8>::new());
    for (bits, length, record) in networks {
        let mut node = 0;
        for depth in 0..*length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == *length {
                nodes[node][side] = To::Data(data.len());
            } else if let To::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([To::Nothing; 2]);
                nodes[node][side] = To::Node(nodes.len() - 1);
                node = nodes.len() - 1;
            }
        }
        data.extend(record);
    }
    let record = |to: &To| match to {
        To::Nothing => nodes.len(),
        To::Node(node) => *node,
        To::Data(offset) => nodes.len() + 16 + offset,
    };
    let mut file: Vec<u8> =
        nodes.iter().flatten().flat_map(|to| (record(to) as u32).to_be_bytes()[1..].to_vec()).collect();
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", value(5, 2, &[0, 2])),
        ("binary_format_minor_version", value(5, 2, &[0, 0])),
        ("build_epoch", value(9, 8, &1_700_000_000u64.to_be_bytes())),
        ("database_type", text(database_type)),
        ("description", map(&[("en", text("made for a test"))])),
        ("ip_version", value(5, 2, &[0, 6])),
        ("languages", array(&[text("en")])),
        ("node_count", number(6, nodes.len() as u32)),
        ("record_size", value(5, 2, &[0, 24])),
    ]));
    file.into()
}

fn small_world() -> Arc<[u8]> {
    let berlin = record("DE", "Land Berlin", "Berlin");
    let california = record("US", "California", "Mountain View");
    database("GeoLite2-City", &[(0xc633_6400, 96 + 24, berlin), (0x2001_0db8 << 96, 32, california)])
}

fn words(place: &Place) -> [&str; 3] {
    [&place.country, &place.region, &place.city].map(|word| word.as_deref().unwrap_or("-"))
}

#[test]
fn addresses_have_places() {
    let berlin = ["DE", "Land Berlin", "Berlin"];
    let california = ["US", "California", "Mountain View"];
    let nowhere = ["-", "-", "-"];
    let mut places = Places::new(small_world()).unwrap();
    for _ in 0..2 {
        for (ip, expected) in [
            ("198.51.100.7", berlin),
            (" 198.51.100.255 ", berlin),
            ("198.51.100.7:4711", berlin),
            ("::ffff:198.51.100.7", berlin),
            ("2001:db8::7", california),
            ("[2001:DB8::7]", california),
            ("[2001:db8::7]:443", california),
            ("198.51.101.7", nowhere),
            ("2001:db9::7", nowhere),
            ("198.51.100", nowhere),
            ("garbage", nowhere),
            ("", nowhere),
        ] {
            assert_eq!(words(&places.of(Some(ip))), expected, "{ip}");
        }
    }
    assert_eq!(words(&places.of(None)), nowhere);
    assert!(Arc::ptr_eq(&places.of(Some("198.51.100.7")), &places.of(Some("198.51.100.8"))));
    assert_eq!(words(&Places::default().of(Some("198.51.100.7"))), nowhere);
}

#[test]
fn a_file_that_is_no_database_of_places_is_refused() {
    let told = |bytes: Arc<[u8]>| Places::new(bytes).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told(b"garbage".as_slice().into()).contains("unpacked"));
    assert!(told(database("GeoLite2-ASN", &[(0, 1, map(&[]))])).contains("`GeoLite2-ASN`"));
}

#[test]
fn damage_is_no_panic() {
    let whole = small_world();
    for at in 0..whole.len() {
        for change in [0x00, 0xff, whole[at] ^ 0x10] {
            let mut bytes = whole.to_vec();
            bytes[at] = change;
            if let Ok(mut places) = Places::new(bytes.into()) {
                places.of(Some("198.51.100.7"));
                places.of(Some("2001:db8::7"));
            }
        }
        let _ = Places::new(whole[..at].into());
    }
}
