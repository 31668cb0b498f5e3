//! Shared flags that a command does not go by: they are not shown in its help, and what would be taken for a part of the question is
//! refused.

use clap::{Arg, ArgMatches, Command};

/// Of some commands, by the names that the fields of [`super::Global`] have.
struct Unused {
    commands: &'static [&'static str],
    /// Say how the program runs: taken, so that one set of them serves all commands.
    taken: &'static [&'static str],
    /// Say what is asked: whoever gives one is owed an answer that goes by it.
    refused: &'static [&'static str],
    why: &'static str,
}

const NO_USE: &str = "has no use for it";

static UNUSED: [Unused; 5] = [
    Unused {
        commands: &["evaluate", "login", "schema", "simulate"],
        taken: &["config", "data", "log", "log_format"],
        refused: &["lake", "places"],
        why: NO_USE,
    },
    // The configuration tells whose numbers call records have.
    Unused { commands: &["import"], taken: &["data", "log", "log_format"], refused: &["lake", "places"], why: NO_USE },
    Unused {
        commands: &["demo"],
        taken: &[],
        refused: &["data", "lake"],
        why: "has a lake of its own; --keep DIR names its folder",
    },
    Unused {
        commands: &["export", "pool", "report", "sql"],
        taken: &["log", "log_format"],
        refused: &["places"],
        why: NO_USE,
    },
    Unused { commands: &["webhook"], taken: &["log", "log_format"], refused: &["lake", "places"], why: NO_USE },
];

fn by(command: &str) -> Option<&'static Unused> {
    UNUSED.iter().find(|unused| unused.commands.contains(&command))
}

/// Hides from each command's help what the command does not go by.
pub fn hide(program: Command) -> Command {
    let shared: Vec<Arg> = program.get_arguments().map(|arg| arg.clone().hide(true)).collect();
    program.mut_subcommands(|command| {
        let Some(unused) = by(command.get_name()) else { return command };
        let is_unused = |arg: &&Arg| {
            let name = arg.get_id().as_str();
            unused.taken.contains(&name) || unused.refused.contains(&name)
        };
        // A flag that a command has itself is not handed down to it.
        command.args(shared.iter().filter(is_unused).cloned())
    })
}

/// Why a flag is refused that was given to a command that does not go by it, before the command's name or behind.
pub fn refusal(given: &ArgMatches) -> Option<String> {
    let command = given.subcommand_name()?;
    let unused = by(command)?;
    let flag = unused.refused.iter().find(|flag| given.contains_id(flag))?;
    Some(format!("--{flag}: {command} {}", unused.why))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    #[test]
    fn a_command_offers_what_it_goes_by() {
        let mut program = hide(Cli::command());
        program.build();
        for (path, offered, hidden) in [
            (&["evaluate"][..], &["--truth"][..], &["--lake", "--places", "--config", "--data", "--log"][..]),
            (&["simulate"], &["--truth"], &["--lake", "--places", "--config", "--data", "--log"]),
            (&["schema"], &["--help"], &["--lake", "--places", "--config", "--data", "--log"]),
            (&["import"], &["--config"], &["--lake", "--places", "--data", "--log"]),
            (&["demo"], &["--config", "--log", "--places"], &["--lake", "--data"]),
            (&["sql"], &["--config", "--data", "--lake"], &["--places", "--log"]),
            (&["pool", "plan"], &["--config", "--data", "--lake"], &["--places", "--log"]),
            (&["run"], &["--config", "--data", "--lake", "--log", "--log-format", "--places"], &[]),
            (&["up"], &["--config", "--data", "--lake", "--log", "--log-format", "--places"], &[]),
        ] {
            let mut command = &mut program;
            for name in path {
                command = command.find_subcommand_mut(name).expect("a command");
            }
            let help = command.render_help().to_string();
            assert!(offered.iter().all(|flag| help.contains(flag)), "{path:?}: {help}");
            assert!(!hidden.iter().any(|flag| help.contains(flag)), "{path:?}: {help}");
        }
    }

    #[test]
    fn what_a_command_has_no_use_for_is_refused_where_it_says_what_is_asked() {
        for (line, expected) in [
            ("callweave schema --lake x", Some("--lake: schema has no use for it")),
            ("callweave --places x schema", Some("--places: schema has no use for it")),
            ("callweave import --format csv x --places x", Some("--places: import has no use for it")),
            ("callweave demo --lake x", Some("--lake: demo has a lake of its own; --keep DIR names its folder")),
            ("callweave pool plan --places x", Some("--places: pool has no use for it")),
            ("callweave schema --data x --config x --log debug --log-format json", None),
            ("callweave demo --places x", None),
            ("callweave pool plan --lake x", None),
            ("callweave --lake x sql", None),
            ("callweave run --lake x --places x x", None),
        ] {
            let given = hide(Cli::command()).try_get_matches_from(line.split(' ')).expect(line);
            assert_eq!(refusal(&given).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn hidden_flags_are_taken_as_the_shared_ones_are() {
        let line = "callweave simulate --config x.toml --data x --log debug";
        let mut given = hide(Cli::command()).try_get_matches_from(line.split(' ')).expect("taken");
        let cli = <Cli as clap::FromArgMatches>::from_arg_matches_mut(&mut given).expect("of the same types");
        assert_eq!(cli.global.config.as_deref(), Some(std::path::Path::new("x.toml")));
        assert_eq!((cli.global.data.as_deref(), cli.global.log.as_deref()), (Some("x"), Some("debug")));
    }
}
