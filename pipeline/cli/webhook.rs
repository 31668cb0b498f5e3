//! `callweave webhook` and `callweave export`: look at subscriptions and exports of a running notifier, and change them.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::{self, Asker, Failure, Question};
use crate::config::Config;
use crate::notify::Kind;

#[derive(Debug, Args)]
pub struct Webhook {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: WebhookAction,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    whom: Whom,
    #[command(subcommand)]
    action: ExportAction,
}

#[derive(Debug, Args)]
struct Whom {
    /// Whose they are [default: the only account]
    #[arg(long, value_name = "NAME", global = true)]
    account: Option<String>,
    /// Where the notifier answers [default: http:// and listen.collect]
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum WebhookAction {
    #[command(flatten)]
    Common(Action),
    /// What the receiver verifies signatures with
    Secret { name: String },
}

#[derive(Debug, Subcommand)]
enum ExportAction {
    #[command(flatten)]
    Common(Action),
    /// Writes the conversions of the lake as the CSV file that Google Ads imports
    Csv {
        name: String,
        /// The first day (UTC), such as 2026-11-01
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day: it counts whole
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// A file in place of standard output
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All, or one: what it is sent, whether it works, what waits
    List { name: Option<String> },
    /// Makes one, or changes the one of its name: JSON from a file, `-` is standard input
    Put { file: String },
    /// Removes one, and forgets it
    Remove { name: String },
    /// Sends a made-up moment once, and tells what came of it
    Test { name: String },
    /// The latest attempts, with status, duration and the answer's first bytes
    Attempts { name: String },
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
    Enable { name: String },
}

impl Whom {
    fn asker(self, kind: Kind) -> Asker {
        Asker { kind, account: self.account, url: self.url }
    }
}

impl Webhook {
    pub fn run(self, config: &Config) -> Result<(), Failure> {
        let question = match self.action {
            WebhookAction::Common(action) => action.question()?,
            WebhookAction::Secret { name } => get(vec![name, "secret".to_owned()]),
        };
        app::webhook(config, &self.whom.asker(Kind::Webhook), question)
    }
}

impl Export {
    pub fn run(self, config: &Config) -> Result<(), Failure> {
        let asker = self.whom.asker(Kind::Export);
        match self.action {
            ExportAction::Common(action) => app::webhook(config, &asker, action.question()?),
            ExportAction::Csv { name, from, to, output } => app::csv(config, &asker, &name, from, to, output),
        }
    }
}

fn get(path: Vec<String>) -> Question {
    Question { method: "GET", path, ..Question::default() }
}

impl Action {
    fn question(self) -> Result<Question, Failure> {
        let post = |name: String, what: &str| Question {
            method: "POST",
            path: vec![name, what.to_owned()],
            ..Question::default()
        };
        Ok(match self {
            Action::List { name } => get(name.into_iter().collect()),
            Action::Put { file } => Question { method: "POST", body: Some(text_of(&file)?), ..Question::default() },
            Action::Remove { name } => Question { method: "DELETE", path: vec![name], ..Question::default() },
            Action::Test { name } => post(name, "test"),
            Action::Attempts { name } => get(vec![name, "attempts".to_owned()]),
            Action::Dead { name, after } => {
                let query = after.map(|after| format!("after={after}"));
                Question { query, ..get(vec![name, "dead".to_owned()]) }
            }
            Action::Resend { name, sequences, from, to } => {
                let sequences = (!sequences.is_empty()).then_some(sequences);
                let wanted = serde_json::json!({ "sequences": sequences, "from": from, "to": to });
                Question { body: Some(wanted.to_string()), ..post(name, "resend") }
            }
            Action::Enable { name } => post(name, "enable"),
        })
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
