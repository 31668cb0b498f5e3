//! The script that pages load: built from `snippet/`, packed once, and named by its content so that browsers and caches
//! may keep it for good.

use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::xxh3_64;

const SCRIPT: &[u8] = include_bytes!("snippet/callweave.js");
/// A page that names the script without a version has a new one at most this late.
const PLAIN_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const VERSION_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

struct Script {
    /// Of the content; the same bytes have the same on every collector.
    version: String,
    tag: HeaderValue,
    packed: Vec<u8>,
}

static READY: LazyLock<Script> = LazyLock::new(|| {
    let version = format!("{:016x}", xxh3_64(SCRIPT));
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // A Vec takes everything; were it otherwise, the script goes out as it is.
    let packed = packer.write_all(SCRIPT).and_then(|()| packer.finish()).unwrap_or_default();
    let tag = HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    Script { version, tag, packed }
});

/// The name that changes with the content.
pub fn versioned_path() -> String {
    format!("/callweave-{}.js", READY.version)
}

/// `GET /callweave.js`, and the same under the name of its version.
pub fn routes() -> Router {
    Router::new()
        .route("/callweave.js", get(async |headers: HeaderMap| script(&headers, PLAIN_CACHE)))
        .route(&versioned_path(), get(async |headers: HeaderMap| script(&headers, VERSION_CACHE)))
}

fn script(asked: &HeaderMap, cache: HeaderValue) -> Response {
    let known = asked.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let fresh = known.into_iter().any(|tag| tag == "*" || tag.as_bytes() == READY.tag.as_bytes());
    let packed = !READY.packed.is_empty() && takes_gzip(asked);
    let mut response = match (fresh, packed) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => READY.packed.as_slice().into_response(),
        (false, false) => SCRIPT.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::ETAG, READY.tag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Anybody may load it, with `integrity` and `crossorigin` too: it is the same for all.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if packed && !fresh {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether `Accept-Encoding` names gzip, and not with a weight of nothing (RFC 9110, section 12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let nothing = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()) == Some(0.0);
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip" | "*") && !nothing
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_packed_for_those_who_unpack_and_not_sent_twice() {
        type Case = (&'static [(&'static str, &'static str)], u16, Option<&'static str>);
        let table: &[Case] = &[
            (&[], 200, None),
            (&[("accept-encoding", "gzip, deflate, br")], 200, Some("gzip")),
            (&[("accept-encoding", "br;q=1, *;q=0.1")], 200, Some("gzip")),
            (&[("accept-encoding", "gzip;q=0")], 200, None),
            (&[("if-none-match", "\"other\"")], 200, None),
            (&[("if-none-match", "\"other\", W/TAG"), ("accept-encoding", "gzip")], 304, None),
        ];
        for (headers, status, encoding) in table {
            let tag = READY.tag.to_str().expect("text");
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (name.parse().expect("a name"), value.replace("TAG", tag).parse().expect("a value"))
                })
                .collect::<Vec<(header::HeaderName, HeaderValue)>>()
                .into_iter()
                .collect();
            let response = script(&headers, PLAIN_CACHE);
            let told = response.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
            assert_eq!((response.status().as_u16(), told), (*status, *encoding), "{headers:?}");
        }
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(READY.packed.as_slice()), &mut unpacked)
            .expect("gzip");
        assert_eq!(unpacked, SCRIPT);
    }
}
