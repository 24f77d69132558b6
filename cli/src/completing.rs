//! Names of remotes in a shell's completions: clap knows which commands and flags there are, and not what a
//! configuration holds.
//!
//! Where in the flow: on the way of a script out of clap. The shell asks `greenlight remote list --names` each time, so
//! that a name which was added a moment ago is there. Never changes a script of a shell that it does not know.

use clap_complete::Shell;

/// What a shell runs; a configuration that can't be read has no names, and the command line stays clean.
const NAMES: &str = "greenlight remote list --names 2>/dev/null";

/// The script with the names at `--remote` and at `remote remove`. Places in it that clap no longer writes so are left as
/// they are: the tests find that.
pub(crate) fn with_remotes(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => bash(script),
        Shell::Zsh => zsh(script),
        Shell::Fish => fish(script),
        _ => script.to_owned(),
    }
}

fn bash(script: &str) -> String {
    let files = "--remote)\n                    COMPREPLY=($(compgen -f \"${cur}\"))";
    let both = format!(
        "--remote)\n                    COMPREPLY=($(compgen -W \"$({NAMES})\" -- \"${{cur}}\") $(compgen -f -- \"${{cur}}\"))"
    );
    let remove = " greenlight__subcmd__remote__subcmd__remove)\n            opts=\"";
    script.replace(files, &both).replace(remove, &format!("{remove}$({NAMES}) "))
}

fn zsh(script: &str) -> String {
    let begin = "(( $+functions[_greenlight_commands] ))";
    let functions = format!(
        "_greenlight_remotes() {{\n    compadd -- ${{(f)\"$({NAMES})\"}}\n}}\n\
         _greenlight_places() {{\n    _greenlight_remotes\n    _files\n}}\n"
    );
    script
        .replacen(begin, &format!("{functions}{begin}"), 1)
        .replace(":REMOTE:_default'", ":REMOTE:_greenlight_places'")
        .replace("':name -- Its name:_default'", "':name -- Its name:_greenlight_remotes'")
}

fn fish(script: &str) -> String {
    let choosing = "__fish_greenlight_using_subcommand sync; or __fish_greenlight_using_subcommand doctor";
    let remove = "__fish_greenlight_using_subcommand remote; and __fish_seen_subcommand_from remove";
    format!(
        "{script}complete -c greenlight -n \"{choosing}\" -l remote -r -a '({NAMES})'\n\
         complete -c greenlight -n \"{remove}\" -f -a '({NAMES})'\n"
    )
}
