//! Page views as they come, and what is said of them.

use proptest::prelude::*;

use super::*;
use crate::event::{PageView, Text};

fn view<'a>(url: &'a str, referrer: &'a str) -> PageView<'a> {
    PageView {
        url: url.into(),
        referrer: Some(referrer).filter(|text| !text.is_empty()).map(Text::from),
        ..PageView::default()
    }
}

/// Each line: URL, referrer, then source, medium, campaign, channel, click id.
fn check(cases: &[(&str, &str, &str)]) {
    let mut surveyor = Surveyor::default();
    for (url, referrer, expected) in cases {
        let page_view = view(url, referrer);
        let visit = surveyor.visit(&page_view);
        let campaign = visit.utm.campaign.as_deref().unwrap_or("-");
        let click = visit.click_id.as_ref().map_or("-".to_owned(), |(kind, id)| format!("{}={id}", kind.name()));
        let told = format!("{} | {} | {campaign} | {} | {click}", visit.source, visit.medium, visit.channel.name());
        assert_eq!(told, *expected, "{url} from {referrer}");
    }
}

const PAGE: &str = "https://www.shop.example/a";

#[test]
fn campaigns_decide() {
    check(&[
        (
            "https://shop.example/?utm_source=Google&utm_medium=CPC&utm_campaign=spring+sale%21",
            "https://t.co/x",
            "Google | CPC | spring sale! | Paid Search | -",
        ),
        ("https://shop.example/?UTM_Source=crm&Utm_MEDIUM=email&utm_campaign=", "", "crm | email | - | Email | -"),
        ("https://shop.example/?utm_source=flyer", "https://www.google.com/", "flyer | (not set) | - | Unassigned | -"),
        ("https://shop.example/?utm_source=chatgpt.com", "", "chatgpt.com | (not set) | - | AI Assistant | -"),
        ("https://shop.example/?utm_source=&utm_source=b&utm_medium=cpc", "", "b | cpc | - | Paid Other | -"),
        ("https://shop.example/?utm_source=%20+&utm_medium=cpc", "", "(direct) | (none) | - | Direct | -"),
        // A medium without a source is nobody's.
        ("https://shop.example/?utm_medium=email&utm_campaign=c", "", "(direct) | (none) | c | Direct | -"),
        (
            "https://shop.example/?utm_campaign=c",
            "https://www.bing.com/search",
            "bing | organic | c | Organic Search | -",
        ),
        ("/path?utm_source=a&utm_medium=affiliate", "", "a | affiliate | - | Affiliates | -"),
        ("https://shop.example/#?utm_source=a", "", "(direct) | (none) | - | Direct | -"),
        ("https://shop.example/?utm_source=%C3%BCber&utm_medium=sms", "", "über | sms | - | SMS | -"),
    ]);
}

#[test]
fn click_ids_decide_where_no_campaign_does() {
    check(&[
        ("https://shop.example/?gclid=Cj0K", "https://www.google.com/", "google | cpc | - | Paid Search | gclid=Cj0K"),
        ("https://shop.example/?gbraid=1", "", "google | cpc | - | Paid Search | gbraid=1"),
        ("https://shop.example/?wbraid=1", "", "google | cpc | - | Paid Search | wbraid=1"),
        ("https://shop.example/?dclid=1", "", "google | display | - | Display | dclid=1"),
        ("https://shop.example/?msclkid=1", "", "bing | cpc | - | Paid Search | msclkid=1"),
        (
            "https://shop.example/?FBCLID=Iw",
            "https://l.facebook.com/",
            "facebook | paid_social | - | Paid Social | fbclid=Iw",
        ),
        ("https://shop.example/?ttclid=1", "", "tiktok | paid_social | - | Paid Social | ttclid=1"),
        ("https://shop.example/?twclid=1", "", "twitter | paid_social | - | Paid Social | twclid=1"),
        ("https://shop.example/?li_fat_id=1", "", "linkedin | paid_social | - | Paid Social | li_fat_id=1"),
        ("https://shop.example/?yclid=1", "", "yandex | cpc | - | Paid Search | yclid=1"),
        ("https://shop.example/?ScCid=1", "", "snapchat | paid_social | - | Paid Social | sccid=1"),
        ("https://shop.example/?rdt_cid=1", "", "reddit | paid_social | - | Paid Social | rdt_cid=1"),
        ("https://shop.example/?epik=1", "", "pinterest | paid_social | - | Paid Social | epik=1"),
        // The table's order decides, not the URL's.
        ("https://shop.example/?yclid=3&fbclid=2&gclid=1", "", "google | cpc | - | Paid Search | gclid=1"),
        ("https://shop.example/?gclid=&fbclid=2", "", "facebook | paid_social | - | Paid Social | fbclid=2"),
        ("https://shop.example/?gclid=1&gclid=2", "", "google | cpc | - | Paid Search | gclid=1"),
        // Recorded in any case.
        (
            "https://shop.example/?utm_source=news&utm_medium=email&gclid=a%2Bb",
            "",
            "news | email | - | Email | gclid=a+b",
        ),
        (
            "https://shop.example/?gclid=1&utm_campaign=Shopping",
            "",
            "google | cpc | Shopping | Paid Shopping | gclid=1",
        ),
    ]);
}

#[test]
fn referrers_decide_last() {
    let cases = [
        ("https://www.google.com/", "google | organic | - | Organic Search | -"),
        ("https://www.google.co.uk/url?q=x", "google | organic | - | Organic Search | -"),
        ("HTTP://WWW.GOOGLE.COM.BR:80/", "google | organic | - | Organic Search | -"),
        ("https://docs.google.com/x", "docs.google.com | referral | - | Referral | -"),
        ("https://www.google.com.evil.example/", "google.com.evil.example | referral | - | Referral | -"),
        ("https://www.google.com@evil.example/", "evil.example | referral | - | Referral | -"),
        ("https://cn.bing.com/search?q=x", "bing | organic | - | Organic Search | -"),
        ("https://duckduckgo.com/", "duckduckgo | organic | - | Organic Search | -"),
        ("https://yandex.ru/", "yandex | organic | - | Organic Search | -"),
        ("https://yandex.com.tr/search", "yandex | organic | - | Organic Search | -"),
        ("https://ya.ru/", "yandex | organic | - | Organic Search | -"),
        ("https://m.baidu.com/", "baidu | organic | - | Organic Search | -"),
        ("https://m.search.naver.com/", "naver | organic | - | Organic Search | -"),
        ("https://search.seznam.cz/", "seznam | organic | - | Organic Search | -"),
        ("https://uk.search.yahoo.com/", "yahoo | organic | - | Organic Search | -"),
        ("https://search.yahoo.co.jp/", "yahoo | organic | - | Organic Search | -"),
        ("https://www.ecosia.org/", "ecosia | organic | - | Organic Search | -"),
        ("https://search.brave.com/", "brave | organic | - | Organic Search | -"),
        ("https://www.sogou.com/", "sogou | organic | - | Organic Search | -"),
        ("https://go.mail.ru/", "mail.ru search | organic | - | Organic Search | -"),
        ("https://l.facebook.com/l.php", "facebook | social | - | Organic Social | -"),
        ("https://lm.facebook.com/", "facebook | social | - | Organic Social | -"),
        ("https://l.instagram.com/", "instagram | social | - | Organic Social | -"),
        ("https://t.co/abc", "twitter | social | - | Organic Social | -"),
        ("https://x.com/", "twitter | social | - | Organic Social | -"),
        ("https://lnkd.in/abc", "linkedin | social | - | Organic Social | -"),
        ("https://www.linkedin.com/", "linkedin | social | - | Organic Social | -"),
        ("https://old.reddit.com/r/x", "reddit | social | - | Organic Social | -"),
        ("https://de.pinterest.com/", "pinterest | social | - | Organic Social | -"),
        ("https://www.pinterest.co.uk/", "pinterest | social | - | Organic Social | -"),
        ("https://away.vk.com/", "vk | social | - | Organic Social | -"),
        ("https://news.ycombinator.com/", "hackernews | social | - | Organic Social | -"),
        ("https://www.plurk.com/x", "plurk.com | social | - | Organic Social | -"),
        ("https://me.plurk.com/x", "me.plurk.com | referral | - | Referral | -"),
        ("https://bit.ly/x", "bit.ly | social | - | Organic Social | -"),
        ("https://ow.ly/x", "hootsuite | social | - | Organic Social | -"),
        ("https://imageshack.us/x", "imageshack.us | social | - | Organic Social | -"),
        ("https://answers.yahoo.com/", "answers.yahoo.com | social | - | Organic Social | -"),
        ("https://sp.nicovideo.jp/", "niconico | social | - | Organic Social | -"),
        ("https://superuser.com/q/1", "stackexchange | social | - | Organic Social | -"),
        ("https://viadeo.journaldunet.com/", "viadeo | social | - | Organic Social | -"),
        ("https://www.justin.tv/", "justin.tv | referral | - | Organic Video | -"),
        ("https://uk.shopping.net/", "uk.shopping.net | referral | - | Organic Shopping | -"),
        ("https://webmaster.yandex.ru/", "webmaster.yandex.ru | referral | - | Organic Search | -"),
        ("https://mail.yandex.ru/", "yandex mail | email | - | Email | -"),
        ("https://email.seznam.cz/", "seznam email | email | - | Email | -"),
        ("https://www.youtube.com/", "youtube | referral | - | Organic Video | -"),
        ("https://www.amazon.de/", "amazon | referral | - | Organic Shopping | -"),
        ("https://mail.google.com/mail/u/0/", "gmail | email | - | Email | -"),
        ("https://outlook.live.com/", "outlook | email | - | Email | -"),
        ("https://e.mail.ru/", "mail.ru | email | - | Email | -"),
        ("https://chatgpt.com/", "chatgpt | ai-assistant | - | AI Assistant | -"),
        ("https://gemini.google.com/app", "gemini | ai-assistant | - | AI Assistant | -"),
        ("https://www.perplexity.ai/", "perplexity | ai-assistant | - | AI Assistant | -"),
        ("android-app://com.google.android.gm/", "gmail | email | - | Email | -"),
        ("android-app://com.google.android.googlequicksearchbox/", "google | organic | - | Organic Search | -"),
        ("android-app://com.linkedin.android", "linkedin | social | - | Organic Social | -"),
        ("Android-App://com.amazon.mShop.android.shopping/", "amazon | referral | - | Organic Shopping | -"),
        ("android-app://org.example.Reader/", "org.example.reader | referral | - | Referral | -"),
        ("https://www.Blog.Example:8443/x", "blog.example | referral | - | Referral | -"),
        ("https://bücher.example/", "xn--bcher-kva.example | referral | - | Referral | -"),
        ("https://[2001:db8::1]/", "[2001:db8::1] | referral | - | Referral | -"),
        ("//blog.example/x", "blog.example | referral | - | Referral | -"),
        ("http://localhost:3000/", "localhost | referral | - | Referral | -"),
        // Other hosts of the same owner are others.
        ("https://blog.shop.example/", "blog.shop.example | referral | - | Referral | -"),
    ];
    check(&cases.map(|(referrer, expected)| (PAGE, referrer, expected)));
}

#[test]
fn the_pages_own_host_is_no_referrer() {
    for (told, kept) in [
        ("", None),
        ("https://www.shop.example/b", None),
        ("HTTP://SHOP.EXAMPLE.:8080/", None),
        ("https://blog.shop.example/", Some("https://blog.shop.example/")),
        ("android-app://shop.example", Some("android-app://shop.example")),
        ("about:blank", Some("about:blank")),
    ] {
        let page_view = view("https://shop.example/a?utm_source=x", told);
        assert_eq!(Surveyor::default().visit(&page_view).referrer, kept, "{told}");
    }
}

#[test]
fn no_referrer_is_direct() {
    let cases = [
        "",
        "https://www.shop.example/",
        "http://shop.example:8080/b?utm_source=x",
        "HTTPS://SHOP.EXAMPLE./",
        "about:blank",
        "file:///C:/page.html",
        "chrome-extension://abcdef/popup.html",
        "javascript:void(0)",
        "google.com",
        "https://",
        "https://%%%/",
        "https://a b/",
        "https://host:port/",
        "\u{0}",
        "-",
    ];
    check(&cases.map(|referrer| (PAGE, referrer, "(direct) | (none) | - | Direct | -")));
    check(&[
        ("https://bücher.example/", "https://www.xn--bcher-kva.example/", "(direct) | (none) | - | Direct | -"),
        ("", "", "(direct) | (none) | - | Direct | -"),
        ("garbage", "https://www.google.com/", "google | organic | - | Organic Search | -"),
    ]);
}

#[test]
fn terms_contents_and_languages() {
    let mut surveyor = Surveyor::default();
    let url = "https://shop.example/?utm_term=red+shoes&utm_content=b%26w&gclid=1";
    for (language, expected) in
        [("en-US,en;q=0.9", Some("en-US")), (" de ;q=1", Some("de")), ("*", None), ("", None), (",", None)]
    {
        let page_view = PageView { language: Some(language.into()), ..view(url, "") };
        let visit = surveyor.visit(&page_view);
        assert_eq!(visit.language.as_deref(), expected, "{language}");
        assert_eq!((visit.utm.term.as_deref(), visit.utm.content.as_deref()), (Some("red shoes"), Some("b&w")));
    }
}

#[test]
fn a_surveyor_can_go_to_a_worker() {
    fn sendable<T: Send + 'static>() {}
    sendable::<Surveyor>();
}

/// Text with the pieces in it that the rules look for.
fn text() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "https://",
        "android-app://",
        "//",
        "www.",
        "google.",
        "com",
        "facebook.com",
        "[",
        "]",
        ":",
        "@",
        "/",
        "?",
        "#",
        "&",
        "=",
        "%",
        "%C3",
        "+",
        "utm_source",
        "utm_medium=cpc",
        "gclid=",
        "fbclid=1",
        "xn--",
        "ü",
        "\u{202e}",
        ".",
        "\\",
    ];
    let piece = prop_oneof![3 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_memory_changes_no_answer(
        texts in prop::collection::vec((text(), text(), text(), text(), text()), 1..4),
    ) {
        let views: Vec<PageView<'_>> = texts
            .iter()
            .map(|(url, referrer, user_agent, ip, language)| PageView {
                url: url.as_str().into(),
                referrer: Some(referrer.as_str().into()),
                user_agent: Some(user_agent.as_str().into()),
                ip: Some(ip.as_str().into()),
                language: Some(language.as_str().into()),
                ..PageView::default()
            })
            .collect();
        let mut remembering = Surveyor::default();
        for view in views.iter().chain(&views) {
            let fresh = Surveyor::default().visit(view);
            prop_assert_eq!(&remembering.visit(view), &fresh);
            prop_assert!(!fresh.source.is_empty() && !fresh.medium.is_empty());
            prop_assert_eq!(fresh.channel, channel(&fresh.source, &fresh.medium, fresh.utm.campaign.as_deref()));
        }
    }

    #[test]
    fn parts_of_a_url_are_parts_of_it(url in text()) {
        let parts = url_parts(&url);
        prop_assert!([parts.scheme, parts.host, parts.path, parts.query].iter().all(|part| url.contains(part)));
        if let Some(host) = host_of(&url) {
            let again = format!("https://{host}/");
            prop_assert_eq!(host_of(&again), Some(host.clone()), "the one form of a host is its own");
        }
    }
}
