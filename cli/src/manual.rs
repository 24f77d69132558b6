//! `greenlight completions` and `greenlight man`: what a shell and the manual know of the commands, out of the same
//! description that the arguments are read by.
//!
//! Where in the flow: run by a person once, and when a release is packed. Never tells anything of its own, but for the
//! exit codes, which all commands share.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;
use thiserror::Error;

use crate::args::Arguments;
use crate::durable;
use crate::output::{self, say};

/// How a command ends, for every page; docs/cli.md has the same table.
pub const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done, in step"),
    (1, "an error"),
    (2, "wrong arguments"),
    (3, "refused, or incompatible; a passphrase that is missing or wrong; credentials that a bucket refuses"),
    (4, "no connection, to a server or a bucket"),
    (5, "stuck: it needs somebody"),
    (6, "behind: the remote has changes that are not here"),
    (7, "ahead: there is something to push (`status` alone)"),
    (8, "diverged"),
    (9, "busy: a lock is held, the database is in use, or another machine was first"),
];

/// Which shell. Exit codes: 0 done, 2 wrong arguments.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArguments {
    /// Whose completions.
    pub shell: Shell,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Where the pages go. Exit codes: 0 done, 1 error, 2 wrong arguments.
#[derive(Args, Clone, Debug)]
pub struct ManArguments {
    /// The folder, made where it is missing; `man -l DIR/greenlight.1` shows a page.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Error)]
enum ManualError {
    #[error("the manual can't be written to {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Prints the completions of a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "greenlight", &mut script);
    let script = String::from_utf8_lossy(&script);
    if arguments.json {
        say!("{:#}", json!({ "shell": arguments.shell.to_string(), "script": script }));
    } else {
        output::text(&script);
    }
    ExitCode::SUCCESS
}

/// Writes a page for each command into a folder.
pub(crate) fn man(arguments: &ManArguments) -> ExitCode {
    match pages(&arguments.folder) {
        Ok(files) if arguments.json => say!("{:#}", json!({ "files": files })),
        Ok(files) => say!("Wrote {} pages to {}.", files.len(), arguments.folder.display()),
        Err(error) => {
            eprintln!("greenlight: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn pages(folder: &Path) -> Result<Vec<PathBuf>, ManualError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ManualError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut root = Arguments::command();
    root.build();
    let mut files = Vec::new();
    for (name, command) in commands(&root) {
        let file = folder.join(format!("{name}.1"));
        let page = page(&name, command).map_err(failed(&file))?;
        durable::write(&file, &page).map_err(failed(&file))?;
        files.push(file);
    }
    files.sort();
    Ok(files)
}

/// Every command that is shown in the help, by its page's name: `greenlight-sync-push`.
pub fn commands(root: &Command) -> Vec<(String, &Command)> {
    fn collect<'a>(name: String, command: &'a Command, all: &mut Vec<(String, &'a Command)>) {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            collect(format!("{name}-{}", below.get_name()), below, all);
        }
        all.push((name, command));
    }
    let mut all = Vec::new();
    collect(root.get_name().to_owned(), root, &mut all);
    all
}

/// One page: clap's, and the exit codes.
fn page(name: &str, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let own = command.get_after_help().map(ToString::to_string);
    let command = command.clone().after_help(Resettable::Reset);
    let man = Man::new(command).title(name).source(concat!("greenlight ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page)?;
    let mut codes = Roff::new();
    codes.control("SH", ["EXIT STATUS"]);
    if let Some(own) = own {
        codes.text([roman(own.replacen("Exit codes:", "Of this command:", 1))]);
        codes.control("PP", []);
        codes.text([roman("Of all:")]);
    }
    for (code, means) in EXIT_CODES {
        codes.control("TP", ["4"]);
        codes.text([bold(code.to_string())]);
        codes.text([roman(means)]);
    }
    codes.control("SH", ["SEE ALSO"]);
    codes.text([roman(related(name))]);
    codes.to_writer(&mut page)?;
    Ok(page)
}

/// The pages of the commands above it.
fn related(name: &str) -> String {
    let mut text = String::new();
    for (end, _) in name.match_indices('-') {
        // Writing to a string can't fail.
        let _written = write!(text, "{}(1), ", &name[..end]);
    }
    text + "`greenlight COMMAND --help`, docs/cli.md"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let documented = include_str!("../../docs/cli.md");
        let (_, table) = documented.split_once("## Exit codes").expect("cli.md has them");
        for (code, means) in EXIT_CODES {
            assert!(table.contains(&format!("| {code} | {means} |")), "{code} {means}");
        }
    }
}
