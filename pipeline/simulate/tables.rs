//! What made-up visitors are made of. Hosts of sites are reserved ones (RFC 2606); addresses are those for
//! documentation (RFC 5737).

use super::truth::TrueSource;

/// A way in which visitors come, with the source that contract section 4 names for it.
pub(super) struct Campaign {
    pub(super) truth: TrueSource,
    /// What stands after the `?` of the landing page's URL, up to the click id.
    pub(super) query: &'static str,
    /// The parameter that carries the click id; empty for none.
    pub(super) click_id: &'static str,
    pub(super) referrer: Option<&'static str>,
    /// Relative numbers of visitors by day (6:00 to 18:00, local) and in the evening and night.
    pub(super) by_day: f64,
    pub(super) by_night: f64,
    pub(super) route: Route,
    /// Cents a click; 0: nothing is paid.
    pub(super) cents_per_click: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The pool `ads`, for paid search.
    Ads,
    /// The pool `site`, for all others …
    Site,
    /// … but the newsletter's readers, who see a number of its own.
    Newsletter,
}

const fn campaign(
    truth: (&'static str, &'static str, Option<&'static str>),
    landing: (&'static str, &'static str, Option<&'static str>),
    weights: (f64, f64),
    route: Route,
    cents_per_click: u64,
) -> Campaign {
    Campaign {
        truth: TrueSource { source: truth.0, medium: truth.1, campaign: truth.2 },
        query: landing.0,
        click_id: landing.1,
        referrer: landing.2,
        by_day: weights.0,
        by_night: weights.1,
        route,
        cents_per_click,
    }
}

const GOOGLE: Option<&str> = Some("https://www.google.com/");
const BING: Option<&str> = Some("https://www.bing.com/");

pub(super) const CAMPAIGNS: [Campaign; 15] = [
    campaign(
        ("google", "cpc", Some("spring-sale")),
        ("utm_source=google&utm_medium=cpc&utm_campaign=spring-sale&utm_term=boiler+repair", "gclid", GOOGLE),
        (16.0, 9.0),
        Route::Ads,
        240,
    ),
    campaign(
        ("google", "cpc", Some("emergency")),
        ("utm_source=google&utm_medium=cpc&utm_campaign=emergency&utm_term=emergency+plumber", "gclid", GOOGLE),
        (6.0, 12.0),
        Route::Ads,
        610,
    ),
    campaign(("google", "cpc", None), ("", "gclid", GOOGLE), (8.0, 5.0), Route::Ads, 190),
    campaign(
        ("bing", "cpc", Some("brand")),
        ("utm_source=bing&utm_medium=cpc&utm_campaign=brand", "msclkid", BING),
        (5.0, 2.0),
        Route::Ads,
        95,
    ),
    campaign(
        ("facebook", "paid_social", Some("retargeting")),
        (
            "utm_source=facebook&utm_medium=paid_social&utm_campaign=retargeting&utm_content=video-2",
            "fbclid",
            Some("https://l.facebook.com/"),
        ),
        (5.0, 14.0),
        Route::Site,
        60,
    ),
    campaign(("google", "organic", None), ("", "", GOOGLE), (22.0, 18.0), Route::Site, 0),
    campaign(("bing", "organic", None), ("", "", BING), (4.0, 2.0), Route::Site, 0),
    campaign(("duckduckgo", "organic", None), ("", "", Some("https://duckduckgo.com/")), (2.0, 2.0), Route::Site, 0),
    campaign(("(direct)", "(none)", None), ("", "", None), (16.0, 12.0), Route::Site, 0),
    campaign(
        ("newsletter", "email", Some("november")),
        ("utm_source=newsletter&utm_medium=email&utm_campaign=november", "", None),
        (5.0, 3.0),
        Route::Newsletter,
        0,
    ),
    campaign(("facebook", "social", None), ("", "", Some("https://m.facebook.com/")), (2.0, 5.0), Route::Site, 0),
    campaign(("linkedin", "social", None), ("", "", Some("https://www.linkedin.com/")), (3.0, 1.0), Route::Site, 0),
    campaign(
        ("homeadvice.example", "referral", None),
        ("", "", Some("https://www.homeadvice.example/best-plumbers-near-you")),
        (3.0, 3.0),
        Route::Site,
        0,
    ),
    campaign(
        ("directory.example.org", "referral", None),
        ("", "", Some("https://directory.example.org/services/plumbing?page=2")),
        (2.0, 1.0),
        Route::Site,
        0,
    ),
    campaign(("gmail", "email", None), ("", "", Some("https://mail.google.com/")), (1.0, 1.0), Route::Site, 0),
];

/// The source of the number that readers of the newsletter see: that of its row in [`CAMPAIGNS`].
pub(super) const NEWSLETTER: TrueSource =
    TrueSource { source: "newsletter", medium: "email", campaign: Some("november") };
/// An advertisement on paper, with a number of its own.
pub(super) const PRINT: TrueSource = TrueSource { source: "print", medium: "offline", campaign: Some("yellow-pages") };

/// Paths and titles of the made-up site.
pub(super) const PAGES: [(&str, &str); 12] = [
    ("/", "Home"),
    ("/services", "Our services"),
    ("/services/boiler-repair", "Boiler repair"),
    ("/services/bathrooms", "Bathrooms"),
    ("/services/drains", "Drains & sewers"),
    ("/emergency", "24/7 emergency"),
    ("/prices", "Prices"),
    ("/about", "About us"),
    ("/contact", "Contact"),
    ("/reviews", "What people say: \"excellent\""),
    ("/blog/frozen-pipes", "How to thaw frozen pipes"),
    ("/areas", "Areas we serve"),
];

/// How busy the hours of a local day are; the mean is about 1.
pub(super) const HOURS: [f64; 24] = [
    0.25, 0.18, 0.14, 0.12, 0.14, 0.25, 0.5, 0.8, 1.2, 1.6, 1.75, 1.7, 1.55, 1.5, 1.5, 1.45, 1.4, 1.35, 1.3, 1.3, 1.25,
    1.1, 0.8, 0.5,
];
/// How busy the days of a week are, from Monday on; the mean is 1.
pub(super) const WEEKDAYS: [f64; 7] = [1.15, 1.1, 1.1, 1.1, 1.05, 0.8, 0.7];

pub(super) const LANGUAGES: [&str; 12] = [
    "en-US,en;q=0.9",
    "en-US",
    "en-GB,en;q=0.9",
    "en-GB,en-US;q=0.9,en;q=0.8",
    "es-US,es;q=0.9,en;q=0.8",
    "es-MX,es;q=0.9",
    "fr-CA,fr;q=0.9,en;q=0.7",
    "de-DE,de;q=0.9,en;q=0.8",
    "pl-PL,pl;q=0.9,en;q=0.8",
    "pt-BR,pt;q=0.9",
    "zh-CN,zh;q=0.9",
    "hi-IN,hi;q=0.9,en;q=0.8",
];

pub(super) const AGENT_NAMES: [&str; 8] = ["Ana", "Ben", "Chidi", "Dolores", "Emre", "Freya", "Goran", "Hye-jin"];
pub(super) const TAGS: [&str; 6] = ["quote", "booking", "complaint", "existing customer", "job seeker", "sales pitch"];
pub(super) const NOTES: [&str; 5] = [
    "Wants a visit on Thursday, after 5 pm",
    "Asked for a written quote",
    "Said \"you were cheaper last year\"",
    "Call back when the part is in",
    "Línea mala — llamar de nuevo",
];
pub(super) const STAGES: [&str; 4] = ["new", "quoted", "won", "lost"];
pub(super) const CALLER_LINES: [&str; 6] = [
    "Hi, I found you online. Is anyone free today?",
    "My boiler makes a noise and there's no hot water.",
    "How much would that be, roughly?",
    "Could you send me a quote by email?",
    "There is water under the kitchen sink.",
    "That works for me, thank you.",
];
pub(super) const AGENT_LINES: [&str; 5] = [
    "Good morning, how can I help?",
    "We can be there between two and four.",
    "The call-out is ninety, parts come on top.",
    "May I take your postcode?",
    "You're welcome. Goodbye.",
];

pub(super) const USER_AGENTS: [&str; 30] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/124.0.0.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/535.0.0.40.104]",
    "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.7444.102 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.7390.122 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.7339.155 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
    "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
];
/// From this index of [`USER_AGENTS`] on, the browser runs on a phone or tablet, where a tap on a number dials it.
pub(super) const FIRST_MOBILE: usize = 13;
