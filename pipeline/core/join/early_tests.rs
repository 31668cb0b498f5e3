//! Sessions that go on have a row in a live job.

use super::tests::Story;
use super::*;
use crate::event::{Body, decode};
use crate::source::Surveyor;

/// What is told of one visit: two pages within a minute, another later, then nothing for an hour.
fn told_of_a_visit(mode: Mode) -> Vec<(usize, Vec<(u32, u32)>)> {
    let mut story = Story::new(mode);
    let mut told = Vec::new();
    let view = |page| format!(r#"{{"visitor_id":"v","session_id":"s","url":"https://example.com/{page}"}}"#);
    for (minute, page) in [(0, Some("a")), (0, Some("b")), (1, None), (2, Some("c")), (3, None), (60, None)] {
        match page {
            Some(page) => drop(story.apply(minute, "page_view", &view(page))),
            None => story.tick_at(minute),
        }
        let rows = story.sessions.drain(..).map(|row| (row.revision, row.pages)).collect();
        told.push((minute as usize, rows));
    }
    told.retain(|(_, rows): &(usize, Vec<_>)| !rows.is_empty());
    told
}

#[test]
fn a_session_that_goes_on_has_a_row() {
    assert_eq!(told_of_a_visit(Mode::Live), [(1, vec![(1, 2)]), (60, vec![(2, 3)])]);
    assert_eq!(told_of_a_visit(Mode::Bounded), [(60, vec![(1, 3)])]);
}

#[test]
fn a_session_of_an_archive_has_its_row_when_it_is_over() {
    let rows_of = |recorded: &str| {
        let (mut join, mut surveyor, mut rows) = (Join::new(Mode::Live), Surveyor::default(), Vec::new());
        for (id, time) in ["12:00:00", "12:05:00", "13:30:00"].into_iter().enumerate() {
            let line = format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"web","type":"page_view","time":"2026-11-20T{time}Z",
                "recordedtime":"2026-11-20T{recorded}","account":"acme","data":{{"visitor_id":"v","url":"https://example.com/"}}}}"#
            );
            let event = decode(line.as_bytes(), None).unwrap();
            let Body::PageView(view) = &event.body else { unreachable!() };
            let visit = surveyor.visit(view);
            let mut out = Effects::default();
            join.apply(&event, Some(&visit), &mut out);
            rows.extend(out.sessions.iter().map(|row| (id, row.revision, row.pages)));
        }
        rows
    };
    assert_eq!(rows_of("13:30:00Z"), [(2, 1, 2)]);
    // As each arrived when it happened, the watermark has passed the first's lateness with the second.
    assert_eq!(rows_of("12:59:59Z"), [(1, 1, 2)]);
}
