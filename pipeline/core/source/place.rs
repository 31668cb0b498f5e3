//! Addresses: country, region and city by a MaxMind-format database, where one is configured.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use maxminddb::{Reader, geoip2};
use serde::{Deserialize, Serialize};

use super::cache::{Cache, Shared};
use crate::limits::{ADDRESSES_KEPT, SHARED_VALUES_KEPT};

/// Where the visitor's address is. Names are the database's English ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<Arc<str>>,
    /// The largest subdivision of the country, such as a state.
    pub region: Option<Arc<str>>,
    pub city: Option<Arc<str>>,
}

/// A database of places cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    #[error("the places are no database in MaxMind's format ({0}): give the .mmdb file itself, unpacked")]
    Unreadable(#[from] maxminddb::MaxMindDbError),
    #[error("the database holds no places but `{database_type}`: give one of the types City or Country")]
    NoPlaces { database_type: String },
}

/// Reads addresses, and remembers those it has read.
pub(super) struct Places {
    reader: Option<Arc<Reader<Arc<[u8]>>>>,
    known: Cache<Arc<Place>>,
    shared: Shared<Place>,
    none: Arc<Place>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            reader: None,
            known: Cache::new(ADDRESSES_KEPT),
            shared: Shared::new(SHARED_VALUES_KEPT),
            none: Arc::default(),
        }
    }
}

impl Places {
    pub(super) fn new(database: Arc<[u8]>) -> Result<Places, PlacesError> {
        let reader = Reader::from_source(database)?;
        let database_type = &reader.metadata().database_type;
        if !["City", "Country", "Enterprise"].iter().any(|kind| database_type.contains(kind)) {
            return Err(PlacesError::NoPlaces { database_type: database_type.clone() });
        }
        Ok(Places { reader: Some(Arc::new(reader)), ..Places::default() })
    }

    /// The same database with caches of its own.
    pub(super) fn another(&self) -> Places {
        Places { reader: self.reader.clone(), ..Places::default() }
    }

    /// The place of an address. An address that is none, or that the database does not know, has no place.
    pub(super) fn of(&mut self, ip: Option<&str>) -> Arc<Place> {
        let (Some(reader), Some(address)) = (&self.reader, ip.and_then(address)) else {
            return Arc::clone(&self.none);
        };
        // IPv4 inside IPv6 is one address with the IPv4 one, so one number names each.
        let key = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        let shared = &mut self.shared;
        self.known.get_or_make(key, || shared.share(place(reader, address)))
    }
}

/// An address as collectors write it: alone, in brackets, or with a port.
fn address(ip: &str) -> Option<IpAddr> {
    let ip = ip.trim();
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    let parsed: Result<IpAddr, _> = bare.parse();
    let address = parsed.ok().or_else(|| ip.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// A record that is damaged, or not of the database's own type, is one without a place.
fn place(reader: &Reader<Arc<[u8]>>, address: IpAddr) -> Place {
    let Ok(Some(record)) = reader.lookup(address).and_then(|found| found.decode::<geoip2::City<'_>>()) else {
        return Place::default();
    };
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Arc::from);
    let region = record.subdivisions.first().and_then(|region| region.names.english.or(region.iso_code));
    Place { country: text(record.country.iso_code), region: text(region), city: text(record.city.names.english) }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
