//! Rules for any source file: a header, a length, a name, and how shell scripts begin.

use crate::{File, Finding};

/// Files aim at 300 lines; this is where they stop.
pub const MAX_LINES: usize = 500;

/// What is written by hand and read by people, by extension.
const SOURCES: [&str; 8] = ["rs", "ts", "tsx", "js", "mjs", "css", "sql", "sh"];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 6] = ["common", "util", "utils", "helper", "helpers", "misc"];

fn is_source(file: &File) -> bool {
    SOURCES.contains(&file.extension()) || file.text.starts_with("#!")
}

/// Every source begins with a comment that says what the file is and where in the flow it stands.
pub fn header(file: &File) -> Option<Finding> {
    if !is_source(file) {
        return None;
    }
    let mut lines = file.text.lines();
    let mut first = lines.next().unwrap_or_default();
    if first.starts_with("#!") {
        first = lines.next().unwrap_or_default();
    }
    let wanted: &[&str] = match file.extension() {
        "rs" => &["//!"],
        "ts" | "tsx" | "js" | "mjs" => &["//", "/*"],
        "css" => &["/*"],
        "sql" => &["--"],
        _ => &["#", "//"],
    };
    let there = wanted.iter().any(|start| first.starts_with(start));
    (!there).then(|| file.finding(1, format!("begins without a header comment ({})", wanted[0])))
}

/// No source is longer than [`MAX_LINES`].
pub fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (is_source(file) && lines > MAX_LINES)
        .then(|| file.finding(lines, format!("has {lines} lines; {MAX_LINES} is the most: split it by meaning")))
}

/// No file and no folder is called by a name that fits anything.
pub fn name(file: &File) -> Option<Finding> {
    let empty = file.path.split('/').find(|part| {
        let stem = part.split('.').next().unwrap_or_default();
        EMPTY_NAMES.contains(&stem.to_ascii_lowercase().as_str())
    })?;
    Some(file.finding(1, format!("\"{empty}\" says nothing: name it after what is in it")))
}

/// A bash program stops at the first thing that goes wrong.
pub fn strict_shell(file: &File) -> Option<Finding> {
    let is_bash = file.text.lines().next().is_some_and(|line| line.starts_with("#!") && line.ends_with("bash"));
    (is_bash && !file.text.lines().any(|line| line == "set -euo pipefail"))
        .then(|| file.finding(1, "a bash program needs `set -euo pipefail`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_source_without_header_is_seen() {
        assert!(header(&file("a.rs", "// not the crate's own doc\n")).is_some());
        assert!(header(&file("a.rs", "//! What it is.\n")).is_none());
        assert!(header(&file("a.ts", "import x from 'y';\n")).is_some());
        assert!(header(&file("a.mjs", "#!/usr/bin/env node\n// What it is.\n")).is_none());
        assert!(header(&file("run", "#!/bin/bash\nset -euo pipefail\n")).is_some());
        assert!(header(&file("run", "#!/bin/bash\n# What it is.\n")).is_none());
        assert!(header(&file("a.json", "{}")).is_none());
    }

    #[test]
    fn a_file_of_501_lines_is_seen() {
        assert!(length(&file("a.rs", &"x\n".repeat(MAX_LINES))).is_none());
        assert!(length(&file("a.rs", &"x\n".repeat(MAX_LINES + 1))).is_some());
        assert!(length(&file("a.md", &"x\n".repeat(MAX_LINES + 1))).is_none());
    }

    #[test]
    fn an_empty_name_is_seen_in_file_and_folder() {
        assert!(name(&file("core/src/util.rs", "")).is_some());
        assert!(name(&file("core/Common/x.rs", "")).is_some());
        assert!(name(&file("core/src/commonplace.rs", "")).is_none());
    }

    #[test]
    fn a_lenient_script_is_seen() {
        assert!(strict_shell(&file("run", "#!/bin/bash\n# What it is.\necho\n")).is_some());
        assert!(strict_shell(&file("run", "#!/usr/bin/env bash\n# It.\nset -euo pipefail\n")).is_none());
    }
}
