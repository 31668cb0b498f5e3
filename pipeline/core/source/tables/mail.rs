//! Mail on the web and as apps. Sources: see the module above.

use super::{Site, site};

pub(super) const SITES: &[Site] = &[
    site("gmail", &["mail.google.com", "inbox.google.com", "gmail.com"])
        .apps(&["com.google.android.gm", "com.google.android.gm.lite"]),
    site(
        "outlook",
        &[
            ".outlook.live.com",
            ".outlook.office.com",
            ".outlook.office365.com",
            "outlook.com",
            ".mail.live.com",
            "hotmail.com",
            ".safelinks.protection.outlook.com",
            "outlook.cloud.microsoft",
        ],
    )
    .apps(&["com.microsoft.office.outlook"])
    .aliases(&["hotmail"]),
    site("yahoo mail", &[".mail.yahoo.com", "mail.yahoo.co.jp"]).apps(&["com.yahoo.mobile.client.android.mail"]),
    site("aol mail", &[".mail.aol.com"]).apps(&["com.aol.mobile.aolapp"]),
    site("icloud mail", &["icloud.com"]),
    site("proton mail", &["mail.proton.me", "mail.protonmail.com", "protonmail.com"]).apps(&["ch.protonmail.android"]),
    site("fastmail", &[".fastmail.com"]).apps(&["com.fastmail.app"]),
    site("tuta", &["app.tuta.com", "mail.tutanota.com"]).apps(&["de.tutao.tutanota"]),
    site("zoho mail", &["mail.zoho.com", "mail.zoho.eu", "mail.zoho.in"]).apps(&["com.zoho.mail"]),
    site("gmx", &["navigator.gmx.net", "bap.navigator.gmx.net", "deref-gmx.net", "3c.gmx.net", "navigator-bs.gmx.com"])
        .apps(&["de.gmx.mobile.android.mail"]),
    site("web.de", &["navigator.web.de", "bap.navigator.web.de", "deref-web.de", "deref-web-02.de", "3c.web.de"])
        .apps(&["de.web.mobile.android.mail"]),
    site("t-online mail", &["email.t-online.de"]),
    site("freenet mail", &["email.freenet.de"]),
    site("orange mail", &["mail.orange.fr", "webmail.orange.fr", "mail01.orange.fr"]),
    site("laposte", &["webmail.laposte.net"]),
    site("free", &["webmail.free.fr", "zimbra.free.fr"]),
    site("libero mail", &["mail.libero.it", "mail1.libero.it"]),
    site("virgilio mail", &["mail.virgilio.it"]),
    site("mail.ru", &["e.mail.ru", "touch.mail.ru", "light.mail.ru"]).apps(&["ru.mail.mailapp"]),
    site("yandex mail", &["mail.yandex.ru", "mail.yandex.com", "mail.yandex.by", "mail.yandex.kz", "mail.yandex.ua"])
        .apps(&["ru.yandex.mail"]),
    site("rambler mail", &["mail.rambler.ru"]),
    site("ukr.net mail", &["mail.ukr.net", "secureurl.ukr.net"]),
    site("seznam email", &["email.seznam.cz"]).apps(&["cz.seznam.email"]),
    site("wp poczta", &["poczta.wp.pl", "profil.wp.pl"]),
    site("onet poczta", &["poczta.onet.pl"]),
    site("interia poczta", &["poczta.interia.pl"]),
    site("o2 poczta", &["poczta.o2.pl"]),
    site("naver mail", &["mail.naver.com", "m.mail.naver.com"]),
    site("daum mail", &["mail.daum.net"]),
    site("qq mail", &["mail.qq.com", "wx.mail.qq.com", "exmail.qq.com"]).apps(&["com.tencent.androidqqmail"]),
    site("163 mail", &[".mail.163.com", "mail.126.com"]).apps(&["com.netease.mobimail"]),
    site("rediffmail", &["mail.rediff.com", "f4mail.rediff.com"]),
    site("uol mail", &["email.uol.com.br", "mail.uol.com.br"]),
    site("comcast mail", &["mail.xfinity.com", "connect.xfinity.com", "mail.comcast.net"]),
    site("mailchimp", &["mailchi.mp"]),
    site("spark", &[]).apps(&["com.readdle.spark"]),
    site("samsung email", &[]).apps(&["com.samsung.android.email.provider"]),
    site("thunderbird", &[]).apps(&["net.thunderbird.android", "com.fsck.k9"]),
];
