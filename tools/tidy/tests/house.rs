//! Every rule of the house over every tracked file. A finding names file, line and remedy.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidy::{File, Finding, crates, files, rust, words};

/// A clone of this repository holds more files than this; fewer means that the list is wrong.
const FEWEST_FILES: usize = 30;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All tracked files that are text and still there.
fn tracked() -> Vec<File> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().expect("git runs");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).expect("our paths are UTF-8");
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    let all: Vec<File> = paths
        .filter_map(|path| Some(File { path: path.into(), text: std::fs::read_to_string(root().join(path)).ok()? }))
        .collect();
    assert!(all.len() > FEWEST_FILES, "only {} files are tracked", all.len());
    all
}

fn keep<Found: IntoIterator<Item = Finding>>(rule: fn(&File) -> Found) {
    let findings: Vec<String> = tracked().iter().flat_map(rule).map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{} found:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_source_has_a_header() {
    keep(files::header);
}

#[test]
fn no_file_is_too_long() {
    keep(files::length);
}

#[test]
fn names_say_what_is_inside() {
    keep(files::name);
}

#[test]
fn scripts_stop_at_the_first_error() {
    keep(files::strict_shell);
}

#[test]
fn no_function_is_too_long() {
    keep(rust::function_length);
}

#[test]
fn lints_are_expected_not_allowed() {
    keep(rust::no_allow);
}

#[test]
fn core_has_no_effects() {
    keep(rust::core_is_pure);
}

#[test]
fn core_tests_run_on_wasm_too() {
    keep(rust::core_tests_run_on_wasm);
}

#[test]
fn sync_sql_is_in_store() {
    keep(rust::sync_sql_in_store);
}

#[test]
fn no_forbidden_word() {
    keep(words::forbidden);
}

#[test]
fn crates_depend_one_way() {
    keep(crates::direction);
}

#[test]
fn crates_are_pinned() {
    keep(crates::pinned_crates);
}

#[test]
fn npm_packages_are_pinned() {
    keep(crates::pinned_packages);
}
