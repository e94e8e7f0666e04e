//! The files that are checked.

use std::path::Path;

/// One file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// From the root of the repository, with slashes.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl SourceFile {
    /// The part before the unit tests inside the file. A mere `mod tests;` ends nothing.
    pub fn production(&self) -> &str {
        let marks = self.text.match_indices("#[cfg(test)]");
        let is_block = |at: usize| self.text[at..].lines().nth(1).is_some_and(|line| !line.trim_end().ends_with(';'));
        marks.map(|(at, _)| at).find(|at| is_block(*at)).map_or(&self.text, |end| &self.text[..end])
    }

    /// Tests only.
    pub fn is_test(&self) -> bool {
        // The contract suite of the stores is compiled for tests only.
        let of_tests = ["/tests.rs", "/tests/", "/contract.rs", "/contract/"];
        !self.path.starts_with("src/") || of_tests.iter().any(|part| self.path.contains(part))
    }
}

/// All Rust files of this repository.
pub fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "bench", "loadtest"] {
        collect(folder, "rs", &mut files);
    }
    files
}

/// All pages of documentation.
pub fn documents() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect("docs", "md", &mut files);
    files.extend(read("README.md"));
    files
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<SourceFile> {
    let text = std::fs::read_to_string(root().join(path)).ok()?;
    Some(SourceFile { path: path.to_owned(), text })
}

fn collect(folder: &str, extension: &str, files: &mut Vec<SourceFile>) {
    let Ok(entries) = std::fs::read_dir(root().join(folder)) else { return };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("the tree is readable").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        if name == "target" {
            continue;
        }
        if root().join(&path).is_dir() {
            collect(&path, extension, files);
        } else if Path::new(&name).extension().is_some_and(|found| found == extension) {
            files.extend(read(&path));
        }
    }
}
