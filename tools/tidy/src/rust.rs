//! Rules for Rust files that neither rustfmt nor clippy keeps. They read lines, not syntax: rustfmt's layout (a body
//! ends with `}` as far in as its `fn`) makes that exact enough.

use crate::{File, Finding};

/// The longest function, from its `fn` to its closing brace.
pub const MAX_FUNCTION_LINES: usize = 70;

/// What `core` must not touch: it gets time and randomness handed in, and gives effects back.
const EFFECTS: [&str; 12] = [
    "SystemTime",
    "std::time::Instant",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "js_sys",
    "web_sys",
    "println!",
    "static mut",
];

/// Makes every `#[test]` of a file one that the browser's test runner sees too.
const WASM_ALIAS: &str = "use wasm_bindgen_test::wasm_bindgen_test as test;";

fn is_rust(file: &File) -> bool {
    file.extension() == "rs"
}

/// No function is longer than [`MAX_FUNCTION_LINES`].
pub fn function_length(file: &File) -> Vec<Finding> {
    if !is_rust(file) {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    (0..lines.len())
        .filter(|&start| begins_function(lines[start]))
        .filter_map(|start| {
            let length = body_end(&lines, start)? - start + 1;
            let what = format!("a function of {length} lines; {MAX_FUNCTION_LINES} is the most");
            (length > MAX_FUNCTION_LINES).then(|| file.finding(start + 1, what))
        })
        .collect()
}

fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    loop {
        match words.next() {
            Some("fn") => return true,
            Some("pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"") => {}
            Some(word) if word.starts_with("pub(") => {}
            _ => return false,
        }
    }
}

/// The line of the closing brace; nothing for a declaration without a body.
fn body_end(lines: &[&str], start: usize) -> Option<usize> {
    let indent: String = lines[start].chars().take_while(|c| c.is_whitespace()).collect();
    let opening = (start..lines.len()).find(|&at| lines[at].ends_with(['{', '}', ';']))?;
    if !lines[opening].ends_with('{') {
        return lines[opening].ends_with('}').then_some(opening);
    }
    let end = format!("{indent}}}");
    (opening + 1..lines.len()).find(|&at| lines[at] == end)
}

/// A lint that is let pass is expected, with a reason: an `allow` outlives what it was for.
pub fn no_allow(file: &File) -> Vec<Finding> {
    let is_allow = |line: &str| line.starts_with("#[allow(") || line.starts_with("#![allow(");
    let lines = file.text.lines().enumerate();
    lines
        .filter(|(_, line)| is_rust(file) && is_allow(line.trim_start()))
        .map(|(at, _)| file.finding(at + 1, "use #[expect(..., reason = \"...\")]"))
        .collect()
}

/// `core` has no clock, no files, no network, no JavaScript.
pub fn core_is_pure(file: &File) -> Vec<Finding> {
    if !is_rust(file) || !file.path.starts_with("core/src/") {
        return Vec::new();
    }
    let code = file.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter_map(|(at, line)| {
        let effect = EFFECTS.iter().find(|effect| line.contains(**effect))?;
        Some(file.finding(at + 1, format!("{effect} is an effect: core is told the time and asks for the rest")))
    })
    .collect()
}

/// Sync's SQL lives in `store`: whoever drives it never speaks to cr-sqlite's tables.
pub fn sync_sql_in_store(file: &File) -> Vec<Finding> {
    const DRIVERS: [&str; 3] = ["server/src/", "client-wasm/src/", "cli/src/"];
    if !is_rust(file) || !DRIVERS.iter().any(|driver| file.path.starts_with(driver)) {
        return Vec::new();
    }
    // A file's tests may look behind the scenes; they come last.
    let code = file.text.lines().take_while(|line| *line != "#[cfg(test)]");
    code.enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//") && line.contains("crsql_"))
        .map(|(at, _)| file.finding(at + 1, "cr-sqlite's tables and functions are store's business"))
        .collect()
}

/// Every test of `core` also runs on wasm32.
pub fn core_tests_run_on_wasm(file: &File) -> Option<Finding> {
    let line = file.text.lines().position(|line| line.trim() == "#[test]")?;
    let aliased = file.text.contains(WASM_ALIAS);
    (is_rust(file) && file.path.starts_with("core/") && !aliased).then(|| {
        file.finding(line + 1, format!("left out on wasm32: add `#[cfg(target_arch = \"wasm32\")] {WASM_ALIAS}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_long_function_is_seen_with_its_length() {
        let body = "        let x = 1;\n".repeat(69);
        let text =
            format!("impl X {{\n    pub(crate) async fn long(\n        &self,\n    ) -> u8 {{\n{body}    }}\n}}\n");
        let found = function_length(&file("a.rs", &text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].what.contains("73 lines"), "{}", found[0].what);
        let body = "    let x = 1;\n".repeat(68);
        assert_eq!(function_length(&file("a.rs", &format!("fn fits() {{\n{body}}}\n"))), []);
    }

    #[test]
    fn declarations_and_short_bodies_end_where_they_end() {
        let filler = "// x\n".repeat(100);
        let text = format!("trait T {{\n    fn a(&self);\n    fn b() {{}}\n{filler}}}\nfn c() {{\n}}\n");
        assert_eq!(function_length(&file("a.rs", &text)), []);
    }

    #[test]
    fn an_allow_is_seen() {
        assert_eq!(no_allow(&file("a.rs", "    #[allow(dead_code)]\n")).len(), 1);
        assert_eq!(no_allow(&file("a.rs", "#[expect(dead_code, reason = \"x\")]\n")).len(), 0);
    }

    #[test]
    fn a_clock_in_core_is_seen() {
        let text = "//! No SystemTime here.\nuse std::time::SystemTime;\n";
        assert_eq!(core_is_pure(&file("core/src/a.rs", text))[0].line, 2);
        assert_eq!(core_is_pure(&file("server/src/a.rs", text)), []);
    }

    #[test]
    fn sync_sql_outside_of_store_is_seen() {
        let text = "//! About crsql_changes.\nlet q = \"SELECT * FROM crsql_changes\";\n";
        assert_eq!(sync_sql_in_store(&file("server/src/a.rs", text))[0].line, 2);
        assert_eq!(sync_sql_in_store(&file("store/src/a.rs", text)), []);
        let test = format!("//! It.\n#[cfg(test)]\n{text}");
        assert_eq!(sync_sql_in_store(&file("server/src/a.rs", &test)), []);
    }

    #[test]
    fn a_test_of_core_without_the_alias_is_seen() {
        let plain = "mod tests {\n    #[test]\n    fn a() {}\n}\n";
        assert!(core_tests_run_on_wasm(&file("core/src/a.rs", plain)).is_some());
        assert!(core_tests_run_on_wasm(&file("store/src/a.rs", plain)).is_none());
        assert!(core_tests_run_on_wasm(&file("core/src/a.rs", &format!("{WASM_ALIAS}\n{plain}"))).is_none());
    }
}
