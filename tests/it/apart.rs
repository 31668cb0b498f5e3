//! Roles that answer and take nothing in, each a process of its own: where they tell of their health, and how they end.

use std::net::{TcpListener, TcpStream};
use std::ops::Range;

use crate::nats::NatsServer;
use crate::program::{ACCOUNTS, Place, Program, key_of, until_now};

/// Addresses at these ports that nobody has. They are below those that are given to whoever asks for any, and each test has its own, so that
/// nobody is given one meanwhile.
fn free<const N: usize>(ports: Range<u16>) -> [String; N] {
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| format!("127.0.0.1:{}", free.next().expect("a free port")))
}

/// The status of an answer, if there is one.
fn status(program: &Program, address: &str, path: &str) -> Option<u16> {
    let request = program.agent.get(format!("http://{address}{path}"));
    let answer = request.header("authorization", format!("Bearer {}", key_of(ACCOUNTS[0]))).call().ok()?;
    Some(answer.status().as_u16())
}

fn until_ready(program: &Program, address: &str) {
    until_now("it is ready", || status(program, address, "/readyz").filter(|status| *status == 200));
}

/// A lake with rows.
fn place() -> Place {
    let place = Place::new();
    place.run(&["simulate", "--seed", "5", "--events", "3000", "--account", &ACCOUNTS.join(","), "-o", "all.ndjson"]);
    place.run(&["run", "--input", "all.ndjson"]);
    place
}

#[test]
fn a_query_that_is_ready_listens() {
    let place = place();
    let [http, admin, postgres, flight] = free(20_200..20_300);
    let program = Program::spawn_on(&place, &["query", "--postgres", &postgres, "--flight", &flight], &http, &admin);
    until_ready(&program, &admin);
    for address in [&http, &postgres, &flight] {
        assert!(TcpStream::connect(address).is_ok(), "{address}: {}", program.said().join("\n"));
    }
    assert_eq!(status(&program, &http, "/metrics"), Some(404), "not for the world");
    program.stop();
}

/// As a collector has it.
#[test]
fn health_has_the_address_of_answers_where_that_is_asked() {
    let server = NatsServer::start();
    let (place, url) = (Place::new(), server.url());
    let [address] = free(20_300..20_400);
    let doors = ["--postgres", "off", "--flight", "off"];
    let nats = ["--nats", url.as_str(), "--partitions", "2"];
    for (arguments, path) in [
        ([&["query"][..], &doors].concat(), "/v1/openapi.json"),
        ([&["query"][..], &doors, &nats].concat(), "/v1/openapi.json"),
        ([&["notify"][..], &nats].concat(), "/v1/webhooks"),
    ] {
        let program = Program::spawn_on(&place, &arguments, &address, &address);
        program.says("serving health and metrics");
        until_ready(&program, &address);
        for path in ["/livez", "/metrics", path] {
            assert_eq!(status(&program, &address, path), Some(200), "{arguments:?} {path}");
        }
        program.stop();
    }
}

/// What is looked at ahead is in the middle of it then, most often.
#[test]
fn a_query_that_is_stopped_as_soon_as_it_answers_ends_in_peace() {
    let place = place();
    for _ in 0..10 {
        let program = Program::spawn(&place, &["query", "--postgres", "off", "--flight", "off"]);
        program.says("answering over http");
        let address = program.collect();
        until_now("an answer", || status(&program, &address, "/v1/openapi.json"));
        let said = program.stop().join("\n");
        assert!(!said.contains("panicked"), "{said}");
    }
}
