//! Which addresses a webhook may be sent to: public ones, and others only where the configuration allows them. A name is looked up
//! here and connected to at the very addresses that were looked at, so that a name cannot change between.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::config::Network;

/// Nobody's public address (IANA, special-purpose registries, and multicast).
const NOT_PUBLIC: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// Only these of IPv6 are public at all (RFC 4291, 2.4; the registry of global unicast), …
const PUBLIC_6: &str = "2000::/3";
/// … and of them not these: Teredo and others of 2001::/23, documentation.
const NOT_PUBLIC_6: [&str; 3] = ["2001::/23", "2001:db8::/32", "3fff::/20"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0} is no public address, and notify.allow does not name it")]
    NotPublic(IpAddr),
    #[error("{0} has no public address, and notify.allow names none that it has")]
    NoneOf(String),
    #[error("{0} cannot be found: {1}")]
    Unknown(String, String),
}

/// Who may be reached.
#[derive(Debug, Clone)]
pub struct Guard {
    not_public: Arc<[Network]>,
    public_6: Arc<[Network]>,
    allow: Arc<[Network]>,
}

impl Guard {
    pub fn new(allow: &[Network]) -> Guard {
        let parsed = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
        let not_public = [&NOT_PUBLIC[..], &NOT_PUBLIC_6[..]].concat();
        Guard { not_public: parsed(&not_public), public_6: parsed(&[PUBLIC_6]), allow: allow.into() }
    }

    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[Network], address| networks.iter().any(|network| network.contains(address));
        let public = |address: IpAddr| match address {
            IpAddr::V4(_) => !within(&self.not_public, address),
            IpAddr::V6(_) => within(&self.public_6, address) && !within(&self.not_public, address),
        };
        let inner = match address {
            IpAddr::V6(address) => inner(address),
            IpAddr::V4(_) => None,
        };
        let open = match inner {
            Some(inner) => public(IpAddr::V4(inner)),
            None => public(address),
        };
        open || within(&self.allow, address)
    }

    /// # Errors
    /// The URL names an address that may not be reached. A name is looked at when it is looked up.
    pub fn check(&self, url: &Url) -> Result<(), AddressError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.permits(address) { Ok(()) } else { Err(AddressError::NotPublic(address)) }
    }
}

/// The IPv4 address that is reached by way of an IPv6 one: NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Looks names up and keeps those addresses that may be reached.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await;
            let found = found.map_err(|error| AddressError::Unknown(host.clone(), error.to_string()))?;
            let permitted: Vec<SocketAddr> = found.filter(|address| guard.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(AddressError::NoneOf(host).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached() {
        let allow = ["10.1.0.0/16", "fd00:1::/32"].map(|text| text.parse().expect("a network"));
        let guard = Guard::new(&allow);
        for (address, permitted) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("127.8.0.1", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("10.1.2.3", true),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("198.18.0.1", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::ffff:10.1.2.3", true),
            ("::127.0.0.1", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("fd00:1::1", true),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("2002:7f00:1::", false),
            ("2002:a00:1::", false),
            ("2001:0:1::1", false),
            ("2001:db8::1", false),
            ("fec0::1", false),
        ] {
            assert_eq!(guard.permits(address.parse().expect("an address")), permitted, "{address}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_looked_at_however_it_is_written() {
        let guard = Guard::new(&[]);
        for (url, permitted) in [
            ("https://example.com/", true),
            ("http://127.0.0.1/", false),
            ("http://2130706433/", false),
            ("http://0x7f.1/", false),
            ("http://017700000001/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:7f00:1]/", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("https://8.8.8.8/", true),
        ] {
            assert_eq!(guard.check(&Url::parse(url).expect("a URL")).is_ok(), permitted, "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_reached() {
        let name = || "localhost".parse::<Name>().expect("a name");
        assert!(Guard::new(&[]).resolve(name()).await.is_err());
        let own = ["127.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
        let found: Vec<SocketAddr> = Guard::new(&own).resolve(name()).await.expect("allowed").collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()));
    }
}
