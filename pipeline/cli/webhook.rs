//! `callweave webhook`: looks at subscriptions of a running notifier, and changes them.

use std::io::Read;

use clap::{Args, Subcommand};

use crate::app::{self, Failure};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Webhook {
    /// Whose they are [default: the only account]
    #[arg(long, value_name = "NAME", global = true)]
    account: Option<String>,
    /// Where the notifier answers [default: http:// and listen.collect]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All, or one: what it is sent, whether it works, what waits
    List {
        name: Option<String>,
    },
    /// Makes one, or changes the one of its name: JSON from a file, `-` is standard input
    Put {
        file: String,
    },
    Remove {
        name: String,
    },
    /// What the receiver verifies signatures with
    Secret {
        name: String,
    },
    /// Sends a made-up moment once, and tells what came of it
    Test {
        name: String,
    },
    /// The latest attempts, with status, duration and the answer's first bytes
    Attempts {
        name: String,
    },
    /// What was given up
    Dead {
        name: String,
        /// Those behind this sequence
        #[arg(long, value_name = "N")]
        after: Option<u64>,
    },
    /// Sends what was given up again: those named, a span, or all
    Resend {
        name: String,
        /// Sequences, as `dead` tells them
        sequences: Vec<u64>,
        /// First sequence of a span
        #[arg(long, value_name = "N")]
        from: Option<u64>,
        /// Last sequence of a span
        #[arg(long, value_name = "N")]
        to: Option<u64>,
    },
    /// Goes on with one whose receiver had answered 410
    Enable {
        name: String,
    },
}

impl Webhook {
    pub fn run(self, config: &Config) -> Result<(), Failure> {
        let Webhook { account, url, action } = self;
        let (method, path, body): (_, Vec<String>, Option<String>) = match action {
            Action::List { name } => ("GET", name.into_iter().collect(), None),
            Action::Put { file } => ("POST", vec![], Some(text_of(&file)?)),
            Action::Remove { name } => ("DELETE", vec![name], None),
            Action::Secret { name } => ("GET", vec![name, "secret".to_owned()], None),
            Action::Test { name } => ("POST", vec![name, "test".to_owned()], None),
            Action::Attempts { name } => ("GET", vec![name, "attempts".to_owned()], None),
            Action::Dead { name, after } => {
                let query = after.map(|after| format!("after={after}"));
                return app::webhook(config, account, url, "GET", &[name, "dead".to_owned()], query, None);
            }
            Action::Resend { name, sequences, from, to } => {
                let sequences = (!sequences.is_empty()).then_some(sequences);
                let wanted = serde_json::json!({ "sequences": sequences, "from": from, "to": to });
                ("POST", vec![name, "resend".to_owned()], Some(wanted.to_string()))
            }
            Action::Enable { name } => ("POST", vec![name, "enable".to_owned()], None),
        };
        app::webhook(config, account, url, method, &path, None, body)
    }
}

fn text_of(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        file => std::fs::read_to_string(file).map(|read| text = read),
    };
    read.map_err(|error| Failure::Usage(format!("{file} cannot be read: {error}")))?;
    Ok(text)
}
