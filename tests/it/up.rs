//! The whole program on the whole way: the same events through every entrance give the same rows.

use crate::nats::NatsServer;
use crate::program::{Place, Program, Story, send};

#[test]
fn a_file_and_both_logs_give_the_same_rows() {
    let story = Story::new(21, 3000);
    for (table, rows) in &story.expected {
        assert!(!rows.is_empty(), "the story says nothing of {table}");
    }
    let server = NatsServer::start();
    let url = server.url();
    for arguments in [&["up"][..], &["up", "--nats", &url, "--partitions", "3"]] {
        let place = Place::new();
        let program = Program::start(&place, arguments);
        send(&program, &story.requests(100));
        place.reaches(&story.expected, &program);
        place.ends_with(&story.expected, program);
    }
}
