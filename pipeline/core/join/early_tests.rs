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

/// By a row: its session, revision, pages and source, and whether it is taken back.
fn rows(story: &mut Story) -> Vec<(String, u32, u32, Option<String>, bool)> {
    let source = |row: &SessionRow| row.source.as_ref().map(|it| it.source.to_string());
    story
        .sessions
        .drain(..)
        .map(|it| (it.session_id.to_string(), it.revision, it.pages, source(&it), it.retracted))
        .collect()
}

#[test]
fn a_session_that_is_another_by_a_late_event_is_taken_back_at_once() {
    let mut story = Story::new(Mode::Live);
    let view = r#"{"visitor_id":"v","url":"https://example.com/"}"#;
    story.apply(10, "page_view", view);
    story.tick_at(12);
    let [(early, 1, 1, _, false)] = &rows(&mut story)[..] else { panic!("{:?}", story.sessions) };
    story.apply(9, "page_view", view);
    story.tick_at(13);
    let told = rows(&mut story);
    let [(back, 2, 0, _, true)] = told.iter().filter(|it| it.0 == *early).collect::<Vec<_>>()[..] else {
        panic!("{told:?}")
    };
    assert_eq!(back, early);
    let other: Vec<_> = told.iter().filter(|it| it.0 != *early).map(|it| (it.1, it.2, it.4)).collect();
    assert_eq!(other, [(1, 2, false)]);
}

#[test]
fn the_source_of_a_late_first_page_stands_in_the_row_at_once() {
    let mut story = Story::new(Mode::Live);
    story.apply(10, "heartbeat", r#"{"visitor_id":"v","session_id":"s"}"#);
    story.tick_at(12);
    assert_eq!(rows(&mut story), [("s".into(), 1, 0, None, false)]);
    story.apply(9, "page_view", r#"{"visitor_id":"v","session_id":"s","url":"https://example.com/?utm_source=ads"}"#);
    story.tick_at(13);
    assert_eq!(rows(&mut story), [("s".into(), 2, 1, Some("ads".into()), false)]);
    // Further pages wait until it is over, or half an hour has passed.
    story.apply(14, "page_view", r#"{"visitor_id":"v","session_id":"s","url":"https://example.com/b"}"#);
    story.tick_at(16);
    assert_eq!(rows(&mut story), []);
}
