//! Video, shops and AI assistants. Sources: see the module above; of assistants, Google's announcement of its channel
//! AI Assistant (May 2026) names ChatGPT, Gemini, Claude, Copilot, Perplexity and Grok.

use super::{Site, site};

pub(super) const VIDEO: &[Site] = &[
    site("youtube", &[".youtube.com", "youtu.be", ".youtube-nocookie.com"])
        .apps(&["com.google.android.youtube", "com.google.android.apps.youtube.music"])
        .aliases(&["yt"]),
    site("vimeo", &[".vimeo.com"]).apps(&["com.vimeo.android.videoapp"]),
    site("dailymotion", &[".dailymotion.com", "dai.ly"]).apps(&["com.dailymotion.dailymotion"]),
    site("twitch", &[".twitch.tv"]).apps(&["tv.twitch.android.app"]),
    site("netflix", &[".netflix.com"]).apps(&["com.netflix.mediaclient"]),
    site("hulu", &[".hulu.com"]),
    site("disneyplus", &[".disneyplus.com"]).aliases(&["disney+"]),
    site("crackle", &[".crackle.com"]),
    site("curiositystream", &[".curiositystream.com"]),
    site("ted", &[".ted.com"]),
    site("wistia", &[".wistia.com", ".wistia.net"]),
    site("vidyard", &[".vidyard.com"]),
    site("loom", &[".loom.com"]),
    site("rumble", &[".rumble.com"]),
    site("odysee", &["odysee.com"]),
    site("bitchute", &[".bitchute.com"]),
    site("dtube", &["d.tube"]),
    site("utreon", &[".utreon.com", "playeur.com"]),
    site("veoh", &[".veoh.com"]),
    site("rutube", &[".rutube.ru"]),
    site("vk video", &[".vkvideo.ru"]),
    site("youku", &[".youku.com"]),
    site("iqiyi", &[".iqiyi.com", ".iq.com"]),
    site("bilibili", &[".bilibili.com", "b23.tv"]).apps(&["tv.danmaku.bili"]),
    site("naver tv", &["tv.naver.com"]),
];

#[rustfmt::skip]
const AMAZON: &[&str] = &[
    "com", "ae", "ca", "cn", "co.jp", "co.uk", "co.za", "com.au", "com.be", "com.br", "com.mx", "com.tr", "de", "eg",
    "es", "fr", "ie", "in", "it", "nl", "pl", "sa", "se", "sg",
];

#[rustfmt::skip]
const EBAY: &[&str] = &[
    "com", "at", "be", "ca", "ch", "cn", "co.uk", "com.au", "com.hk", "com.my", "com.sg", "de", "es", "fr", "ie", "in",
    "it", "nl", "ph", "pl",
];

#[rustfmt::skip]
const MERCADOLIBRE: &[&str] = &[
    "com", "cl", "co.cr", "com.ar", "com.bo", "com.co", "com.do", "com.ec", "com.gt", "com.hn", "com.mx", "com.ni",
    "com.pa", "com.pe", "com.py", "com.sv", "com.uy", "com.ve",
];

#[rustfmt::skip]
const SHOPEE: &[&str] = &[
    "com", "cl", "co.id", "co.th", "com.br", "com.co", "com.mx", "com.my", "ph", "pl", "sg", "tw", "vn",
];

pub(super) const SHOPPING: &[Site] = &[
    site("amazon", &[".amazon.*", "amzn.to", "a.co", ".amazon-adsystem.com"])
        .countries(AMAZON)
        .apps(&["com.amazon.mshop.android.shopping"]),
    site("ebay", &[".ebay.*", "ebay.us"]).countries(EBAY).apps(&["com.ebay.mobile"]),
    site("etsy", &[".etsy.com", "etsy.me"]).apps(&["com.etsy.android"]),
    site("walmart", &[".walmart.com", "walmart.ca", "walmart.com.mx"]).apps(&["com.walmart.android"]),
    site("alibaba", &[".alibaba.com"]).apps(&["com.alibaba.intl.android.apps.poseidon"]),
    site("aliexpress", &[".aliexpress.com", "aliexpress.ru", "s.click.aliexpress.com"])
        .apps(&["com.alibaba.aliexpresshd"]),
    site("taobao", &[".taobao.com", ".tmall.com"]),
    site("jd", &[".jd.com"]),
    site("temu", &[".temu.com"]).apps(&["com.einnovation.temu"]),
    site("shein", &[".shein.com"]),
    site("google shopping", &["shopping.google.com"]).aliases(&["google-shopping", "googleshopping"]),
    site("shopify", &[".shopify.com", "shop.app"]).apps(&["com.shopify.arrive"]),
    site("stripe", &[".stripe.com"]),
    site("mercadolibre", &[".mercadolibre.*", ".mercadolivre.com.br"])
        .countries(MERCADOLIBRE)
        .apps(&["com.mercadolibre"])
        .aliases(&["mercadolivre"]),
    site("naver shopping", &[".shopping.naver.com"]),
    site("yahoo shopping", &["shopping.yahoo.com", ".shopping.yahoo.co.jp"]),
    site("rakuten shopping", &["item.rakuten.co.jp", "search.rakuten.co.jp"]),
    site("shopzilla", &[".shopzilla.com"]),
    site("shopping.com", &[".shopping.com"]),
    site("pricerunner", &[".pricerunner.com", ".pricerunner.se", ".pricerunner.dk", ".pricerunner.co.uk"]),
    site("idealo", &[".idealo.de", ".idealo.co.uk", ".idealo.fr", ".idealo.it", ".idealo.es", ".idealo.at"]),
    site("geizhals", &[".geizhals.de", ".geizhals.at", ".geizhals.eu"]),
    site("heureka", &[".heureka.cz", ".heureka.sk"]),
    site("ceneo", &[".ceneo.pl"]),
    site("allegro", &[".allegro.pl"]),
    site("kelkoo", &[".kelkoo.com", ".kelkoo.fr", ".kelkoo.co.uk", ".kelkoo.de", ".kelkoo.it"]),
    site("skroutz", &[".skroutz.gr"]),
    site("yandex market", &[".market.yandex.ru"]),
    site("ozon", &[".ozon.ru"]),
    site("wildberries", &[".wildberries.ru"]),
    site("flipkart", &[".flipkart.com"]).apps(&["com.flipkart.android"]),
    site("lazada", &[".lazada.com", ".lazada.sg", ".lazada.co.th", ".lazada.com.my", ".lazada.com.ph", ".lazada.vn"]),
    site("shopee", &[".shopee.*"]).countries(SHOPEE),
    site("simplycodes", &[".simplycodes.com"]),
];

pub(super) const ASSISTANTS: &[Site] = &[
    site("chatgpt", &[".chatgpt.com", "chat.openai.com"]).apps(&["com.openai.chatgpt"]).aliases(&["openai"]),
    site("gemini", &["gemini.google.com", "bard.google.com"]).apps(&["com.google.android.apps.bard"]),
    site("claude", &[".claude.ai", "claude.com"]).apps(&["com.anthropic.claude"]),
    site("copilot", &["copilot.microsoft.com", "copilot.cloud.microsoft", "m365.cloud.microsoft"])
        .apps(&["com.microsoft.copilot"]),
    site("perplexity", &[".perplexity.ai"]).apps(&["ai.perplexity.app.android"]),
    site("grok", &[".grok.com", "x.ai"]).apps(&["ai.x.grok"]),
    site("meta ai", &["meta.ai"]),
    site("mistral", &["chat.mistral.ai"]),
    site("deepseek", &["chat.deepseek.com", "deepseek.com"]).apps(&["com.deepseek.chat"]),
    site("you.com", &["you.com"]),
    site("poe", &["poe.com"]).apps(&["com.poe.android"]),
    site("doubao", &[".doubao.com"]),
    site("kimi", &["kimi.com", "kimi.moonshot.cn"]),
    site("qwen", &["chat.qwen.ai"]),
];
