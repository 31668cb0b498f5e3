//! A real NATS server for a test: on a free port, in a temporary folder, ended by its process id.
//! `CALLWEAVE_TEST_NATS_SERVER` names another program than the `nats-server` of the path.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::until_now;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct NatsServer {
    folder: TempDir,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl NatsServer {
    /// With JetStream.
    pub fn start() -> NatsServer {
        NatsServer::start_with(&["-js"])
    }

    pub fn start_with(arguments: &[&str]) -> NatsServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let mut server = NatsServer { folder, port, arguments, child: None };
        server.restart();
        server
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port and folder; kills it first where it runs.
    pub fn restart(&mut self) {
        self.kill();
        let program = std::env::var_os("CALLWEAVE_TEST_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let child = Command::new(program)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server must be installed: apt-get install nats-server");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.greets() {
            assert!(Instant::now() < deadline, "nats-server does not answer on port {}", self.port);
            std::thread::yield_now();
        }
    }

    /// Kills it, removes all that it has stored, and starts it again.
    pub fn lose_all(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(self.folder.path()).expect("its folder").flatten() {
            std::fs::remove_dir_all(entry.path()).expect("removed");
        }
        self.restart();
    }

    /// Whether it accepts a connection and sends its INFO.
    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut greeting = [0; 4];
        stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && &greeting == b"INFO"
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It keeps its connections, and answers nothing until [`NatsServer::resume`].
    pub fn pause(&self) {
        self.signal("-STOP");
        // `kill` returns before each of the server's threads has stopped, and one that runs on may answer once more.
        let tasks = format!("/proc/{}/task", self.child.as_ref().expect("the server runs").id());
        until_now("the server stands still", || {
            let mut threads = std::fs::read_dir(&tasks).expect("its threads").flatten();
            let stands = |task: std::fs::DirEntry| {
                let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("State:\tT"))
            };
            threads.all(stands).then_some(())
        });
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("the server runs");
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Free when it was asked for; the server is started at once.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}
