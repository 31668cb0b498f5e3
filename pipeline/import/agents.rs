//! Which clients of a web site are nobody: search engines, link previews, feed readers, monitors, libraries, tools.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Whoever has one of these in its user agent, in any case, is a program.
#[rustfmt::skip]
const TOKENS: &[&str] = &[
    // Search engines, archives, and whoever reads the web by the million.
    "bot", "crawl", "spider", "slurp", "mediapartners", "ezooms", "siteexplorer", "yandex.com/bots",
    "baidu.com/search", "archive.org", "heritrix", "nutch", "scrapy", "httrack", "wget", "curl", "teoma",
    "ia_archiver", "ltx71", "panscient", "netcraft", "censys", "zgrab", "masscan", "nmap", "nikto", "sqlmap",
    "nessus", "expanse", "internet-measurement", "seokicks", "domaintools", "grapeshot", "scrape", "harvest",
    "extractor", "indexer", "ahrefs", "semrush",
    // Previews of links.
    "facebookexternalhit", "facebookcatalog", "meta-externalagent", "whatsapp", "skypeuripreview", "embedly",
    "preview", "slack-imgproxy", "iframely", "outbrain", "quora link", "flipboardproxy", "google-read-aloud",
    "bitlybot", "vkshare", "validator", "indy library", "genieo", "reeder/", "sourcer", "google web preview", "google favicon",
    // Feeds.
    "feed", "rss", "liferea", "newsblur", "netvibes", "livejournal.com", "planetplanet", "netnewswire", "newsgator",
    "theoldreader", "inoreader", "bloglines", "akregator", "vienna/", "superfeedr",
    // Monitors and headless browsers.
    "monitor", "pingdom", "uptime", "statuscake", "site24x7", "newrelic", "datadog", "nagios", "check_http", "zabbix",
    "lighthouse", "pagespeed", "gtmetrix", "phantomjs", "headless", "selenium", "puppeteer", "playwright",
    "catchpoint", "kube-probe", "elb-healthchecker", "googlehc", "internal dummy connection",
    // Libraries and tools.
    "python", "java/", "libwww", "lwp::", "perl", "ruby", "php/", "go-http-client", "okhttp", "apache-httpclient",
    "httpclient", "axios", "node-fetch", "undici", "libfetch", "aria2", "postman", "insomnia", "portscout",
    "chef client",
];
/// A maker of telephones whose name ends as a robot's does.
const PEOPLE: [&str; 1] = ["cubot"];

/// Remembers verdicts, and who asked for `/robots.txt`: whoever reads the rules for robots is one, from then on.
#[derive(Default)]
pub(super) struct Agents {
    verdicts: HashMap<u64, bool>,
    asked_for_rules: HashSet<u64>,
}

/// Different user agents whose verdicts are remembered; beyond, the table starts anew.
const VERDICTS_MOST: usize = 50_000;
/// Clients that are remembered as readers of `/robots.txt`; beyond, new ones go by their user agent alone.
const RULE_READERS_MOST: usize = 500_000;

impl Agents {
    /// Whether a request of this client for this path is not a person's. No user agent at all is nobody's; that the log
    /// does not tell it (`None`) proves nothing.
    pub(super) fn is_bot(&mut self, address: &[u8], agent: Option<&[u8]>, path: &str) -> bool {
        let mut hash = Xxh3::new();
        hash.update(&(address.len() as u64).to_le_bytes());
        hash.update(address);
        hash.update(agent.unwrap_or_default());
        let client = hash.digest();
        if path == "/robots.txt" {
            if self.asked_for_rules.len() < RULE_READERS_MOST {
                self.asked_for_rules.insert(client);
            }
            return true;
        }
        self.asked_for_rules.contains(&client) || agent.is_some_and(|agent| self.verdict(agent))
    }

    fn verdict(&mut self, agent: &[u8]) -> bool {
        let key = xxh3_64(agent);
        if let Some(&verdict) = self.verdicts.get(&key) {
            return verdict;
        }
        if self.verdicts.len() >= VERDICTS_MOST {
            self.verdicts.clear();
        }
        let verdict = is_program(agent);
        self.verdicts.insert(key, verdict);
        verdict
    }
}

/// Shorter ones, such as `-` or `Mozilla`, are no browser's.
const AGENT_BYTES_LEAST: usize = 12;

fn is_program(agent: &[u8]) -> bool {
    let mut agent = String::from_utf8_lossy(agent).to_ascii_lowercase();
    for name in PEOPLE {
        agent = agent.replace(name, "");
    }
    agent.trim().len() < AGENT_BYTES_LEAST || TOKENS.iter().any(|token| agent.contains(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_from_programs() {
        for (agent, program) in [
            ("", true),
            ("-", true),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", true),
            ("curl/8.5.0", true),
            ("Tiny Tiny RSS/1.11 (http://tt-rss.org/)", true),
            ("UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/", true),
            ("python-requests/2.31", true),
            ("Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36", false),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", false),
            ("Opera/9.80 (iPhone; Opera Mini/7.0.3/34.1244; U; de) Presto/2.8.119 Version/11.10", false),
            ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", false),
        ] {
            assert_eq!(is_program(agent.as_bytes()), program, "{agent}");
        }
    }

    #[test]
    fn who_reads_the_rules_is_a_robot_from_then_on() {
        let browser = Some(&b"Mozilla/5.0 (Windows NT 6.1; rv:6.0) Gecko/20110814 Firefox/6.0"[..]);
        let mut agents = Agents::default();
        assert!(!agents.is_bot(b"192.0.2.1", browser, "/"));
        assert!(agents.is_bot(b"192.0.2.1", browser, "/robots.txt"));
        assert!(agents.is_bot(b"192.0.2.1", browser, "/"));
        assert!(!agents.is_bot(b"192.0.2.2", browser, "/"));
        assert!(!agents.is_bot(b"192.0.2.3", None, "/"));
    }
}
