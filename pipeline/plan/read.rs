//! Visits from files of events: page views, other events of a page and heartbeats are signs of life.

use std::collections::HashSet;
use std::io::{self, BufRead};
use std::path::PathBuf;

use callweave_core::event::{Body, decode};
use callweave_core::id::Key;
use callweave_core::plan::{Visit, visits_of};
use callweave_core::source::host_of;
use callweave_core::time::Time;

use crate::files;
use crate::telemetry::progress::Progress;

/// Longer lines hold no event (`callweave_core::limits::EVENT_BYTES_MAX`, and some room to see that one is longer).
const LINE_BYTES_MAX: u64 = 2 << 20;

/// Which events of which files.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub files: Vec<PathBuf>,
    /// Nothing: that of the files, which then must have one alone.
    pub account: Option<String>,
    /// A site's name (events of the source `web/NAME`) or its host. Nothing: all.
    pub site: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("the files have events of {0} and of {1}: a pool is of one account, name it with --account")]
    Accounts(String, String),
}

/// Signs of life as they are read.
struct Signs<'a> {
    source: &'a Source,
    account: Option<String>,
    found: Vec<(u64, Time)>,
    /// Visitors who were seen on the site: what tells no page of theirs is taken for it, too.
    on_site: HashSet<u64>,
    /// Lines that are no events.
    unusable: u64,
}

/// The visits in the files, and how many lines held no event. Signs no further than `hold` microseconds apart are one visit.
///
/// # Errors
/// A file cannot be read, or events are of several accounts and none was named.
pub fn visits(source: &Source, hold: i64, progress: &Progress) -> Result<(Vec<Visit>, u64), ReadError> {
    let mut signs =
        Signs { source, account: source.account.clone(), found: Vec::new(), on_site: HashSet::new(), unusable: 0 };
    progress.start(files::total_bytes(&source.files));
    for path in &source.files {
        let failed = |error| ReadError::File { path: path.clone(), error };
        let raw = files::raw(path).map_err(failed)?;
        let mut lines = files::unpack(raw, progress).map_err(failed)?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut lines, LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                break;
            }
            signs.take(line.trim_ascii())?;
        }
    }
    progress.finish();
    let Signs { mut found, on_site, unusable, .. } = signs;
    if source.site.is_some() {
        found.retain(|(visitor, _)| on_site.contains(visitor));
    }
    Ok((visits_of(found, hold), unusable))
}

impl Signs<'_> {
    fn take(&mut self, line: &[u8]) -> Result<(), ReadError> {
        if line.is_empty() {
            return Ok(());
        }
        let Ok(event) = decode(line, None) else {
            self.unusable += 1;
            return Ok(());
        };
        let (visitor, url) = match &event.body {
            Body::PageView(it) => (&it.visitor_id, Some(&it.url)),
            Body::WebEvent(it) => (&it.visitor_id, it.url.as_ref()),
            Body::Heartbeat(it) => (&it.visitor_id, None),
            _ => return Ok(()),
        };
        match &self.account {
            Some(account) if *account != event.account.as_str() => {
                if self.source.account.is_some() {
                    return Ok(());
                }
                return Err(ReadError::Accounts(account.clone(), event.account.as_str().to_owned()));
            }
            Some(_) => {}
            None => self.account = Some(event.account.as_str().to_owned()),
        }
        let visitor = Key::of(&[visitor.as_str()]).0 as u64;
        if let Some(site) = &self.source.site {
            let named = event.source.as_str().strip_prefix("web/") == Some(site);
            let host = url.and_then(|url| host_of(url.as_str()));
            match host {
                _ if named => self.on_site.insert(visitor),
                Some(host) if host.eq_ignore_ascii_case(site) => self.on_site.insert(visitor),
                // Another page.
                Some(_) => return Ok(()),
                None => false,
            };
        }
        self.found.push((visitor, event.time));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: u32, account: &str, source: &str, kind: &str, minute: u32, data: &str) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"{source}\",\"type\":\"{kind}\",\
             \"time\":\"2026-11-20T12:{minute:02}:00Z\",\"account\":\"{account}\",\"data\":{data}}}\n"
        )
    }

    #[test]
    fn signs_of_life_become_visits() {
        let page = |visitor: &str, host: &str| format!(r#"{{"visitor_id":"{visitor}","url":"https://{host}/x"}}"#);
        let text = [
            line(1, "acme", "web/main", "page_view", 0, &page("v", "a.example")),
            line(2, "acme", "web/main", "heartbeat", 20, r#"{"visitor_id":"v"}"#),
            line(3, "acme", "other", "page_view", 5, &page("w", "b.example")),
            line(4, "acme", "other", "page_view", 6, &page("v", "b.example")),
            line(5, "acme", "x", "deal", 7, r#"{"deal_id":"d","visitor_id":"v","stage":"won"}"#),
            "no event\n\n".to_owned(),
        ]
        .concat();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events");
        std::fs::write(&path, &text).expect("a file");
        let hold = 30 * 60_000_000;
        let check = |site: Option<&str>, expected: &[(i64, i64)]| {
            let source = Source { files: vec![path.clone()], account: None, site: site.map(str::to_owned) };
            let (found, unusable) = visits(&source, hold, &Progress::silent()).expect("visits");
            let start = Time::parse("2026-11-20T12:00:00Z").expect("a time");
            let minutes = |time: Time| time.since(start) / 60_000_000;
            let found: Vec<_> = found.iter().map(|it| (minutes(it.from), minutes(it.to))).collect();
            assert_eq!((found.as_slice(), unusable), (expected, 1), "{site:?}");
        };
        check(None, &[(0, 20), (5, 5)]);
        check(Some("main"), &[(0, 20)]);
        check(Some("b.example"), &[(5, 5), (6, 20)]);
        std::fs::write(&path, text + &line(9, "globex", "t", "heartbeat", 1, r#"{"visitor_id":"v"}"#)).expect("a file");
        let source = Source { files: vec![path.clone()], ..Source::default() };
        assert!(matches!(visits(&source, hold, &Progress::silent()), Err(ReadError::Accounts(..))));
        let source = Source { account: Some("globex".into()), ..source };
        assert_eq!(visits(&source, hold, &Progress::silent()).expect("visits").0.len(), 1);
    }
}
