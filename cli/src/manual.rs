//! `greenlight completions` and `greenlight man`: what a shell and the manual know of the commands, out of the same
//! description that the arguments are read by.
//!
//! Where in the flow: run by a person once, and when a release is packed. Never tells anything of its own.

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
use crate::completing::with_remotes;
use crate::durable;
use crate::exits::{self, Exit};
use crate::output::{self, say};

/// Which shell.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArguments {
    /// Whose completions.
    pub shell: Shell,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// Where the pages go.
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
    let script = with_remotes(arguments.shell, &String::from_utf8_lossy(&script));
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
    let command = command.clone().after_help(Resettable::Reset);
    let man = Man::new(command).title(name).source(concat!("greenlight ", env!("CARGO_PKG_VERSION")));
    man.render(&mut page)?;
    let mut codes = Roff::new();
    codes.control("SH", ["EXIT STATUS"]);
    let words = name.split('-').skip(1).collect::<Vec<_>>().join(" ");
    for Exit { code, means, more } in exits::of(&words) {
        codes.control("TP", ["4"]);
        codes.text([bold(code.to_string())]);
        codes.text([roman(format!("{means}{more}"))]);
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
