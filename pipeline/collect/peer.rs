//! Where a browser is: the peer itself, or, behind proxies that are trusted, whom they forward for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Network;

/// The address to count and to keep. `X-Forwarded-For` is read from its end, where the nearest proxy wrote: each address
/// counts only because the one behind it is trusted. What is no address ends it.
pub fn address_of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut nearest = peer;
    // Without proxies nothing is looked at.
    if trusted.is_empty() {
        return nearest;
    }
    for value in headers.get_all("x-forwarded-for").into_iter().rev() {
        for text in value.to_str().unwrap_or("").rsplit(',') {
            match read(text.trim()) {
                Some(next) if trusts(nearest) => nearest = next,
                _ => return nearest,
            }
        }
    }
    nearest
}

/// An address alone, in brackets, or with a port.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|it| it.parse().expect("a network")).collect();
        type Case = (&'static str, &'static [&'static str], &'static str);
        let table: &[Case] = &[
            ("203.0.113.7", &[], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["garbage"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("fd00::1", &["[2001:db8::5]:443"], "2001:db8::5"),
            ("fd00::1", &["[2001:db8::5]"], "2001:db8::5"),
            ("10.0.0.1", &["198.51.100.1:1234"], "198.51.100.1"),
            ("10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, headers, expected) in table {
            let mut map = HeaderMap::new();
            for value in *headers {
                map.append("x-forwarded-for", value.parse().expect("a header"));
            }
            let found = address_of(peer.parse().expect("an address"), &map, &trusted);
            assert_eq!(found.to_string(), *expected, "{peer} {headers:?}");
        }
    }
}
