//! Checks of one file at a time. Each answers with its findings, one line each.

use super::tree::{SourceFile, root};

/// Lines of a file's header.
const HEADER_LINES_MAX: usize = 25;

/// Lines of a file without its unit tests.
const FILE_LINES_MAX: usize = 600;

/// Lines of a file of tests.
const TEST_FILE_LINES_MAX: usize = 1200;

/// Files that may be longer, up to a limit, and why.
const LONGER: &[(&str, usize, &str)] = &[];

/// Folders and modules that collect what nobody could name.
const DRAWERS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"];

/// What opens the file.
pub fn header(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    match lines {
        0 => vec![format!("{}: does not open with `//!` and what it is for", file.path)],
        1..=HEADER_LINES_MAX => Vec::new(),
        _ => vec![format!("{}: its header has {lines} lines; move the reasoning to docs/", file.path)],
    }
}

fn length_limit(file: &SourceFile) -> (usize, usize) {
    if file.is_test() {
        (file.text.lines().count(), TEST_FILE_LINES_MAX)
    } else {
        (file.production().lines().count(), FILE_LINES_MAX)
    }
}

/// How long it is.
pub fn length(file: &SourceFile) -> Vec<String> {
    let (lines, limit) = length_limit(file);
    let limit = LONGER.iter().find(|(path, ..)| *path == file.path).map_or(limit, |(_, longer, _)| *longer);
    if lines > limit { vec![format!("{}: {lines} lines, at most {limit}", file.path)] } else { Vec::new() }
}

/// Exceptions that nothing needs any more.
pub fn stale_exceptions(files: &[SourceFile]) -> Vec<String> {
    let is_needed = |path: &str| {
        files.iter().filter(|file| file.path == path).any(|file| {
            let (lines, limit) = length_limit(file);
            lines > limit
        })
    };
    LONGER
        .iter()
        .filter(|(path, ..)| !is_needed(path))
        .map(|(path, ..)| format!("{path}: fits the limit, take it off the exceptions"))
        .collect()
}

/// What its folders and itself are called.
pub fn names(file: &SourceFile) -> Vec<String> {
    let parts = file.path.trim_end_matches(".rs").split('/');
    parts
        .filter(|part| DRAWERS.contains(part))
        .map(|part| format!("{}: `{part}` says nothing; name what is in it", file.path))
        .collect()
}

/// Clippy says it too; this also sees code that is compiled out.
pub fn unwraps(file: &SourceFile) -> Vec<String> {
    if file.is_test() {
        return Vec::new();
    }
    numbered(file.production(), |line| line.contains(".unwrap()") && !line.trim_start().starts_with("//"))
        .map(|number| format!("{}:{number}: use `expect` with the reason why it cannot fail", file.path))
        .collect()
}

/// Sentences, without a prefix.
pub fn test_names(file: &SourceFile) -> Vec<String> {
    let prefix = ["fn ", "test_"].concat();
    numbered(&file.text, |line| line.trim_start().starts_with(&prefix))
        .map(|number| format!("{}:{number}: call the test by what it shows", file.path))
        .collect()
}

/// The texts given to `tracing`.
pub fn log_messages(file: &SourceFile) -> Vec<String> {
    const MACROS: &[&str] = &["error!(", "warn!(", "info!(", "debug!(", "trace!("];
    let mut findings = Vec::new();
    let text = file.production();
    for start in MACROS.iter().flat_map(|name| text.match_indices(name)).map(|(at, name)| at + name.len()) {
        let Some(message) = last_literal(arguments(&text[start..])) else { continue };
        let mut letters = message.chars();
        let (first, second) = (letters.next(), letters.next());
        let number = text[..start].lines().count();
        // A second capital is an abbreviation.
        if first.is_some_and(char::is_uppercase) && !second.is_some_and(char::is_uppercase) {
            findings.push(format!("{}:{number}: log messages begin in lower case: {message:?}", file.path));
        }
        if message.ends_with('.') {
            findings.push(format!("{}:{number}: log messages end without a full stop: {message:?}", file.path));
        }
    }
    findings
}

/// Up to the closing parenthesis.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_literal, mut escaped) = (1, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_literal => escaped = true,
            '"' => in_literal = !in_literal,
            '(' if !in_literal => depth += 1,
            ')' if !in_literal => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// The message stands last, unless it has arguments of its own.
fn last_literal(arguments: &str) -> Option<&str> {
    let end = arguments.rfind('"')?;
    let start = arguments[..end].rfind('"')?;
    Some(&arguments[start + 1..end])
}

/// Names of machines and places of work have no business in the tree.
pub fn foreign_words(file: &SourceFile) -> Vec<String> {
    const PARTS: &[[&str; 2]] = &[["/", "root/"], ["/", "work/"], ["/", "home/"], ["work", "tree "], ["FIX", "ME"]];
    let words: Vec<String> = PARTS.iter().map(|parts| parts.concat()).collect();
    numbered(&file.text, |line| words.iter().any(|word| line.contains(word.as_str())))
        .map(|number| format!("{}:{number}: names a path of one machine, or a note to oneself", file.path))
        .collect()
}

/// Files of `src` that no `mod` declares.
pub fn dead_files(files: &[SourceFile]) -> Vec<String> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("src/") && !file.path.starts_with("src/bin/")) {
        if file.path == "src/lib.rs" || file.path == "src/main.rs" {
            continue;
        }
        let module = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let (parent, name) = module.rsplit_once('/').expect("everything is below src/");
        let parents = [format!("{parent}/mod.rs"), format!("{parent}.rs"), "src/lib.rs".to_owned()];
        let parent = parents.iter().find_map(|path| find(path));
        let declares = |line: &str| {
            line.trim_start().ends_with(&format!("mod {name};")) || line.contains(&format!("mod {name} {{"))
        };
        if !parent.is_some_and(|parent| parent.text.lines().any(declares)) {
            findings.push(format!("{}: no `mod {name};` declares it", file.path));
        }
    }
    findings
}

/// Names of tests in a page (words joined by two underscores or more, in backticks) that are no functions. Keys of the
/// configuration have dots.
pub fn unknown_tests(file: &SourceFile, sources: &[SourceFile]) -> Vec<String> {
    let names =
        file.text.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 1 && !name.contains('.'));
    let exists = |name: &str| sources.iter().any(|source| source.text.contains(&format!("fn {name}(")));
    names.filter(|name| !exists(name)).map(|name| format!("{}: there is no test `{name}`", file.path)).collect()
}

/// Relative links of a page.
pub fn links(file: &SourceFile) -> Vec<String> {
    let folder = root().join(&file.path).parent().expect("a file has a folder").to_owned();
    let targets = file.text.match_indices("](").filter_map(|(at, _)| file.text[at + 2..].split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .filter(|target| !folder.join(target.split('#').next().unwrap_or_default()).exists())
        .map(|target| format!("{}: the link to {target} leads nowhere", file.path))
        .collect()
}

fn numbered<'a>(text: &'a str, matches: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
    text.lines().enumerate().filter(move |(_, line)| matches(line)).map(|(number, _)| number + 1)
}
