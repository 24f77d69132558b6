//! Words that have no place in the tree: paths of one machine, hosts of registries, notes to self.
//! Lock files are left out; they are written by package managers.

use crate::{File, Finding};

// Put together here, so that this file doesn't hold what it looks for.
const FORBIDDEN: [(&str, &str); 13] = [
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/tm", "p/"), "a path of one machine: ask for a fresh folder"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("registry.", "npmjs.org"), "a registry's host: its client knows it"),
    (concat!("crates", ".io/api"), "a registry's host: its client knows it"),
    (concat!("index.", "crates.io"), "a registry's host: its client knows it"),
    (concat!("static.", "crates.io"), "a registry's host: its client knows it"),
    (concat!("deb.", "debian.org"), "a registry's host: its client knows it"),
    (concat!("TO", "DO"), "do it, or write down elsewhere what is missing"),
    (concat!("FIX", "ME"), "fix it, or write down elsewhere what is wrong"),
    (concat!("XX", "X"), "say what it is"),
    (concat!("spi", "ke"), "an experiment that a reader can't see"),
];

/// No file holds a forbidden word.
pub fn forbidden(file: &File) -> Vec<Finding> {
    if file.is_lock() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for (word, why) in FORBIDDEN {
            if has_word(line, word) {
                findings.push(file.finding(at + 1, format!("\"{word}\": {why}")));
            }
        }
    }
    findings
}

/// Whether the word stands in the line on its own: not inside of a longer one, as `work/` is in `framework/`.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '}');
        // A path's end may be followed by anything, a word's may not.
        !joins(before) && (word.ends_with('/') || !joins(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        forbidden(&File { path: "a.md".into(), text: text.into() }).len()
    }

    #[test]
    fn every_forbidden_word_is_seen() {
        for (word, _) in FORBIDDEN {
            assert_eq!(found(&format!("see {word} there")), 1, "{word}");
        }
    }

    #[test]
    fn words_inside_of_longer_ones_are_not() {
        let path = FORBIDDEN[0].0;
        assert_eq!(found(&format!("look in frame{path}x and $root{path}")), 0);
        assert_eq!(found(&format!("x{}s", FORBIDDEN[9].0)), 0);
    }

    #[test]
    fn lock_files_are_left_out() {
        let text = FORBIDDEN[4].0.to_string();
        assert_eq!(forbidden(&File { path: "web/package-lock.json".into(), text }), []);
    }
}
