//! Which format an answer has, by `Accept` (RFC 9110, 12.5.1) or by the parameter `format`.

use axum::http::{HeaderMap, header};

use super::Refused;
use crate::query::format::Format;

/// Those that are wanted alike come in this order.
const MEDIA_TYPES: [(Format, &str); 5] = [
    (Format::Json, "application/json"),
    (Format::Ndjson, "application/x-ndjson"),
    (Format::Csv, "text/csv; charset=utf-8"),
    (Format::Arrow, "application/vnd.apache.arrow.stream"),
    (Format::Parquet, "application/vnd.apache.parquet"),
];

pub(super) fn media_type(format: Format) -> &'static str {
    MEDIA_TYPES.iter().find(|(known, _)| *known == format).map_or("application/octet-stream", |(_, name)| name)
}

pub(super) fn media_types() -> String {
    MEDIA_TYPES.map(|(_, name)| name).join(", ")
}

pub(super) fn format(wish: Option<&str>, headers: &HeaderMap) -> Result<Format, Refused> {
    if let Some(name) = wish {
        let format = name.parse::<Format>().ok().filter(|format| *format != Format::Table);
        return format.ok_or_else(|| Refused::Format(name.to_owned()));
    }
    let values: Result<Vec<&str>, _> =
        headers.get_all(header::ACCEPT).iter().map(axum::http::HeaderValue::to_str).collect();
    let accept = values.map_err(|_| Refused::Format("Accept".to_owned()))?.join(", ");
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    wanted(&accept).ok_or(Refused::Format(accept))
}

/// The format that is wanted most; of several that are wanted alike the one that is named first.
fn wanted(accept: &str) -> Option<Format> {
    let ranges: Vec<(&str, f32)> = accept.split(',').filter_map(range).collect();
    let mut best: Option<(Format, f32, usize)> = None;
    for (format, name) in MEDIA_TYPES {
        let name = name.split(';').next().unwrap_or_default();
        // What names a format says more of it than what names its family, and that more than `*/*`.
        let fits = |(at, (range, quality)): (usize, &(&str, f32))| {
            let told = match range.split_once('/') {
                Some(("*", "*")) => 1,
                Some((family, "*")) if name.starts_with(&format!("{}/", family.to_ascii_lowercase())) => 2,
                _ if range.eq_ignore_ascii_case(name) => 3,
                _ => return None,
            };
            Some((told, *quality, at))
        };
        let said = ranges.iter().enumerate().filter_map(fits).max_by_key(|(told, ..)| *told);
        let Some((_, quality, at)) = said.filter(|(_, quality, _)| *quality > 0.0) else { continue };
        if best.is_none_or(|(_, most, first)| quality > most || (quality == most && at < first)) {
            best = Some((format, quality, at));
        }
    }
    best.map(|(format, ..)| format)
}

/// One range and its quality; nothing where there is none.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    // A quality that cannot be read is taken for none.
    Some((range, quality.and_then(|quality| quality.parse().ok()).unwrap_or(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_most_is_given() {
        for (accept, expected) in [
            ("*/*", Some(Format::Json)),
            ("application/*", Some(Format::Json)),
            ("text/*", Some(Format::Csv)),
            ("text/csv", Some(Format::Csv)),
            ("TEXT/CSV; charset=utf-8", Some(Format::Csv)),
            ("text/csv;q=0.5, application/json;q=0.9", Some(Format::Json)),
            ("text/csv, application/json", Some(Format::Csv)),
            ("text/html, */*;q=0.1", Some(Format::Json)),
            ("application/json;q=0, */*", Some(Format::Ndjson)),
            ("text/csv;q=0", None),
            ("*/*;q=0.2, text/csv;q=0.1", Some(Format::Json)),
            ("image/png, application/vnd.apache.parquet;q=0.3", Some(Format::Parquet)),
            ("image/png", None),
        ] {
            assert_eq!(wanted(accept), expected, "{accept}");
        }
    }
}
