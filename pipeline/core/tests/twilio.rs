//! Calls as Twilio tells of them, from the first request to the row: whatever comes late, twice, in another order or not at
//! all. Own fixtures, and the originals where they are present.

#[path = "twilio/fixtures.rs"]
mod fixtures;
#[path = "twilio/hostile.rs"]
mod hostile;
#[path = "twilio/provider.rs"]
mod provider;
#[path = "twilio/scenes.rs"]
mod scenes;

use std::sync::Arc;

use callweave_core::event::{Body, Event, Outcome};
use callweave_core::join::{Effects, Join, Mode};
use callweave_core::row::CallRow;
use proptest::prelude::*;
use provider::{Provider, through_the_log};
use scenes::{SCENES, Scene};

/// The final rows that these events lead to.
fn rows(settings: &Event<'_>, events: &[Event<'_>]) -> Vec<CallRow> {
    let (mut join, mut out) = (Join::new(Mode::Bounded), Effects::default());
    for event in std::iter::once(settings).chain(events) {
        through_the_log(event, |event| {
            join.apply(event, None, &mut out);
        });
    }
    join.settle(&mut out);
    let mut last: std::collections::BTreeMap<String, Arc<CallRow>> = Default::default();
    last.extend(out.calls.drain(..).map(|row| (row.call_id.to_string(), row)));
    last.into_values().map(|row| CallRow { revision: 0, ..(*row).clone() }).collect()
}

fn played(scene: &Scene, skew: i64) -> Provider {
    let mut provider = Provider::new(scene.settings, skew);
    (scene.play)(&mut provider);
    provider
}

fn in_order(provider: &Provider) -> Vec<Event<'static>> {
    provider.sent.iter().flat_map(|sent| provider.events(sent, sent.at)).collect()
}

fn row(scene: &Scene, provider: &Provider, events: &[Event<'_>]) -> CallRow {
    let mut rows = rows(&provider.settings(), events);
    assert_eq!(rows.len(), 1, "{}: one call, one row: {rows:#?}", scene.name);
    rows.remove(0)
}

#[test]
fn each_way_a_call_can_go_has_its_row() {
    for scene in SCENES {
        let provider = played(scene, 0);
        let row = row(scene, &provider, &in_order(&provider));
        let got = (
            row.outcome,
            row.hangup_by.map(|it| it.name()),
            row.talk_seconds,
            row.extension.as_deref(),
            row.destination.as_deref(),
            row.recording_url.is_some(),
        );
        let expected = (
            Some(scene.outcome),
            scene.hangup_by,
            scene.talk_seconds,
            scene.extension,
            scene.destination,
            scene.recorded,
        );
        assert_eq!(got, expected, "{}", scene.name);
        assert_eq!((row.caller.to_string(), row.tracking_number.to_string()), scene.parties(), "{}", scene.name);
        assert_eq!(row.direction, scene.direction(), "{}", scene.name);
        assert_eq!(row.answered_at.is_some(), scene.answered, "{}", scene.name);
        assert!(row.ended_at.is_some(), "{}", scene.name);
        assert!(row.started_at <= row.ended_at.unwrap(), "{}", scene.name);
    }
}

/// Clocks a minute apart, either way: the outcome and the length of the talk stay right, but for the outcome that is a matter
/// of seconds.
/// A status that tells no time of its own is no better a clock than the receipt of the call.
#[test]
fn a_start_that_was_seen_counts_for_more_than_a_guess() {
    let mut provider = Provider::new(SCENES[0].settings, 0);
    provider.call_in();
    let over = [
        ("CallSid", provider::PARENT),
        ("From", provider::CALLER),
        ("To", provider::NUMBER),
        ("Direction", "inbound"),
        ("CallStatus", "completed"),
        ("CallDuration", "50"),
    ];
    let (seen, guessed) = (provider.seen(provider.sent[0].at), provider.seen(provider.sent[0].at + 40_000));
    provider.over_as(&over);
    let start = |events: &[Event<'_>]| rows(&provider.settings(), events).remove(0).started_at;
    let events = in_order(&provider);
    assert_eq!(start(&events), seen);
    let alone = provider.events(&provider.sent[1], provider.sent[1].at);
    assert!(guessed.plus(-50_000_000).since(start(&alone)) < 1_000, "the receipt in milliseconds");
}

#[test]
fn clocks_that_are_off_change_no_outcome() {
    for scene in SCENES.iter().filter(|scene| scene.outcome != Outcome::AbandonedGreeting) {
        for skew in [-60, -5, 5, 60] {
            let provider = played(scene, skew);
            let row = row(scene, &provider, &in_order(&provider));
            assert_eq!(
                (row.outcome, row.talk_seconds),
                (Some(scene.outcome), scene.talk_seconds),
                "{} with the collector {skew} s ahead",
                scene.name
            );
        }
    }
}

/// Any one callback may be lost for good: what the provider waits for an answer to arrives or is asked again.
#[test]
fn a_lost_callback_changes_no_outcome() {
    for scene in SCENES {
        let provider = played(scene, 0);
        for lost in (0..provider.sent.len()).filter(|at| provider.sent[*at].is_stamped) {
            let kept = provider.sent.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, sent)| sent);
            let events: Vec<Event<'_>> = kept.flat_map(|sent| provider.events(sent, sent.at)).collect();
            let row = row(scene, &provider, &events);
            // Who is in a menu, or hears that the business is closed, hangs up without another request.
            if scene.hangs_on_status && provider.sent[lost].url.ends_with("/status") {
                continue;
            }
            assert_eq!(row.outcome, Some(scene.outcome), "{} without {:?}", scene.name, provider.sent[lost]);
            // That something picked up, and was not connected, only the callback tells.
            let answered = row.answered_at.is_some() || scene.outcome != Outcome::Answered;
            assert!(answered, "{} without {:?}", scene.name, provider.sent[lost]);
        }
    }
}

#[test]
fn the_agent_is_who_took_the_call() {
    let settings = |agents: &str| {
        let settings = r#"{"agents":{AGENTS},"numbers":[{"number":"+442079460000","kind":"overflow",
            "forward_to":"+442079460999"}],"voice":{"unanswered":{"forward_to":"sip:second@example.com"}}}"#;
        settings.replace("{AGENTS}", agents)
    };
    let (ada, ben) = (r#"{"+442079460999":"Ada"}"#, r#"{"+442079460999":"Ada","sip:second@example.com":"Ben"}"#);
    for (name, agents, expected) in [
        ("answered, caller hangs up", ada, Some("Ada")),
        ("busy, then somebody else answers", ada, None),
        ("busy, then somebody else answers", ben, Some("Ben")),
    ] {
        let scene = SCENES.iter().find(|scene| scene.name == name).unwrap();
        let mut provider = Provider::new(&settings(agents), 0);
        (scene.play)(&mut provider);
        let row = row(scene, &provider, &in_order(&provider));
        assert_eq!((row.agent.as_deref(), row.outcome), (expected, Some(Outcome::Answered)), "{name}: {agents}");
    }
}

#[test]
fn tags_and_transcripts_come_with_the_call() {
    let scene = SCENES.iter().find(|scene| scene.name == "answered, agent hangs up").unwrap();
    let mut provider = played(scene, 0);
    let events = in_order(&provider);
    let said: Vec<_> =
        events.iter().filter_map(|it| if let Body::Transcript(it) = &it.body { Some(it) } else { None }).collect();
    assert_eq!(said.len(), 2);
    assert_eq!((&*said[0].segments[0].text, said[0].segments[0].speaker.name()), ("Good afternoon.", "agent"));
    assert_eq!((&*said[1].segments[0].text, said[1].segments[0].speaker.name()), ("I call about a bill.", "caller"));
    assert!(said[0].segments[0].start_seconds < said[1].segments[0].start_seconds);

    // The agent is called once more, and says what the call was about.
    let outgoing = provider.outgoing.remove(0);
    assert_eq!(
        outgoing.url,
        "https://api.twilio.com/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls.json"
    );
    assert!(!format!("{outgoing:?}").contains(provider::SECRET));
    let url = scenes::asked(&outgoing.body, "Url");
    assert_eq!(scenes::asked(&outgoing.body, "To"), "+442079460999");
    let twiml = provider.ask(&url, true, &[]);
    let again = provider.ask(&provider::attribute(&twiml, "Gather", "action").unwrap(), true, &[("Digits", "7")]);
    provider.ask(&provider::attribute(&again, "Gather", "action").unwrap(), true, &[("Digits", "1250*50")]);
    let events = in_order(&provider);
    let tags: Vec<_> =
        events.iter().filter_map(|it| if let Body::CallTag(it) = &it.body { Some(it) } else { None }).collect();
    assert_eq!(tags.len(), 1);
    let (tag, value) = (tags[0], tags[0].value.map(|value| value.to_string()));
    assert_eq!((&*tag.call_id, &*tag.category, value.as_deref()), (provider::PARENT, "sale", Some("250.5")));
    assert_eq!((tag.currency.as_deref(), tag.by.as_deref(), tag.origin.name()), (Some("EUR"), Some("Ada"), "menu"));
    // Without digits for it, the category's own value counts.
    provider.ask(&provider::attribute(&twiml, "Gather", "action").unwrap(), true, &[("Digits", "1")]);
    let events = in_order(&provider);
    let Body::CallTag(tag) = &events.last().unwrap().body else { panic!("a tag") };
    assert_eq!(tag.value.map(|value| value.to_string()).as_deref(), Some("100"));
    assert_eq!(row(scene, &provider, &events).outcome, Some(Outcome::Answered));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// One call's requests, in any order, each any number of times, the callbacks with any delay: always the same row.
    #[test]
    fn any_order_and_repetition_give_the_same_row(
        which in 0..SCENES.len(),
        skew in prop::sample::select(&[-60i64, 0, 60][..]),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0..3_600_000_000i64), 0..30),
        shuffle in any::<u64>(),
    ) {
        let scene = &SCENES[which];
        let provider = played(scene, skew);
        let expected = row(scene, &provider, &in_order(&provider));

        // Every request once, and some again.
        let mut turns: Vec<(usize, i64)> = provider.sent.iter().map(|sent| sent.at).enumerate().collect();
        for (index, delay) in order {
            let at = index.index(provider.sent.len());
            let delay = if provider.sent[at].is_stamped { delay } else { 0 };
            turns.push((at, provider.sent[at].at + delay));
        }
        turns.sort_by_key(|(at, delay)| callweave_core::id::Key::of(&[&at.to_string(), &delay.to_string(), &shuffle.to_string()]));
        let events: Vec<Event<'_>> = turns.iter().flat_map(|(at, when)| provider.events(&provider.sent[*at], *when)).collect();
        prop_assert_eq!(row(scene, &provider, &events), expected, "{}", scene.name);
    }
}
