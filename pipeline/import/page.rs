//! Which requests of an access log are page views. The rules, the first that fits:
//!
//! 1. by a bot, tool or feed reader ([`super::agents`]): left out;
//! 2. from the machine itself, for its own pages, for a preview, or for data: internal;
//! 3. any method but GET: left out;
//! 4. an answer of 3xx but 304 is a redirect, any but 2xx and 304 an error;
//! 5. a path that is a file of another kind than a document, or a feed: static;
//! 6. a page view. 304 counts: the page was shown, from the browser's own store.

use super::agents::Agents;
use super::combined::Request;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Page,
    Bot,
    Internal,
    OtherMethod,
    Redirect,
    Error,
    Static,
}

/// Files that are no documents, by what stands after the last dot, sorted.
#[rustfmt::skip]
const STATIC_EXTENSIONS: &[&str] = &[
    "3gp", "7z", "aac", "ai", "apk", "atom", "avi", "avif", "bak", "bin", "bmp", "bz2", "c", "cab", "cfg", "class",
    "conf", "cpp", "css", "csv", "cur", "deb", "diff", "dmg", "doc", "docx", "dtd", "eot", "eps", "epub", "exe",
    "flac", "flv", "gem", "gif", "go", "gz", "h", "heic", "ico", "ics", "img", "ini", "iso", "jar", "java", "jp2",
    "jpe", "jpeg", "jpg", "js", "json", "jsonld", "key", "less", "log", "lua", "m3u8", "m4", "m4a", "m4v", "map",
    "md5", "mid", "mjs", "mk", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "msi", "odp", "ods", "odt", "ogg", "ogv",
    "opus", "otf", "patch", "pcap", "pdf", "png", "ppt", "pptx", "ps", "psd", "py", "pyc", "rar", "rb", "rdf", "rpm",
    "rss", "rtf", "scss", "sh", "sig", "spec", "sql", "svg", "svgz", "swf", "tar", "tex", "tgz", "tif", "tiff", "ts",
    "ttf", "txt", "vcf", "vim", "wasm", "wav", "webm", "webmanifest", "webp", "wma", "wmv", "woff", "woff2", "xls",
    "xlsx", "xml", "xpi", "xs", "xsd", "xsl", "xz", "yaml", "yml", "zip",
];

/// Folders that hold no documents.
#[rustfmt::skip]
const STATIC_FOLDERS: &[&str] = &[
    "/static/", "/assets/", "/_next/", "/_nuxt/", "/wp-content/", "/wp-includes/", "/fonts/", "/cdn-cgi/",
    "/.well-known/", "/node_modules/", "/css/", "/js/",
];
/// The last part of a path that names a feed, and what a query has that asks for one.
const FEEDS: [&str; 5] = ["feed", "rss", "rss2", "atom", "feeds"];
const FEED_QUERIES: [&str; 5] = ["feed=", "flav=rss", "flav=atom", "format=feed", "format=rss"];

/// Paths of a server's own, of previews and editors, and of pages' requests for data.
#[rustfmt::skip]
const INTERNAL_PATHS: &[&str] = &[
    "/server-status", "/server-info", "/nginx_status", "/stub_status", "/healthz", "/livez", "/readyz", "/metrics",
    "/wp-admin/", "/wp-json/", "/wp-cron.php", "/wp-login.php", "/xmlrpc.php", "/api/", "/graphql", "/cgi-sys/",
    "/phpmyadmin", "/admin/",
];
const INTERNAL_EXACT: [&str; 5] = ["/health", "/ping", "/status", "*", "/health-check"];
const PREVIEW_QUERIES: [&str; 3] = ["preview=true", "preview=1", "customize_changeset_uuid="];

pub(super) fn kind(request: &Request<'_>, agents: &mut Agents) -> Kind {
    let target = String::from_utf8_lossy(path_and_query(&request.target)).to_ascii_lowercase();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if agents.is_bot(request.address, request.agent.as_deref(), path) {
        return Kind::Bot;
    }
    if is_internal(request, path, query) {
        return Kind::Internal;
    }
    // Where the request line is none, the server's answer tells more.
    if !request.method.is_empty() && &*request.method != b"GET" {
        return Kind::OtherMethod;
    }
    match request.status {
        200..300 | 304 if !request.method.is_empty() => {}
        300..400 => return Kind::Redirect,
        _ => return Kind::Error,
    }
    if is_static(path, query) { Kind::Static } else { Kind::Page }
}

/// The target from its path on; without the fragment that some clients send.
pub(super) fn path_and_query(target: &[u8]) -> &[u8] {
    let after_scheme = target.windows(3).take(10).position(|window| window == b"://").map(|at| &target[at + 3..]);
    let from_path = match after_scheme {
        Some(rest) if !target.starts_with(b"/") => {
            rest.iter().position(|&b| b == b'/').map_or(&b"/"[..], |slash| &rest[slash..])
        }
        _ => target,
    };
    let end = from_path.iter().position(|&b| b == b'#').unwrap_or(from_path.len());
    &from_path[..end]
}

fn is_internal(request: &Request<'_>, path: &str, query: &str) -> bool {
    request.address.starts_with(b"127.")
        || request.address == b"::1"
        || request.address == b"localhost"
        || INTERNAL_EXACT.contains(&path)
        || INTERNAL_PATHS.iter().any(|start| path.starts_with(start))
        || PREVIEW_QUERIES.iter().any(|preview| query.contains(preview))
}

fn is_static(path: &str, query: &str) -> bool {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if FEEDS.contains(&name)
        || FEED_QUERIES.iter().any(|feed| query.contains(feed))
        || STATIC_FOLDERS.iter().any(|folder| path.contains(folder))
    {
        return true;
    }
    // `/2.0/` is a folder, `/.gitignore` a file without extension.
    if path.ends_with('/') {
        return false;
    }
    match name.rsplit_once('.') {
        Some((_, extension)) => STATIC_EXTENSIONS.binary_search(&extension).is_ok(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_sorted() {
        assert!(STATIC_EXTENSIONS.is_sorted());
    }

    #[test]
    fn targets_lose_what_stands_before_their_path() {
        for (target, expected) in [
            ("/a?b=http://c/", "/a?b=http://c/"),
            ("http://example.com/a#b", "/a"),
            ("https://example.com", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(path_and_query(target.as_bytes()), expected.as_bytes(), "{target}");
        }
    }

    #[test]
    fn documents_are_told_from_files() {
        for (path, query, expected) in [
            ("/", "", false),
            ("/blog/2.0/", "", false),
            ("/blog/release-2.0", "", false),
            ("/index.php", "p=1", false),
            ("/a.html", "", false),
            ("/a.css", "v=3", true),
            ("/x/static/a", "", true),
            ("/blog/feed/", "", true),
            ("/blog", "flav=rss20", true),
            ("/favicon.ico", "", true),
            ("/font.woff2", "", true),
        ] {
            assert_eq!(is_static(path, query), expected, "{path}?{query}");
        }
    }
}
