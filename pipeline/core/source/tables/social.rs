//! Social networks, forums, messengers and blogs. Sources: see the module above.

use super::{Site, site};

#[rustfmt::skip]
const PINTEREST: &[&str] = &[
    "com", "at", "be", "ca", "ch", "cl", "co", "co.at", "co.in", "co.kr", "co.nz", "co.uk", "com.au", "com.bo",
    "com.br", "com.ec", "com.mx", "com.pe", "com.py", "com.uy", "com.vn", "de", "dk", "ec", "es", "fr", "hu", "id",
    "ie", "in", "info", "it", "jp", "nl", "nz", "pe", "ph", "pt", "ru", "se", "th", "tw", "uk", "vn",
];

#[rustfmt::skip]
const TRIPADVISOR: &[&str] = &[
    "com", "at", "be", "ca", "ch", "cl", "cn", "co", "co.id", "co.il", "co.kr", "co.nz", "co.uk", "co.za", "com.ar",
    "com.au", "com.br", "com.gr", "com.hk", "com.mx", "com.my", "com.pe", "com.ph", "com.sg", "com.tr", "com.tw",
    "com.ve", "com.vn", "cz", "de", "dk", "es", "fi", "fr", "ie", "in", "it", "jp", "nl", "pt", "rs", "ru", "se",
];

#[rustfmt::skip]
const YELP: &[&str] = &[
    "com", "at", "be", "ca", "ch", "cl", "co.jp", "co.nz", "co.uk", "com.ar", "com.au", "com.br", "com.hk", "com.mx",
    "com.ph", "com.sg", "com.tr", "com.tw", "cz", "de", "dk", "es", "fi", "fr", "ie", "it", "my", "nl", "no", "pl",
    "pt", "se",
];

pub(super) const SITES: &[Site] = &[
    site("facebook", &[".facebook.com", "fb.me", "fb.com", "fb.gg", "fb.watch", "facebookcorewwwi.onion"])
        .apps(&["com.facebook.katana", "com.facebook.lite"])
        .aliases(&["fb", "facebook-ads", "facebook_ads", "meta"]),
    site("instagram", &[".instagram.com", "ig.me"])
        .apps(&["com.instagram.android", "com.instagram.lite"])
        .aliases(&["ig", "insta"]),
    site("messenger", &[".messenger.com", "m.me"]).apps(&["com.facebook.orca", "com.facebook.mlite"]),
    site("threads", &[".threads.net", ".threads.com"]).apps(&["com.instagram.barcelona"]),
    site("whatsapp", &[".whatsapp.com", "wa.me", "whatsapp.net"]).apps(&["com.whatsapp", "com.whatsapp.w4b"]),
    site("twitter", &[".twitter.com", ".x.com", "t.co", "tweetdeck.com"])
        .apps(&["com.twitter.android", "com.twitter.android.lite"])
        .aliases(&["x", "twitter-ads", "tweetdeck"]),
    site("linkedin", &[".linkedin.com", "lnkd.in"])
        .apps(&["com.linkedin.android", "com.linkedin.android.lite"])
        .aliases(&["linkedin-ads", "linkedinads"]),
    site("pinterest", &[".pinterest.*", "pin.it"]).countries(PINTEREST).apps(&["com.pinterest"]),
    site("reddit", &[".reddit.com", "redd.it"]).apps(&["com.reddit.frontpage"]),
    site("tiktok", &[".tiktok.com"])
        .apps(&["com.zhiliaoapp.musically", "com.ss.android.ugc.trill"])
        .aliases(&["tiktok-ads", "tik-tok"]),
    site("snapchat", &[".snapchat.com"]).apps(&["com.snapchat.android"]).aliases(&["snap"]),
    site("tumblr", &[".tumblr.com", "t.umblr.com"]).apps(&["com.tumblr"]),
    site("quora", &[".quora.com"]).apps(&["com.quora.android"]),
    site("bluesky", &["bsky.app", "go.bsky.app"]).apps(&["xyz.blueskyweb.app"]).aliases(&["bsky"]),
    site(
        "mastodon",
        &[".mastodon.social", "mastodon.online", "mstdn.social", "mstdn.jp", "joinmastodon.org", "fosstodon.org"],
    )
    .apps(&["org.joinmastodon.android"]),
    site("telegram", &["t.me", "telegram.me", "telegram.org", "web.telegram.org"]).apps(&[
        "org.telegram.messenger",
        "org.telegram.messenger.web",
        "org.thunderdog.challegram",
    ]),
    site("discord", &[".discord.com", ".discordapp.com", "discord.gg"]).apps(&["com.discord"]),
    site("skype", &["skype.com", "web.skype.com"]).apps(&["com.skype.raider"]),
    site("viber", &["viber.com"]).apps(&["com.viber.voip"]),
    site("line", &[".line.me", "line.naver.jp"]).apps(&["jp.naver.line.android"]),
    site("kakao", &[".kakao.com", "kakaocorp.com"]).apps(&["com.kakao.talk"]),
    site("zalo", &[".zalo.me"]).apps(&["com.zing.zalo"]),
    site("wechat", &[".wechat.com", "weixin.qq.com", "mp.weixin.qq.com"])
        .apps(&["com.tencent.mm"])
        .aliases(&["weixin"]),
    site("weibo", &[".weibo.com", ".weibo.cn", "t.cn"]).apps(&["com.sina.weibo"]),
    site("qzone", &[".qzone.qq.com"]),
    site("douban", &[".douban.com"]),
    site("zhihu", &[".zhihu.com"]).apps(&["com.zhihu.android"]),
    site("xiaohongshu", &[".xiaohongshu.com", "xhslink.com"]).apps(&["com.xingin.xhs"]).aliases(&["rednote"]),
    site("tieba", &["tieba.baidu.com"]),
    site("renren", &[".renren.com"]),
    site("naver blog", &["blog.naver.com", "m.blog.naver.com"]).aliases(&["naver-blog"]),
    site("naver cafe", &["cafe.naver.com", "m.cafe.naver.com"]).aliases(&["naver-cafe"]),
    site("vk", &[".vk.com", ".vk.ru", "vk.cc", "vkontakte.ru"])
        .apps(&["com.vkontakte.android"])
        .aliases(&["vkontakte"]),
    site("odnoklassniki", &[".ok.ru", ".odnoklassniki.ru", "odnoklassniki.ua"])
        .apps(&["ru.ok.android"])
        .aliases(&["ok"]),
    site("my.mail.ru", &["my.mail.ru"]),
    site("livejournal", &[".livejournal.com"]),
    site("xing", &[".xing.com"]).apps(&["com.xing.android"]),
    site("viadeo", &["viadeo.com", "viadeo.journaldunet.com"]),
    site("draugiem", &[".draugiem.lv"]),
    site("nextdoor", &[".nextdoor.com", "nextdoor.co.uk", "nextdoor.de"]).apps(&["com.nextdoor"]),
    site("meetup", &[".meetup.com", "meetu.ps"]).apps(&["com.meetup"]),
    site("medium", &[".medium.com"]).apps(&["com.medium.reader"]).aliases(&["medium.com"]),
    site("substack", &["substack.com"]),
    site("wordpress", &[".wordpress.com", "wordpress.org"]),
    site("blogger", &[".blogger.com", ".blogspot.com"]).aliases(&["blogspot"]),
    site("typepad", &[".typepad.com"]),
    site("weebly", &[".weebly.com"]),
    site("google sites", &["sites.google.com"]),
    site("google groups", &["groups.google.com", "googlegroups.com"]),
    site("hackernews", &["news.ycombinator.com"]).aliases(&["hacker-news", "hn"]),
    site("slashdot", &[".slashdot.org"]),
    site("lobsters", &["lobste.rs"]),
    site("producthunt", &[".producthunt.com"]),
    site("stackoverflow", &[".stackoverflow.com", "stackapps.com"]).aliases(&["stackapps"]),
    site("stackexchange", &[".stackexchange.com", "superuser.com", "serverfault.com", "askubuntu.com"]).aliases(&[
        "superuser",
        "serverfault",
        "askubuntu",
    ]),
    site("disqus", &[".disqus.com"]),
    site("flipboard", &[".flipboard.com", "flip.it"]).apps(&["flipboard.app"]),
    site("smartnews", &[".smartnews.com"]).apps(&["jp.gocro.smartnews.android"]),
    site("pocket", &["getpocket.com", "pocket.co"]).apps(&["com.ideashower.readitlater.pro"]),
    site("instapaper", &[".instapaper.com"]),
    site("digg", &[".digg.com"]),
    site("mix", &["mix.com"]),
    site("pinboard", &["pinboard.in"]),
    site("diigo", &[".diigo.com"]),
    site("scoop.it", &[".scoop.it"]),
    site("flickr", &[".flickr.com", "flic.kr"]),
    site("photobucket", &[".photobucket.com"]),
    site("imgur", &[".imgur.com"]).apps(&["com.imgur.mobile"]),
    site("deviantart", &[".deviantart.com"]),
    site("artstation", &[".artstation.com"]),
    site("behance", &[".behance.net"]),
    site("dribbble", &[".dribbble.com"]),
    site("pixiv", &[".pixiv.net"]),
    site("niconico", &[".nicovideo.jp"]),
    site("500px", &[".500px.com"]),
    site("goodreads", &[".goodreads.com"]),
    site("wattpad", &[".wattpad.com"]),
    site("last.fm", &[".last.fm"]),
    site("houzz", &[".houzz.com", "houzz.co.uk", "houzz.de", "houzz.fr"]),
    site("tripadvisor", &[".tripadvisor.*"]).countries(TRIPADVISOR).apps(&["com.tripadvisor.tripadvisor"]),
    site("yelp", &[".yelp.*"]).countries(YELP).apps(&["com.yelp.android"]),
    site("foursquare", &[".foursquare.com"]),
    site("trustpilot", &[".trustpilot.com", "trustpilot.de"]),
    site("glassdoor", &[".glassdoor.com", "glassdoor.co.uk", "glassdoor.de"]),
    site("angi", &[".homeadvisor.com"]).aliases(&["homeadvisor"]),
    site("researchgate", &[".researchgate.net"]),
    site("academia", &[".academia.edu"]),
    site("slideshare", &[".slideshare.net"]),
    site("scribd", &[".scribd.com"]),
    site("gutefrage", &[".gutefrage.net"]),
    site("meneame", &[".meneame.net"]),
    site("taringa", &[".taringa.net"]),
    site("suomi24", &[".suomi24.fi"]),
    site("hatena", &[".hatena.ne.jp", ".hatenablog.com"]),
    site("ameba", &[".ameba.jp", ".ameblo.jp"]),
    site("mixi", &[".mixi.jp"]),
    site("note", &["note.com"]),
    site("yammer", &[".yammer.com"]),
    site("slack", &[".slack.com"]).apps(&["com.slack"]),
    site("microsoft teams", &["teams.microsoft.com", "teams.live.com", "statics.teams.cdn.office.net"])
        .apps(&["com.microsoft.teams"])
        .aliases(&["teams"]),
    site("hootsuite", &[".hootsuite.com", "ow.ly"]),
    site("buffer", &["buffer.com", "buff.ly"]),
    site("linktree", &["linktr.ee"]),
    site("myspace", &[".myspace.com"]),
    site("badoo", &[".badoo.com"]),
    site("fandom", &[".fandom.com"]),
];
