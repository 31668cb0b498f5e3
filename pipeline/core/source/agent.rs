//! User agents: browser and system by the patterns of uap-core, the kind of device by our own short rules.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use ua_parser::{os, user_agent};
use xxhash_rust::xxh3::xxh3_128;

use super::cache::{Cache, Shared};
use crate::limits::{SHARED_VALUES_KEPT, USER_AGENT_BYTES, USER_AGENTS_KEPT};

/// What the visitor browses with. Nothing is told of what is not recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Agent {
    /// One of [`DEVICES`].
    pub device: Option<Arc<str>>,
    /// The family, such as `Chrome` or `Mobile Safari`.
    pub browser: Option<Arc<str>>,
    /// The family, such as `Windows`, `iOS` or `Android`.
    pub os: Option<Arc<str>>,
}

/// uap-core's patterns of browsers and systems, made by tables/user_agents.py.
static PATTERNS: &str = include_str!("tables/user_agents.tsv");

struct Families {
    browser: user_agent::Extractor<'static>,
    os: os::Extractor<'static>,
}

/// Compiled when the first user agent is looked at, once for all workers: 0.15 s and 11 MiB.
static FAMILIES: LazyLock<Option<Families>> = LazyLock::new(|| families(PATTERNS).ok());

/// An error here means a broken table in the program itself; a test holds against it.
fn families(patterns: &'static str) -> Result<Families, ua_parser::Error> {
    let (mut browsers, mut systems) = (user_agent::Builder::new(), os::Builder::new());
    for line in patterns.lines() {
        let mut fields = line.split('\t');
        let (kind, regex) = (fields.next(), fields.next().unwrap_or_default().into());
        let family = fields.next().filter(|family| !family.is_empty()).map(Into::into);
        match kind {
            Some("browser") => {
                let parser = user_agent::Parser { regex, family_replacement: family, ..Default::default() };
                browsers = browsers.push(parser)?;
            }
            Some("os") => systems = systems.push(os::Parser { regex, os_replacement: family, ..Default::default() })?,
            _ => {}
        }
    }
    Ok(Families { browser: browsers.build()?, os: systems.build()? })
}

/// Reads user agents, and remembers those it has read.
pub(super) struct Agents {
    known: Cache<Arc<Agent>>,
    shared: Shared<Agent>,
    none: Arc<Agent>,
}

impl Default for Agents {
    fn default() -> Agents {
        Agents { known: Cache::new(USER_AGENTS_KEPT), shared: Shared::new(SHARED_VALUES_KEPT), none: Arc::default() }
    }
}

impl Agents {
    pub(super) fn read(&mut self, user_agent: Option<&str>) -> Arc<Agent> {
        match user_agent.map(str::trim_ascii) {
            None | Some("" | "-") => Arc::clone(&self.none),
            Some(text) => {
                let (known, shared) = (&mut self.known, &mut self.shared);
                known.get_or_make(xxh3_128(text.as_bytes()), || shared.share(agent(text)))
            }
        }
    }
}

fn agent(user_agent: &str) -> Agent {
    let text = &user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES)];
    let families = FAMILIES.as_ref();
    let browser = families.and_then(|families| families.browser.extract(text)).map(|value| value.family);
    let os = families.and_then(|families| families.os.extract(text)).map(|value| value.os);
    let named = |family: &str| (!matches!(family, "" | "Other")).then(|| Arc::from(family));
    Agent {
        device: device(text).map(Arc::from),
        browser: browser.as_deref().and_then(named),
        os: os.as_deref().and_then(named),
    }
}

/// Words of programs that fetch pages with nobody in front of them, and run their scripts as they find them. Own research: access logs, and
/// the pages on which crawlers' operators describe their user agents.
const CRAWLERS: &[&str] = &[
    "bot",
    "crawl",
    "spider",
    "slurp",
    "scrap",
    "fetcher",
    "archiver",
    "indexer",
    "facebookexternalhit",
    "facebookcatalog",
    "mediapartners-google",
    "google-inspectiontool",
    "google-read-aloud",
    "googleother",
    "google web preview",
    "bingpreview",
    "yahoo! slurp",
    "phantomjs",
    "lighthouse",
    "pagespeed",
    "gtmetrix",
    "ptst/",
    "pingdom",
    "uptime",
    "statuscake",
    "monitor",
    "datadog",
    "newrelic",
    "chatgpt-user",
    "claude-user",
    "perplexity-user",
    "oai-searchbot",
    "bytespider",
    "meta-externalagent",
    "whatsapp/",
    "skypeuripreview",
    "linkpreview",
    "embedly",
    "validator",
    "w3c_",
    "feedly",
    "scrapy",
    "masscan",
    "zgrab",
    "nmap",
    "nikto",
    "sqlmap",
    "censys",
    "expanse",
];

/// Words of programs that somebody wrote or drives: what they ask for, they want.
const PROGRAMS: &[&str] = &[
    "headlesschrome",
    "curl/",
    "wget/",
    "libwww",
    "python-",
    "python/",
    "aiohttp",
    "httpx/",
    "go-http-client",
    "java/",
    "apache-httpclient",
    "okhttp",
    "axios/",
    "node-fetch",
    "guzzle",
    "faraday",
    "rest-client",
    "php/",
    "postman",
    "insomnia",
];

/// Names with "bot" in them that are phones.
const NO_BOTS: &[&str] = &["cubot"];

/// Television sets and boxes: what their makers put into user agents.
const TVS: &[&str] = &[
    "smart-tv",
    "smarttv",
    "smart tv",
    "appletv",
    "apple tv",
    "googletv",
    "google tv",
    "android tv",
    "hbbtv",
    "bravia",
    "netcast",
    "web0s",
    "webos.tv",
    "viera",
    "roku",
    "crkey",
    "aquos",
    "philipstv",
    "nettv",
    "; aft",
    "mibox",
    "shield android",
    "dtv",
    "tv safari",
];

const CONSOLES: &[&str] = &["playstation", "xbox", "nintendo"];
const WATCHES: &[&str] = &["watch os", "watchos", "sm-r8", "sm-r9", "wear os"];
const TABLETS: &[&str] =
    &["ipad", "playbook", "kindle", "silk/", "kfthwi", "kfapwi", "nexus 7", "nexus 9", "nexus 10", "sm-t", "sm-x"];
const PHONES: &[&str] = &[
    "mobi",
    "iphone",
    "ipod",
    "windows phone",
    "iemobile",
    "windows ce",
    "blackberry",
    "bb10",
    "opera mini",
    "kaios",
    "symbian",
    "series60",
    "nokia",
    "palmos",
    "midp",
    "j2me",
    "fennec",
    "fban/",
    "cubot",
];
const DESKTOPS: &[&str] = &[
    "windows",
    "macintosh",
    "mac os x",
    "mac_powerpc",
    "x11",
    "linux",
    "cros ",
    "freebsd",
    "openbsd",
    "netbsd",
    "sunos",
    "haiku",
];

/// The kind of device of whatever is no person's.
pub const BOT: &str = "bot";

/// Every kind of device that is told.
pub const DEVICES: [&str; 7] = ["desktop", "mobile", "tablet", "tv", "console", "watch", BOT];

/// Of user agents of the kind [`BOT`], whether it goes through the pages of others, so that nobody calls a number that it is shown. A
/// headless browser, or a program of somebody's own, is none.
pub fn is_crawler(user_agent: &str) -> bool {
    let text = user_agent.to_ascii_lowercase();
    CRAWLERS.iter().any(|word| text.contains(word))
}

/// The kind of device. The order matters: a television names Linux, a tablet Android, and a crawler whatever it plays.
fn device(user_agent: &str) -> Option<&'static str> {
    let text = user_agent.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let android = text.contains("android");
    match () {
        () if (has(CRAWLERS) || has(PROGRAMS)) && !has(NO_BOTS) => Some(BOT),
        () if has(TVS) => Some("tv"),
        () if has(CONSOLES) => Some("console"),
        () if has(WATCHES) => Some("watch"),
        // Android without "Mobile" is a tablet by Google's rule; Windows' "Tablet PC" is an ordinary PC.
        () if has(TABLETS) || (text.contains("tablet") && !text.contains("tablet pc")) => Some("tablet"),
        () if has(PHONES) => Some("mobile"),
        () if android => Some("tablet"),
        () if has(DESKTOPS) => Some("desktop"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_drives_is_no_crawler() {
        for (user_agent, expected) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", true),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36 Chrome-Lighthouse",
                true,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
                false,
            ),
            ("python-requests/2.32.3", false),
            ("okhttp/4.12.0", false),
        ] {
            assert_eq!(device(user_agent), Some(BOT), "{user_agent}");
            assert_eq!(is_crawler(user_agent), expected, "{user_agent}");
        }
    }

    fn words(agent: &Agent) -> [&str; 3] {
        [&agent.device, &agent.browser, &agent.os].map(|word| word.as_deref().unwrap_or("-"))
    }

    #[test]
    fn the_table_compiles() {
        assert!(FAMILIES.is_some());
        assert_eq!(PATTERNS.lines().filter(|line| !line.starts_with('#')).count(), 563);
        assert!(PATTERNS.lines().all(
            |line| line.starts_with(['#', 'b', 'o']) && (line.starts_with('#') || line.matches('\t').count() == 2)
        ));
    }

    #[test]
    fn user_agents_of_the_world() {
        let mut agents = Agents::default();
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                ["desktop", "Chrome", "Windows"],
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.70",
                ["desktop", "Edge", "Windows"],
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
                ["desktop", "Firefox", "Windows"],
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko",
                ["desktop", "IE", "Windows"],
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                ["desktop", "Safari", "Mac OS X"],
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 OPR/115.0.0.0",
                ["desktop", "Opera", "Linux"],
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
                ["desktop", "Firefox", "Ubuntu"],
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
                ["desktop", "Chrome", "Chrome OS"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                ["mobile", "Mobile Safari", "iOS"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
                ["mobile", "Chrome Mobile iOS", "iOS"],
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/480.0.0.33.108]",
                ["mobile", "Facebook", "iOS"],
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
                ["tablet", "Mobile Safari", "iOS"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
                ["mobile", "Chrome Mobile", "Android"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
                ["mobile", "Samsung Internet", "Android"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
                ["tablet", "Chrome", "Android"],
            ),
            (
                "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0",
                ["mobile", "Firefox Mobile", "Android"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                ["mobile", "Chrome Mobile", "Android"],
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/120.1.1 like Chrome/120.0.0.0 Safari/537.36",
                ["tablet", "Amazon Silk", "Android"],
            ),
            (
                "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) 85.0.4183.93/6.5 TV Safari/537.36",
                ["tv", "Safari", "Tizen"],
            ),
            (
                "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
                ["console", "Safari", "-"],
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", ["bot", "Googlebot", "-"]),
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                ["bot", "Googlebot", "Android"],
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
                ["bot", "GPTBot", "-"],
            ),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", ["bot", "FacebookBot", "-"]),
            ("curl/8.5.0", ["bot", "curl", "-"]),
            ("python-requests/2.32.3", ["bot", "Python Requests", "-"]),
            ("", ["-", "-", "-"]),
            ("-", ["-", "-", "-"]),
            ("garbage", ["-", "-", "-"]),
        ] {
            assert_eq!(words(&agents.read(Some(user_agent))), expected, "{user_agent}");
            assert_eq!(words(&agents.read(Some(user_agent))), expected, "{user_agent}, again");
        }
        assert_eq!(words(&agents.read(None)), ["-", "-", "-"]);
        assert_eq!(words(&agents.read(Some(&"ü".repeat(USER_AGENT_BYTES)))), ["-", "-", "-"]);
    }
}
