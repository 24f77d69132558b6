//! Rules for manifests: which crate may use which, what `core` may not use at all, and that every version is pinned.

use crate::{File, Finding};

/// Our crates and those of ours that each may name, tests included. The direction of the house:
/// crsqlite <- store, core <- store <- {server, client-wasm, cli, sim}, server <- {cli, fuzz}.
const DIRECTIONS: [(&str, &[&str]); 8] = [
    ("crsqlite", &[]),
    ("core", &[]),
    ("store", &["crsqlite", "greenlight-core"]),
    ("server", &["greenlight-core", "greenlight-store", "crsqlite"]),
    ("client-wasm", &["greenlight-core", "greenlight-store", "crsqlite"]),
    ("cli", &["greenlight-core", "greenlight-store", "greenlight-server", "crsqlite"]),
    ("sim", &["greenlight-core", "greenlight-store", "greenlight-server", "crsqlite"]),
    ("fuzz", &["greenlight-core", "greenlight-store", "greenlight-server"]),
];

/// What would bring an effect into `core`. Its tests may use more.
const NOT_IN_CORE: [&str; 10] =
    ["tokio", "rusqlite", "rand", "getrandom", "js-sys", "web-sys", "wasm-bindgen", "chrono", "tracing", "axum"];

fn is_ours(dependency: &str) -> bool {
    dependency == "crsqlite" || dependency.starts_with("greenlight-")
}

fn parse(file: &File) -> Result<toml::Table, Finding> {
    file.text.parse().map_err(|error| file.finding(1, format!("is no TOML: {error}")))
}

/// Every table of dependencies of a manifest, those for one platform included: (its kind, name, what stands there).
fn dependencies(manifest: &toml::Table) -> Vec<(&str, &str, &toml::Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let platforms = platforms.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(platforms) {
        for kind in KINDS {
            let entries = table.get(kind).and_then(toml::Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(name, value)| (kind, name.as_str(), value)));
        }
    }
    found
}

/// Dependencies point one way, and `core` stays free of effects.
pub fn direction(file: &File) -> Vec<Finding> {
    let Some((room, allowed)) = DIRECTIONS.iter().find(|(room, _)| file.path == format!("{room}/Cargo.toml")) else {
        return Vec::new();
    };
    let manifest = match parse(file) {
        Ok(manifest) => manifest,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    for (kind, name, _) in dependencies(&manifest) {
        if is_ours(name) && !allowed.contains(&name) && manifest["package"]["name"].as_str() != Some(name) {
            findings.push(file.finding(1, format!("{room} may not use {name}: dependencies point one way")));
        }
        if *room == "core" && kind == "dependencies" && NOT_IN_CORE.contains(&name) {
            findings.push(file.finding(1, format!("{name} is an effect, and core has none")));
        }
    }
    findings
}

/// A crate takes its versions and its lints from the workspace, and the workspace pins every version.
pub fn pinned_crates(file: &File) -> Vec<Finding> {
    if file.name() != "Cargo.toml" {
        return Vec::new();
    }
    let manifest = match parse(file) {
        Ok(manifest) => manifest,
        Err(finding) => return vec![finding],
    };
    let shared = |value: &toml::Value| value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
    let mut findings = Vec::new();
    if let Some(workspace) = manifest.get("workspace") {
        let all = workspace.get("dependencies").and_then(toml::Value::as_table).into_iter().flatten();
        for (name, value) in all.filter(|(_, value)| value.get("path").is_none()) {
            let version = value.as_str().or_else(|| value.get("version").and_then(toml::Value::as_str));
            if !version.is_some_and(|version| version.starts_with('=')) {
                findings.push(file.finding(1, format!("pin {name}: \"=1.2.3\"")));
            }
        }
        return findings;
    }
    for (_, name, value) in dependencies(&manifest) {
        // What crsqlite/prepare fetches is pinned there, by its hash.
        let is_vendored =
            value.get("path").and_then(toml::Value::as_str).is_some_and(|path| path.contains("../vendor/"));
        if !shared(value) && !is_vendored && value.get("path").is_none_or(|path| path.as_str() != Some(".")) {
            findings.push(file.finding(1, format!("{name}.workspace = true: versions stand in the root manifest")));
        }
    }
    if !manifest.get("lints").is_some_and(shared) {
        findings.push(file.finding(1, "[lints] workspace = true is missing"));
    }
    findings
}

/// An npm package names exact versions, as the lock would hold anyway, so that both are read in one place.
pub fn pinned_packages(file: &File) -> Vec<Finding> {
    if file.name() != "package.json" {
        return Vec::new();
    }
    let manifest: serde_json::Value = match serde_json::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.finding(error.line(), format!("is no JSON: {error}"))],
    };
    let kinds = ["dependencies", "devDependencies", "optionalDependencies"];
    let entries = kinds.iter().filter_map(|kind| manifest[kind].as_object()).flatten();
    entries
        .filter(|(_, version)| !version.as_str().is_some_and(is_exact))
        .map(|(name, version)| file.finding(1, format!("pin {name}: {version} is not one version")))
        .collect()
}

/// One version, or a package of this workspace.
fn is_exact(version: &str) -> bool {
    version == "*" || version.starts_with("file:") || version.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_dependency_against_the_direction_is_seen() {
        let text = "[package]\nname = \"greenlight-store\"\n[dev-dependencies]\ngreenlight-server.workspace = true\n";
        assert_eq!(direction(&file("store/Cargo.toml", text)).len(), 1);
        assert_eq!(direction(&file("cli/Cargo.toml", text)), []);
    }

    #[test]
    fn an_effect_in_core_is_seen_also_for_one_platform() {
        let text = "[package]\nname = \"greenlight-core\"\n[target.'cfg(unix)'.dependencies]\ntokio.workspace = true\n";
        assert_eq!(direction(&file("core/Cargo.toml", text)).len(), 1);
        assert_eq!(direction(&file("core/Cargo.toml", "[package]\nname = \"greenlight-core\"\n")), []);
    }

    #[test]
    fn versions_of_one_crate_alone_and_missing_lints_are_seen() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nserde = \"=1.0.0\"\n";
        assert_eq!(pinned_crates(&file("x/Cargo.toml", text)).len(), 2);
        let text = "[package]\nname = \"x\"\n[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n";
        assert_eq!(pinned_crates(&file("x/Cargo.toml", text)), []);
    }

    #[test]
    fn an_open_version_in_the_workspace_is_seen() {
        let text = "[workspace.dependencies]\na = \"1.0\"\nb = \"=1.0.0\"\nc = { path = \"c\" }\n";
        assert_eq!(pinned_crates(&file("Cargo.toml", text)).len(), 1);
    }

    #[test]
    fn an_open_npm_version_is_seen() {
        let text = r#"{"dependencies": {"a": "^1.0.0", "b": "1.0.0"}, "devDependencies": {"c": "*", "d": "latest"}}"#;
        assert_eq!(pinned_packages(&file("web/package.json", text)).len(), 2);
    }
}
