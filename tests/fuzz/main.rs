//! The inputs that the fuzz targets began with, and those that once broke something: they hold in every run of the tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

mod properties;

/// Every file of a target's folder.
fn replay(target: &str, property: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
    files.sort();
    assert!(files.len() > 4, "{target} has inputs");
    for file in files {
        let data = std::fs::read(&file).expect("it can be read");
        assert!(data.len() < 2_048, "{}: keep inputs small", file.display());
        let held = catch_unwind(AssertUnwindSafe(|| property(&data)));
        assert!(held.is_ok(), "{} breaks it", file.display());
    }
}

#[test]
fn requests_are_read_or_refused() {
    replay("requests", properties::requests);
}

#[test]
fn filters_are_read_or_refused() {
    replay("filters", properties::filters);
}

#[test]
fn templates_are_guarded_or_refused() {
    replay("templates", |data| drop(properties::guarded_template(data)));
}

#[test]
fn documents_are_cut_or_refused() {
    replay("splitter", properties::splitter);
}

#[test]
fn compressed_bodies_are_read_or_refused() {
    replay("codings", properties::codings);
}
