//! Networks, as lists of trusted machines name them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// IPv4 as IPv6 has it (`::ffff:0:0/96`), so that one comparison serves both.
    first: Ipv6Addr,
    bits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no address or network such as 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError;

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        (wide(address).to_bits() ^ self.first.to_bits()) & mask(self.bits) == 0
    }
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Bits behind the network's own are passed over: `10.0.0.7/8` is `10.0.0.0/8`.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| NetworkError)?;
        let (all, more) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = match length {
            Some(length) => length.trim().parse().ok().filter(|bits| *bits <= all).ok_or(NetworkError)?,
            None => all,
        };
        let bits = bits + more;
        Ok(Network { first: Ipv6Addr::from_bits(wide(address).to_bits() & mask(bits)), bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first.to_ipv4_mapped() {
            Some(first) if self.bits >= 96 => write!(f, "{first}/{}", self.bits - 96),
            _ => write!(f, "{}/{}", self.first, self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.1.2.3/8", "::ffff:10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "203.0.113.7", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "203.0.113.7", ""),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let parsed: Network = network.parse().expect(network);
            assert!(parsed.contains(inside.parse().expect("an address")), "{inside} in {network}");
            assert!(
                outside.is_empty() || !parsed.contains(outside.parse().expect("an address")),
                "{outside} {network}"
            );
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{network}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "::1/129", "proxy.example.com", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
