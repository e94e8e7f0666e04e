//! Who may use whom. The table is the one at the top of `src/lib.rs`, written so that a program can read it.

use super::tree::SourceFile;

/// Each module of the crate and the modules that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("logic", &["meili"]),
    ("meili", &["logic"]),
    ("dump", &["logic", "meili"]),
    ("config", &["logic"]),
    ("telemetry", &["logic", "config"]),
    ("http_types", &["meili"]),
    ("store", &["logic", "meili", "config", "telemetry"]),
    ("bridge", &["logic", "meili", "telemetry"]),
    ("data_plane", &["logic", "meili", "config", "telemetry", "bridge", "http_types"]),
    ("control_plane", &["logic", "meili", "dump", "config", "telemetry", "store", "bridge", "http_types"]),
    // Nothing of ours, so that the node stays a model of Meilisearch.
    ("devnode", &["meili", "telemetry"]),
    // From outside, as any client: it knows the rules of the API, and none of the planes.
    ("import", &["logic", "meili", "telemetry", "dump"]),
    ("ctl", &["program", "import", "meili", "telemetry"]),
];

/// Modules that put the parts together may use all of them.
const UNBOUND: &[&str] = &["program", "server", "lib", "main", "bin"];

/// Uses beyond the table, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "src/control_plane/coordinator/tests.rs",
    "devnode",
    "the driver is tested inside its module, against servers that behave as Meilisearch does",
)];

/// What `logic` must not touch: the world outside, time and chance.
const IMPURE: &[&str] = &[
    "std::fs",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "std::thread",
    "std::process",
    "std::env",
    "std::io",
    "std::time::Instant",
    "SystemTime",
    "std::sync::Mutex",
    "rusqlite",
    "hyper",
    "glommio",
    "ureq",
    "crossbeam",
    "parking_lot",
    "tracing::",
    "rand::",
];

/// Crates with one home, and where that is.
const HOMES: &[(&str, &[&str])] = &[
    ("glommio", &["src/data_plane/", "loadtest/"]),
    ("io_uring", &["src/data_plane/rt.rs"]),
    ("may_minihttp", &["src/devnode/", "loadtest/"]),
    ("rusqlite", &["src/store/", "src/devnode/"]),
    ("serde_saphyr", &["src/config/"]),
    ("ureq", &["src/control_plane/", "src/ctl/", "src/import/", "src/program/", "tests/", "loadtest/"]),
];

fn module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    inside.split('/').next().map(|first| first.trim_end_matches(".rs"))
}

/// Uses of `crate::…` against the table. Unit tests are checked too: they live in the same layer.
pub fn direction(file: &SourceFile) -> Vec<String> {
    let Some(module) = module(&file.path) else { return Vec::new() };
    if UNBOUND.contains(&module) {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: module `{module}` is not in the table of tests/tidy/imports.rs", file.path)];
    };
    let mut findings = Vec::new();
    for (at, _) in file.text.match_indices("crate::") {
        let line_start = file.text[..at].rfind('\n').map_or(0, |end| end + 1);
        // Mentions in comments, and `$crate`, bind nothing.
        if file.text[line_start..at].trim_start().starts_with("//") || file.text[..at].ends_with('$') {
            continue;
        }
        for used in first_names(&file.text[at + "crate::".len()..]) {
            let is_module = ALLOWED.iter().any(|(name, _)| *name == used) || UNBOUND.contains(&used);
            let is_excepted = EXCEPTIONS.iter().any(|(path, name, _)| *path == file.path && *name == used);
            if is_module && used != module && !allowed.contains(&used) && !is_excepted {
                let number = file.text[..at].lines().count();
                findings.push(format!("{}:{number}: `{module}` must not use `{used}`", file.path));
            }
        }
    }
    findings
}

/// `a::b` gives a; `{a::b, c}` gives a and c.
fn first_names(path: &str) -> Vec<&str> {
    let name = |text: &'_ str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..name(path)]] };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut item_starts = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => item_starts = true,
            letter if item_starts && !letter.is_whitespace() => {
                names.push(&group[at..at + name(&group[at..])]);
                item_starts = false;
            }
            _ => {}
        }
    }
    names
}

/// The purity of `logic`. Its tests may use what they like.
pub fn purity(file: &SourceFile) -> Vec<String> {
    if module(&file.path) != Some("logic") || file.is_test() {
        return Vec::new();
    }
    let code = file.production().lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.flat_map(|(number, line)| IMPURE.iter().filter(|word| line.contains(**word)).map(move |word| (number, word)))
        .map(|(number, word)| format!("{}:{}: logic must not use `{word}`", file.path, number + 1))
        .collect()
}

/// Crates used outside of their homes. Tests may speak HTTP from anywhere.
pub fn runtimes(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    if file.is_test() {
        return findings;
    }
    for (name, homes) in HOMES {
        let is_home = homes.iter().any(|home| file.path.starts_with(home));
        let uses = format!("{name}::");
        let is_code = |line: &&str| !line.trim_start().starts_with("//") && line.contains(&uses) && !line.contains('"');
        if !is_home && file.text.lines().any(|line| is_code(&line)) {
            findings.push(format!("{}: `{name}` is used in {} only", file.path, homes.join(", ")));
        }
    }
    findings
}
