use super::*;
use crate::settings::Settings;
use crate::source::Surveyor;
use proptest::prelude::*;

const ROUTES: &str = r#"{"numbers":[
    {"number":"+14155550100","kind":"static","source":"billboard"},{"number":"+14155550101","kind":"static"},
    {"number":"+14155550102","kind":"pool","pool":"main"}],
    "sites":[{"name":"shop","origins":["https://shop.example.com"]},{"name":"blog","origins":["https://blog.example.com"]}],
    "pools":[{"name":"main"},{"name":"ads"},{"name":"shop","site":"shop"},{"name":"blog","site":"blog"}],
    "routes":[ROWS]}"#;

fn rules(rows: &str) -> Rules {
    let json = ROUTES.replace("ROWS", rows);
    let settings: Settings = serde_json::from_str(&json).expect(&json);
    assert_eq!(settings.check(), Ok(()), "{json}");
    Rules::new(settings)
}

/// A page view by its members, and the visit that the surveyor makes of it.
fn shown(
    rules: &Rules,
    page_view: &str,
    site: Option<&str>,
    replaces: Option<&str>,
    place: Option<[&str; 3]>,
) -> String {
    let page_view: PageView<'_> = serde_json::from_str(page_view).expect(page_view);
    let visit = Surveyor::default().visit(&page_view);
    let mut ask = RouteAsk::of(&page_view, &visit, site);
    if let Some([country, region, city]) = place {
        (ask.country, ask.region, ask.city) = (Some(country), Some(region), Some(city));
    }
    let ask = ask.replacing(replaces.map(|number| Phone::parse(number).expect(number)));
    match rules.route(&ask) {
        None => "own".to_owned(),
        Some(Shows::Pool(pool)) => pool.name.clone(),
        Some(Shows::Number(number)) => number.to_string(),
    }
}

fn page(url: &str, referrer: &str, language: &str) -> String {
    serde_json::json!({"visitor_id": "v", "url": url, "referrer": referrer, "language": language,
        "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                       Version/17.5 Mobile/15E148 Safari/604.1"})
    .to_string()
}

#[test]
fn one_condition_each() {
    const HOME: &str = "https://www.example.com/";
    for (condition, url, referrer, expected) in [
        (r#""source":"google""#, "/?gclid=x", "", true),
        (r#""source":"Google""#, "/?utm_source=GOOGLE", "", true),
        (r#""source":"google""#, HOME, "https://www.google.de/", true),
        (r#""source":"goo*""#, HOME, "https://www.google.de/", true),
        (r#""source":"google""#, HOME, "https://www.bing.com/", false),
        (r#""source":"(direct)""#, HOME, "", true),
        (r#""source":"(direct)""#, HOME, "https://example.com/other", true),
        (r#""medium":"cpc""#, "/?gclid=x", "", true),
        (r#""medium":"(none)""#, HOME, "", true),
        (r#""campaign":"*summer*""#, "/?utm_source=a&utm_campaign=EU-Summer-26", "", true),
        (r#""campaign":"*""#, HOME, "", false),
        (r#""campaign":"*""#, "/?utm_campaign=x", "", true),
        (r#""referrer_host":"news.example.net""#, HOME, "https://news.example.net/a", true),
        (r#""referrer_host":"example.net""#, HOME, "https://www.example.net/a", true),
        (r#""referrer_host":"www.example.net""#, HOME, "https://example.net/a", true),
        (r#""referrer_host":"*.example.net""#, HOME, "https://WWW.Example.NET/a", true),
        (r#""referrer_host":"*.example.net""#, HOME, "https://example.net/a", false),
        (r#""referrer_host":"*""#, HOME, "https://example.com/a", false),
        (r#""referrer_host":"*""#, HOME, "", false),
        (r#""landing_path":"/""#, "https://example.com", "", true),
        (r#""landing_path":"/offers/*""#, "https://example.com/offers/roof?x=1#y", "", true),
        (r#""landing_path":"/offers/*""#, "https://example.com/Offers/roof", "", false),
        (r#""landing_path":"/gärten""#, "https://example.com/g%C3%A4rten", "", true),
        (r#""landing_path":"/g%C3%A4rten""#, "https://example.com/g%C3%A4rten", "", true),
        (r#""url_parameters":{"ref":"van"}"#, "/?REF=van", "", true),
        (r#""url_parameters":{"ref":"van"}"#, "/?ref=Van", "", false),
        (r#""url_parameters":{"ref":"*"}"#, "/?ref", "", true),
        (r#""url_parameters":{"ref":"*"}"#, "/?refs=1", "", false),
        (r#""url_parameters":{"a":"1","b":"2*"}"#, "/?a=0&b=23&a=1", "", true),
        (r#""url_parameters":{"a":"1","b":"2*"}"#, "/?a=1", "", false),
        (r#""url_parameters":{"q":"roof top"}"#, "/?q=roof+top", "", true),
        (r#""country":"US""#, HOME, "", false),
        (r#""language":"de""#, HOME, "", true),
        (r#""language":"DE-at""#, HOME, "", true),
        (r#""language":"d""#, HOME, "", false),
        (r#""language":"de-CH""#, HOME, "", false),
        (r#""language":"d*""#, HOME, "", true),
        (r#""device":"Mobile""#, HOME, "", true),
        (r#""device":"desktop""#, HOME, "", false),
        (r#""source":"google","device":"desktop""#, "/?gclid=x", "", false),
        (r#""source":"google","device":"mobile""#, "/?gclid=x", "", true),
    ] {
        let rules = rules(&format!(r#"{{{condition},"pool":"main"}}"#));
        let found = shown(&rules, &page(url, referrer, "de-AT,de;q=0.9"), None, None, None);
        assert_eq!(found == "main", expected, "{condition} at {url} from {referrer:?}");
    }
}

#[test]
fn places_sites_and_numbers_on_the_page_are_conditions() {
    let rows = r#"{"replaces":"+4930111111","number":"+14155550101"},{"site":"shop","source":"bing","pool":"ads"},
        {"country":"us","region":"Calif*","pool":"shop"},{"city":"San José","pool":"blog"},{"country":"US","pool":"main"}"#;
    let rules = rules(rows);
    let bing = page("/?msclkid=1", "", "");
    let plain = page("/", "", "");
    let california = Some(["US", "California", "San Jose"]);
    let nowhere = Some(["CR", "San José", "SAN JOSÉ"]);
    for (page_view, site, replaces, place, expected) in [
        (&plain, None, Some("+4930111111"), None, "+14155550101"),
        (&plain, None, Some("+4930111112"), None, "own"),
        (&bing, Some("shop"), None, None, "ads"),
        (&bing, Some("blog"), None, None, "own"),
        (&bing, None, None, None, "own"),
        (&plain, Some("shop"), None, california, "shop"),
        // The pool of another site is passed over, and the next row that fits decides.
        (&plain, Some("blog"), None, california, "main"),
        (&plain, None, None, california, "shop"),
        (&plain, Some("blog"), None, nowhere, "blog"),
        (&plain, Some("shop"), None, nowhere, "own"),
    ] {
        assert_eq!(shown(&rules, page_view, site, replaces, place), expected, "{site:?} {replaces:?} {place:?}");
    }
}

/// The kinds of tracking that other products have modes for, each as rows of the one table.
#[test]
fn every_kind_of_tracking_is_rows_of_one_table() {
    let ad = page("https://example.com/?utm_source=google&utm_medium=cpc", "", "");
    let organic = page("https://example.com/", "https://www.google.com/", "");
    let direct = page("https://example.com/contact", "", "");
    let van = page("https://example.com/?ref=van", "", "");
    for (mode, rows, expected) in [
        ("session-based", r#"{"pool":"main"}"#, ["main"; 4]),
        ("static", r#"{"number":"+14155550101"}"#, ["+14155550101"; 4]),
        (
            "source-based",
            r#"{"source":"google","medium":"cpc","number":"+14155550100"},{"medium":"organic","number":"+14155550101"}"#,
            ["+14155550100", "+14155550101", "own", "own"],
        ),
        (
            "URL-based",
            r#"{"url_parameters":{"ref":"van"},"number":"+14155550100"},{"landing_path":"/contact","number":"+14155550101"}"#,
            ["own", "own", "+14155550101", "+14155550100"],
        ),
        (
            "combined",
            r#"{"medium":"cpc","pool":"ads"},{"url_parameters":{"ref":"van"},"number":"+14155550100"},{"pool":"main"}"#,
            ["ads", "main", "main", "+14155550100"],
        ),
    ] {
        let rules = rules(rows);
        let found = [&ad, &organic, &direct, &van].map(|page_view| shown(&rules, page_view, None, None, None));
        assert_eq!(found, expected, "{mode}");
    }
}

#[test]
fn without_routes_the_first_pool_of_the_site_is_shown() {
    let page_view = page("/", "", "");
    for (pools, site, expected) in [
        ("", None, "own"),
        (r#"{"name":"a"}"#, None, "a"),
        (r#"{"name":"a"}"#, Some("x"), "a"),
        (r#"{"name":"a","site":"y"},{"name":"b","site":"x"},{"name":"c"}"#, Some("x"), "b"),
        (r#"{"name":"a","site":"y"},{"name":"b","site":"x"},{"name":"c"}"#, Some("z"), "c"),
        (r#"{"name":"a","site":"y"}"#, Some("x"), "own"),
        (r#"{"name":"a","site":"y"}"#, None, "a"),
    ] {
        let json = format!(r#"{{"pools":[{pools}]}}"#);
        let rules = Rules::new(serde_json::from_str(&json).expect(&json));
        assert_eq!(shown(&rules, &page_view, site, None, None), expected, "{json} on {site:?}");
    }
}

#[test]
fn stars_stand_for_any_text() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "abc", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("*b*", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("*ab", "aab", true),
        ("*abab", "abaabab", true),
        ("ab", "abc", false),
        ("STRASSE*", "strasse 1", true),
        ("ÄÖ*", "äöx", true),
        ("a?c", "abc", false),
        ("*", "*", true),
    ] {
        assert_eq!(matches(pattern, text, Case::Same), expected, "{pattern} on {text}");
    }
    assert!(!matches("A", "a", Case::Counts));
    // Hostile texts end soon.
    assert!(!matches(&"*a".repeat(500), &format!("{}b", "a".repeat(8_000)), Case::Same));
}

proptest! {
    #[test]
    fn a_pattern_made_of_a_text_fits_it(text in "[ab*Ü]{0,12}", holes in prop::collection::vec((0usize..13, 0usize..4), 0..4)) {
        let mut pattern: Vec<char> = text.chars().collect();
        for (at, long) in holes {
            let (from, to) = (at.min(pattern.len()), (at + long).min(pattern.len()));
            pattern.splice(from..to, ['*']);
        }
        let pattern: String = pattern.into_iter().collect();
        prop_assert!(matches(&pattern, &text, Case::Counts), "{} on {}", pattern, text);
    }
}
