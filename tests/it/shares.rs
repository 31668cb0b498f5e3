//! Several `process` on one log: they share its partitions, and take over from each other.

use std::process::Command;

use crate::nats::NatsServer;
use crate::program::{Place, Program, Story, send, until};

/// The partitions that a process works on by what it said last.
fn share(program: &Program) -> Option<String> {
    let said = program.said();
    let line = said.iter().rev().find(|line| line.contains("working on these partitions"))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["partitions"].as_str().map(str::to_owned)
}

fn works_on(program: &Program, partitions: &str) {
    until(&format!("it works on {partitions}"), || (share(program)? == partitions).then_some(()));
}

/// A collector, and two processes that have half of the log each; of the second the partitions by name.
fn three(place: &Place, url: &str) -> (Program, Program, Program) {
    let collector = Program::start(place, &["collect", "--nats", url, "--partitions", "2"]);
    let one = Program::start(place, &["process", "--nats", url]);
    works_on(&one, "{0, 1}");
    let two = Program::start(place, &["process", "--nats", url]);
    works_on(&one, "{0}");
    works_on(&two, "{1}");
    (collector, one, two)
}

fn signal(program: &Program, signal: &str) {
    let status = Command::new("kill").args([signal, &program.pid().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn processes_share_a_log_and_take_over_from_those_that_die_or_stop() {
    let story = Story::new(31, 1200);
    let requests = story.requests(20);
    let server = NatsServer::start();
    let (url, place) = (server.url(), Place::new());
    let (collector, mut one, two) = three(&place, &url);
    let (first, rest) = requests.split_at(requests.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    send(&collector, first);
    one.kill();
    send(&collector, second);
    works_on(&two, "{0, 1}");
    // Whoever stops with grace gives its part back at once.
    let three = Program::start(&place, &["process", "--nats", &url]);
    works_on(&two, "{0}");
    works_on(&three, "{1}");
    two.stop();
    send(&collector, third);
    works_on(&three, "{0, 1}");
    place.reaches(&story.expected, &three);
    place.ends_with(&story.expected, three);
}

#[test]
fn an_owner_that_hung_doubles_nothing() {
    let story = Story::new(32, 1200);
    let requests = story.requests(20);
    let server = NatsServer::start();
    let (url, place) = (server.url(), Place::new());
    let (collector, one, two) = three(&place, &url);
    let (first, rest) = requests.split_at(requests.len() / 2);
    // In the middle of its work: it goes on believing that partition 0 is its own.
    send(&collector, first);
    signal(&one, "-STOP");
    works_on(&two, "{0, 1}");
    let (second, third) = rest.split_at(rest.len() / 2);
    send(&collector, second);
    signal(&one, "-CONT");
    send(&collector, third);
    place.reaches(&story.expected, &two);
    one.stop();
    place.ends_with(&story.expected, two);
}
