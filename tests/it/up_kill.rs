//! `kill -9` at random instants: what was acknowledged is in the lake exactly once, and calls are joined as if nothing
//! had happened. `CALLWEAVE_TEST_KILLS` says how often (a handful, unless it is set).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::nats::NatsServer;
use crate::program::{PATIENCE, Place, Program, Story, difference, files_in, is_taken, until_now};

const KILLS: usize = 8;
/// Lines to send between two kills, so that there is something to lose at each.
const LINES_PER_KILL: usize = 150;
/// Lines of a request: few, so that a kill meets one under way.
const LINES_PER_REQUEST: usize = 4;
/// From one request to the next, so that they last for about a life.
const PACE: Duration = Duration::from_millis(25);
/// The longest life, once it listens, or processes.
const LIFE_MS_MAX: u64 = 2500;

fn kills() -> usize {
    std::env::var("CALLWEAVE_TEST_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(KILLS)
}

/// Sends what is not acknowledged yet, in order, up to request `upto`; ends when the program does, or is told to.
fn send(
    program: &Program,
    requests: &[(&'static str, Vec<u8>)],
    next: &AtomicUsize,
    upto: usize,
    pace: Duration,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let at = next.load(Ordering::Relaxed);
        if at >= upto.min(requests.len()) {
            return;
        }
        let (account, body) = &requests[at];
        // What is answered otherwise, or not at all, may be in the log or not: it is sent again.
        if program.post(account, body).as_ref().is_some_and(is_taken) {
            next.store(at + 1, Ordering::Relaxed);
        }
        std::thread::sleep(pace);
    }
}

/// One life of the program: killed at an instant that `draw` says, be it listening by then or not.
fn live_and_die(
    place: &Place,
    arguments: &[&str],
    requests: &[(&'static str, Vec<u8>)],
    next: &AtomicUsize,
    upto: usize,
    draw: &mut StdRng,
    trouble: impl FnOnce(),
) {
    let mut program = Program::spawn(place, arguments);
    // Most die at work, some while they start.
    if draw.random_bool(0.2) {
        program.listens(Duration::from_millis(draw.random_range(0..800)));
        return program.kill();
    }
    assert!(program.listens(PATIENCE), "it does not start again: {}", program.said().join("\n"));
    // Some are asked to stop, under load.
    let gently = draw.random_bool(0.2);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| send(&program, requests, next, upto, PACE, &stop));
        // Opening the tables takes a debug build longer than what follows: most kills are to meet that.
        if draw.random_bool(0.7) {
            program.says("reading the log");
        }
        // The random instant itself: there is no condition to wait for.
        std::thread::sleep(Duration::from_millis(draw.random_range(50..LIFE_MS_MAX)));
        trouble();
        let signal = if gently { "-TERM" } else { "-9" };
        let killed = std::process::Command::new("kill").args([signal, &program.pid().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        stop.store(true, Ordering::Relaxed);
    });
    if gently {
        program.ended_well();
    }
    program.kill();
}

fn check(seed: u64, arguments: &[&str], mut trouble: impl FnMut(usize)) {
    let kills = kills();
    let story = Story::new(seed, kills * LINES_PER_KILL + 500);
    let requests = story.requests(LINES_PER_REQUEST);
    let place = Place::new();
    let mut draw = StdRng::seed_from_u64(seed);
    let next = AtomicUsize::new(0);
    let commits = || files_in(&place.lake().join("page_views/_delta_log")).len();
    let mut fruitful = 0;
    for round in 0..kills {
        let upto = requests.len() * (round + 1) / kills;
        let before = commits();
        live_and_die(&place, arguments, &requests, &next, upto, &mut draw, || trouble(round));
        fruitful += usize::from(commits() > before);
    }
    let sent = next.load(Ordering::Relaxed);
    eprintln!("{kills} kills, {fruitful} of them after a commit; {sent} of {} requests acknowledged", requests.len());
    let program = Program::start(&place, arguments);
    send(&program, &requests, &next, requests.len(), Duration::ZERO, &AtomicBool::new(false));
    place.reaches(&story.expected, &program);
    place.ends_with(&story.expected, program);
}

#[test]
fn kills_lose_and_double_nothing_on_the_embedded_log() {
    check(20, &["up"], |_| {});
}

/// In every third round the server dies, too, a moment before.
#[test]
fn kills_lose_and_double_nothing_on_nats() {
    let mut server = NatsServer::start();
    let url = server.url();
    check(220, &["up", "--nats", &url, "--partitions", "2"], |round| {
        if round % 3 == 2 {
            server.restart();
        }
    });
}

/// A bounded job that is killed, at its commits too, is completed by running it again.
#[test]
fn kills_of_a_bounded_job_are_made_good_by_running_it_again() {
    let story = Story::new(27, 3000);
    let place = Place::new();
    let bytes: Vec<u8> = story.lines.iter().flat_map(|line| [&line.bytes[..], b"\n"].concat()).collect();
    std::fs::write(place.folder.path().join("events.ndjson"), bytes).expect("the events");
    let mut draw = StdRng::seed_from_u64(27);
    let run = ["run", "--input", "events.ndjson"];
    let commits = || files_in(&place.lake().join("page_views/_delta_log")).len();
    for round in 0..kills() {
        let mut job = place.command(&run).stderr(std::process::Stdio::null()).spawn().expect("the binary runs");
        // The first as soon as the first table is committed, and the others are not.
        if round == 0 {
            until_now("the first commit, or the end", || {
                (commits() > 1 || job.try_wait().is_ok_and(|it| it.is_some())).then_some(())
            });
        } else {
            std::thread::sleep(Duration::from_millis(draw.random_range(0..1500)));
        }
        let _ = job.kill();
        let _ = job.wait();
    }
    place.run(&run);
    let found = place.rows();
    assert!(found == story.expected, "{}", difference(&story.expected, &found));
    place.check_once();
    place.run(&run);
    assert!(place.rows() == story.expected, "the same input again changes nothing");
}
