//! Which sites are search engines, social networks, mail, video, shops and AI assistants, and what they are called.
//!
//! Where the knowledge comes from: the categories and names follow those that Google publishes for its default channel
//! groups (support.google.com/analytics/answer/9756891, "source categories"); hosts, country domains, link shorteners
//! and apps come from the operators' own pages (www.google.com/supported_domains, the apps' pages in Google Play) and
//! from referrers seen in access logs. Nothing is taken from other referrer databases.
//!
//! To add a site: one entry in the file of its kind. A test refuses names and hosts that stand twice.

mod listed;
mod mail;
mod other;
mod search;
mod social;

use std::sync::LazyLock;

use memchr::memchr;
use rustc_hash::FxHashMap;

use super::url::lower;

/// What a site is to its visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Search,
    Social,
    Mail,
    Video,
    Shopping,
    Assistant,
}

impl Kind {
    /// The medium of a visit that such a site referred.
    pub(super) fn medium(self) -> &'static str {
        match self {
            Kind::Search => "organic",
            Kind::Social => "social",
            Kind::Mail => "email",
            Kind::Video | Kind::Shopping => "referral",
            Kind::Assistant => "ai-assistant",
        }
    }
}

/// One site, under the name that people know it by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub name: &'static str,
    /// Hosts without `www.`. A leading dot takes in every host below; a final `.*` stands for each of `countries`.
    hosts: &'static [&'static str],
    countries: &'static [&'static str],
    /// Android packages.
    apps: &'static [&'static str],
    /// What else people write into `utm_source` for it. A host among them counts as a source alone: Google's list has mail
    /// of Yandex among search engines, and as a referrer it is mail.
    aliases: &'static [&'static str],
}

const fn site(name: &'static str, hosts: &'static [&'static str]) -> Site {
    Site { name, hosts, countries: &[], apps: &[], aliases: &[] }
}

impl Site {
    const fn countries(self, countries: &'static [&'static str]) -> Site {
        Site { countries, ..self }
    }

    const fn apps(self, apps: &'static [&'static str]) -> Site {
        Site { apps, ..self }
    }

    const fn aliases(self, aliases: &'static [&'static str]) -> Site {
        Site { aliases, ..self }
    }
}

const TABLES: [(Kind, &[Site]); 10] = [
    (Kind::Search, search::SITES),
    (Kind::Social, social::SITES),
    (Kind::Mail, mail::SITES),
    (Kind::Video, other::VIDEO),
    (Kind::Shopping, other::SHOPPING),
    (Kind::Assistant, other::ASSISTANTS),
    (Kind::Search, listed::SEARCH),
    (Kind::Social, listed::SOCIAL),
    (Kind::Video, listed::VIDEO),
    (Kind::Shopping, listed::SHOPPING),
];

#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub name: &'static str,
    pub kind: Kind,
    hosts_below: bool,
}

/// Read-only once it is made, and only ever asked by key.
#[derive(Default)]
struct Index {
    hosts: FxHashMap<Box<str>, Known>,
    apps: FxHashMap<&'static str, Known>,
    names: FxHashMap<&'static str, Known>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::default();
    for (kind, sites) in TABLES {
        for site in sites {
            let known = |hosts_below| Known { name: site.name, kind, hosts_below };
            for (host, hosts_below) in expanded(site) {
                index.hosts.insert(host.into_boxed_str(), known(hosts_below));
            }
            index.apps.extend(site.apps.iter().map(|app| (*app, known(false))));
            index.names.insert(site.name, known(false));
            index.names.extend(site.aliases.iter().map(|alias| (*alias, known(false))));
        }
    }
    index
});

/// The hosts of a site, each with whether those below it belong to it too.
fn expanded(site: &'static Site) -> impl Iterator<Item = (String, bool)> {
    site.hosts.iter().flat_map(|host| {
        let (host, below) = host.strip_prefix('.').map_or((*host, false), |host| (host, true));
        let (stem, suffixes) = host.strip_suffix('*').map_or((host, &[""][..]), |stem| (stem, site.countries));
        suffixes.iter().map(move |suffix| (format!("{stem}{suffix}"), below))
    })
}

/// The site of a host in its one form, without `www.`.
pub(super) fn site_of_host(host: &str) -> Option<Known> {
    let hosts = &INDEX.hosts;
    if let Some(known) = hosts.get(host) {
        return Some(*known);
    }
    let mut rest = host;
    while let Some(dot) = memchr(b'.', rest.as_bytes()) {
        rest = &rest[dot + 1..];
        if let Some(known) = hosts.get(rest).filter(|known| known.hosts_below) {
            return Some(*known);
        }
    }
    None
}

/// The site of an Android package.
pub(super) fn site_of_app(package: &str) -> Option<Known> {
    INDEX.apps.get(package).copied()
}

/// The kind of a source: a site's name, another name for it, or its host.
pub(super) fn kind_of(source: &str) -> Option<Kind> {
    let source = lower(source);
    let known = INDEX.names.get(source.as_ref()).copied();
    let by_host = || site_of_host(source.strip_prefix("www.").unwrap_or(&source));
    known.or_else(|| if source.contains('.') { by_host() } else { None }).map(|known| known.kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::url::host_of;
    use super::*;

    #[test]
    fn nothing_stands_twice_and_all_is_in_its_one_form() {
        let (mut names, mut hosts, mut apps) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for site in TABLES.iter().flat_map(|(_, sites)| *sites) {
            for name in site.aliases.iter().chain([&site.name]) {
                assert!(names.insert(*name), "the name {name} stands twice");
                assert_eq!(*name, name.to_lowercase());
            }
            for (host, _) in expanded(site) {
                assert_eq!(host_of(&format!("https://{host}/")).as_deref(), Some(host.as_str()));
                assert!(!host.starts_with("www.") && host.contains('.'), "{host}");
                assert!(hosts.insert(host.clone()), "the host {host} stands twice");
            }
            assert!(site.apps.iter().all(|app| apps.insert(*app)), "an app of {} stands twice", site.name);
            assert!(site.hosts.iter().any(|host| host.ends_with('*')) != site.countries.is_empty(), "{}", site.name);
        }
    }

    #[test]
    fn listed_sites_are_named_by_their_hosts() {
        let listed = [listed::SEARCH, listed::SOCIAL, listed::VIDEO, listed::SHOPPING];
        for site in listed.into_iter().flatten() {
            assert!(matches!(site.hosts, [host] if *host == site.name) || site.hosts.is_empty(), "{}", site.name);
            assert!(site.countries.is_empty() && site.apps.is_empty(), "{}", site.name);
        }
        // Of the 819 of Google's list; the others are those of the other files.
        assert_eq!(listed.into_iter().flatten().map(|site| 1 + site.aliases.len()).sum::<usize>(), 391);
    }

    #[test]
    fn hosts_below_count_where_the_table_says_so() {
        for (host, expected) in [
            ("google.co.uk", Some("google")),
            ("docs.google.com", None),
            ("google.evil.example", None),
            ("de.search.yahoo.com", Some("yahoo")),
            ("finance.yahoo.com", None),
            ("en-gb.facebook.com", Some("facebook")),
            ("notfacebook.com", None),
            ("tieba.baidu.com", Some("tieba")),
            ("tinyurl.com", Some("tinyurl.com")),
            ("x.tinyurl.com", None),
            ("answers.yahoo.com", Some("answers.yahoo.com")),
        ] {
            assert_eq!(site_of_host(host).map(|known| known.name), expected, "{host}");
        }
    }
}
