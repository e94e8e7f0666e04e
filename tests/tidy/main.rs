//! Rules of the source tree that no lint checks: headers, lengths, names, the direction of imports, purity of `logic`,
//! log messages, dead files, links of the documentation.
//!
//! A limit can be exceeded only by a line in the table of exceptions, with its reason. A line that is no longer needed is
//! itself a finding, so the tables can only shrink.

mod checks;
mod imports;
mod tree;

use tree::{SourceFile, documents, sources};

/// Fails with all findings at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
}

fn over_sources(check: impl Fn(&SourceFile) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 20, "the tree was found");
    none(&sources.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    over_sources(checks::header);
}

#[test]
fn no_file_is_too_long() {
    let mut findings: Vec<String> = sources().iter().flat_map(checks::length).collect();
    findings.extend(checks::stale_exceptions(&sources()));
    none(&findings);
}

#[test]
fn no_module_is_a_drawer_for_anything() {
    over_sources(checks::names);
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    over_sources(checks::unwraps);
}

#[test]
fn names_of_tests_are_sentences() {
    over_sources(checks::test_names);
}

#[test]
fn log_messages_are_lower_case_without_a_full_stop() {
    over_sources(checks::log_messages);
}

#[test]
fn every_source_file_is_part_of_the_crate() {
    none(&checks::dead_files(&sources()));
}

#[test]
fn imports_point_one_way() {
    over_sources(imports::direction);
}

#[test]
fn logic_is_pure() {
    over_sources(imports::purity);
}

#[test]
fn the_runtime_crates_stay_in_their_places() {
    over_sources(imports::runtimes);
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut findings: Vec<String> = sources().iter().flat_map(checks::foreign_words).collect();
    findings.extend(documents().iter().flat_map(checks::foreign_words));
    none(&findings);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = documents();
    assert!(documents.iter().any(|file| file.path == "README.md"));
    none(&documents.iter().flat_map(checks::links).collect::<Vec<_>>());
}

#[test]
fn the_tests_that_documents_name_exist() {
    let documents = documents();
    for path in ["docs/INVARIANTS.md", "docs/EXACTNESS.md", "docs/RELIABILITY.md"] {
        let table = documents.iter().find(|file| file.path == path).expect("the table is there");
        none(&checks::unknown_tests(table, &sources()));
    }
}

#[test]
fn the_checks_find_what_they_look_for() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    assert_eq!(checks::header(&file("src/a.rs", "use x;\n")).len(), 1);
    assert_eq!(checks::length(&file("src/a.rs", &"//! x\n".repeat(700))).len(), 1);
    assert_eq!(checks::names(&file("src/utils/mod.rs", "")).len(), 1);
    assert_eq!(
        checks::unwraps(&file("src/a.rs", "let a = b.unwrap();\n#[cfg(test)]\nmod tests {\nb.unwrap();\n}\n")).len(),
        1
    );
    assert_eq!(checks::test_names(&file("src/a.rs", &["#[test]\nfn ", "test_", "it() {}\n"].concat())).len(), 1);
    assert_eq!(checks::log_messages(&file("src/a.rs", "warn!(id = 3, \"Node is gone.\");\n")).len(), 2);
    assert_eq!(
        checks::log_messages(&file("src/a.rs", "info!(id = %x, \"node is back\"); debug!(\"HTTP is fine\");\n")).len(),
        0
    );
    assert_eq!(checks::foreign_words(&file("docs/a.md", &["see /", "root/x\n"].concat())).len(), 1);
    let sources = [file("src/a.rs", "fn it_works_well() {}\n")];
    assert_eq!(checks::unknown_tests(&file("docs/a.md", "`it_works_well`, `it_works_ill`\n"), &sources).len(), 1);
    assert_eq!(imports::direction(&file("src/data_plane/a.rs", "use crate::control_plane::x;\n")).len(), 1);
    assert_eq!(imports::direction(&file("src/logic/a.rs", "use crate::{config, meili};\n")).len(), 1);
    assert_eq!(imports::direction(&file("src/program/a.rs", "use crate::data_plane::x;\n")).len(), 0);
    assert_eq!(imports::purity(&file("src/logic/a.rs", "use std::fs;\n")).len(), 1);
    assert_eq!(imports::runtimes(&file("src/store/a.rs", "use glommio::x;\n")).len(), 1);
}
