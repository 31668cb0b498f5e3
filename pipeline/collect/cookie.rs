//! The visitor's cookie, and who a visitor may be.

use axum::http::{HeaderMap, HeaderValue, header};

const NAME: &str = "cw_v";
/// 13 months: what the French regulator lets a cookie last, and what a visitor is remembered for (`VISITOR_MEMORY`).
const MAX_AGE_SECONDS: u32 = 34_190_000;
const VISITOR_CHARS_MAX: usize = 128;

/// Whether this may be a visitor's id: it goes into a cookie and an answer as it stands.
pub fn is_visitor(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=VISITOR_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// The visitor that the browser's cookie names. What cannot be one counts for nothing.
pub fn visitor(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == NAME).map(|(_, value)| value).find(|value| is_visitor(value))
}

/// `Set-Cookie` for a visitor's id ([`is_visitor`]). Set by a server it outlives what browsers let scripts keep; the
/// script reads and writes the same one, so it is not `HttpOnly`.
pub fn set(visitor: &str, domain: Option<&str>, secure: bool) -> Option<HeaderValue> {
    cookie(visitor, MAX_AGE_SECONDS, domain, secure)
}

/// `Set-Cookie` that makes the browser forget it, for which the attributes must be those that it was set with.
pub fn clear(domain: Option<&str>, secure: bool) -> Option<HeaderValue> {
    cookie("", 0, domain, secure)
}

fn cookie(visitor: &str, seconds: u32, domain: Option<&str>, secure: bool) -> Option<HeaderValue> {
    let mut text = String::with_capacity(128);
    text.extend([NAME, "=", visitor, "; Max-Age="]);
    text.push_str(&seconds.to_string());
    text.push_str("; Path=/; SameSite=Lax");
    if secure {
        text.push_str("; Secure");
    }
    if let Some(domain) = domain {
        text.extend(["; Domain=", domain]);
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        for (cookies, expected) in [
            (&["cw_v=v-1_A"][..], Some("v-1_A")),
            (&["a=b; cw_v=v1; cw_s=s"], Some("v1")),
            (&["a=b", "cw_v=v1"], Some("v1")),
            (&["cw_v=; cw_v=v2"], Some("v2")),
            (&["cw_v=\"v1\""], None),
            (&["cw_v=v1\u{e9}"], None),
            (&["xcw_v=v1; cw_v2=x; cw_v"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("a header"));
            }
            assert_eq!(visitor(&headers), expected, "{cookies:?}");
        }
        assert!(!is_visitor(&"x".repeat(VISITOR_CHARS_MAX + 1)) && is_visitor(&"x".repeat(VISITOR_CHARS_MAX)));
    }

    #[test]
    fn it_is_set_for_thirteen_months() {
        let text = |value: Option<HeaderValue>| value.and_then(|value| value.to_str().map(str::to_owned).ok());
        let plain = "cw_v=v1; Max-Age=34190000; Path=/; SameSite=Lax";
        assert_eq!(text(set("v1", None, false)).as_deref(), Some(plain));
        let all = format!("{plain}; Secure; Domain=acme.example");
        assert_eq!(text(set("v1", Some("acme.example"), true)), Some(all));
    }
}
