//! How commands end: what each exit code means, and which of them a command can end with.
//!
//! Where in the flow: added to the description of the commands, out of which the help and the manual are made.
//! docs/cli.md has the same tables. Never decides how a command ends: its errors do.

use clap::Command;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The number.
    pub code: u8,
    /// What it means, as the help says it.
    pub means: &'static str,
    /// What the manual adds to that.
    pub more: &'static str,
}

/// Every code.
pub const EXITS: [Exit; 10] = [
    Exit { code: 0, means: "done, in step", more: "" },
    Exit { code: 1, means: "an error", more: "; a problem that `doctor` finds; rows that `bundle apply` can't write" },
    Exit { code: 2, means: "wrong arguments", more: "" },
    Exit {
        code: 3,
        means: "refused, or incompatible",
        more: "; a passphrase that is missing or wrong; credentials that a bucket refuses",
    },
    Exit { code: 4, means: "no connection", more: ", to a server or a bucket" },
    Exit { code: 5, means: "stuck", more: ": it needs somebody" },
    Exit { code: 6, means: "behind", more: ": the remote has changes that are not here" },
    Exit { code: 7, means: "ahead", more: ": there is something to push" },
    Exit { code: 8, means: "diverged", more: "" },
    Exit { code: 9, means: "busy", more: ": a lock is held, the database is in use, or another machine was first" },
];

/// Those of each command; the others end with [`PLAIN`].
pub const COMMANDS: [(&str, &[u8]); 6] = [
    ("adopt", &[0, 1, 2, 3, 9]),
    ("sync now", &[0, 1, 2, 3, 4, 5]),
    ("sync status", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("sync push", &[0, 1, 2, 3, 4, 5, 6, 8, 9]),
    ("sync pull", &[0, 1, 2, 3, 4, 5, 8, 9]),
    ("sync watch", &[0, 1, 2, 3, 4]),
];

/// Done, an error, or wrong arguments.
pub const PLAIN: &[u8] = &[0, 1, 2];

/// The codes that a command can end with; `words` as in `sync push`, none of the program without one.
pub fn of(words: &str) -> Vec<Exit> {
    let own = COMMANDS.iter().find(|(command, _)| *command == words).map(|(_, codes)| codes.to_vec());
    // A group of commands ends as those in it do.
    let is_in_it = |command: &str| words.is_empty() || command.starts_with(&format!("{words} "));
    let below = COMMANDS.iter().filter(|(command, _)| is_in_it(command)).flat_map(|(_, codes)| codes.iter().copied());
    let codes = own.unwrap_or_else(|| below.chain(PLAIN.iter().copied()).collect());
    EXITS.into_iter().filter(|exit| codes.contains(&exit.code)).collect()
}

/// Adds to each command's help how it ends.
pub fn documented(command: Command) -> Command {
    described(command, "")
}

fn described(command: Command, words: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let mut command = command;
    for name in &names {
        let below = if words.is_empty() { name.clone() } else { format!("{words} {name}") };
        command = command.mut_subcommand(name, |command| described(command, &below));
    }
    let codes: Vec<String> = of(words).iter().map(|exit| format!("{} {}", exit.code, exit.means)).collect();
    command.after_help(format!("Exit codes: {}", codes.join("; ")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Arguments;
    use crate::manual::commands;

    fn rows() -> Vec<Vec<&'static str>> {
        let documented = include_str!("../../docs/cli.md");
        let (_, section) = documented.split_once("\n## Exit codes\n").expect("cli.md has them");
        let section = section.split("\n## ").next().unwrap_or_default();
        let cells = |line: &'static str| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect());
        section.lines().filter_map(cells).collect()
    }

    #[test]
    fn the_documentation_has_the_same_tables() {
        let rows = rows();
        for exit in EXITS {
            let row = vec![exit.code.to_string(), format!("{}{}", exit.means, exit.more)];
            assert!(rows.iter().any(|found| *found == row), "{row:?}");
        }
        let list = |codes: &[u8]| codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        for (command, codes) in COMMANDS {
            let row = vec![format!("`{command}`"), list(codes)];
            assert!(rows.iter().any(|found| *found == row), "{row:?}");
        }
        assert!(rows.contains(&vec!["every other", list(PLAIN).as_str()]));
        assert_eq!(rows.len(), EXITS.len() + COMMANDS.len() + 1 + 2, "and the two heads");
    }

    #[test]
    fn every_command_that_is_named_is_there() {
        let mut root = Arguments::command();
        root.build();
        let names: Vec<String> = commands(&root).into_iter().map(|(name, _)| name).collect();
        for (command, _) in COMMANDS {
            assert!(names.contains(&format!("greenlight-{}", command.replace(' ', "-"))), "{command}");
        }
        assert_eq!(of("sync").len(), EXITS.len(), "all that its commands can");
        assert_eq!(of("remote add").len(), PLAIN.len());
    }
}
