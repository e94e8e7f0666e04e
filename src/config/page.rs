//! The reference page and the example file, generated from the table of keys.

use std::fmt::Write;

use super::keys::KEYS;
use super::raw::describe;

/// The text of `docs/CONFIGURATION.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         This page is generated from the table of keys in `src/config/keys.rs`; after a change run\n\
         `make docs-config`. `miroir check-config --config FILE` checks a file and reports all its problems at once.\n\n\
         Miroir reads a YAML file (`miroir serve --config FILE`). Names with dots are nested: `http.max_body` is\n\
         `max_body` below `http`. Every key can also be given as an environment variable, which wins over the file.\n\
         Unknown keys and unknown `MIROIR_…` variables are refused.\n\n\
         Durations are numbers with `ms`, `s`, `m`, `h` or `d` (`10s`). Sizes are numbers of bytes, or numbers with `KB`,\n\
         `MB`, `GB` (by 1000) or `KiB`, `MiB`, `GiB` (by 1024). `examples/dev-config.yaml` is a file to start from.\n\n\
         | Key | Variable | Type | Default | What it does |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = key.default.map_or_else(|| "(not set)".to_owned(), |default| format!("`{default}`"));
        let (variable, kind) = (key.variable(), describe(key.kind));
        writeln!(page, "| `{}` | `{variable}` | {kind} | {default} | {} |", key.name, key.description)
            .expect("writing to a text cannot fail");
    }
    page.push_str(
        "\nIn the environment `MIROIR_NODES` is the list written as JSON or YAML on one line:\n\
         `[{\"id\": \"node-0\", \"url\": \"http://127.0.0.1:7710\"}]`.\n",
    );
    page
}

/// The text of `examples/dev-config.yaml`.
pub fn example() -> String {
    let mut text = String::from(
        "# Miroir in front of three Meilisearch servers on this machine:\n\
         #   meilisearch --no-analytics --master-key dev-node-key-0123 --db-path node-0 --http-addr 127.0.0.1:7710   (and 7711, 7712)\n\
         #   miroir serve --config examples/dev-config.yaml\n\
         # All keys with their defaults: docs/CONFIGURATION.md. This file is generated from the same table.\n",
    );
    let mut group = "";
    for key in KEYS {
        let Some(example) = key.example else { continue };
        let separator = if example.starts_with('\n') { "" } else { " " };
        match key.name.split_once('.') {
            None => {
                group = "";
                write!(text, "\n# {}\n{}:{separator}{example}\n", summary(key.description), key.name)
            }
            Some((parent, name)) => {
                let head = if parent == group { String::new() } else { format!("\n{parent}:\n") };
                group = parent;
                write!(text, "{head}  # {}\n  {name}:{separator}{example}\n", summary(key.description))
            }
        }
        .expect("writing to a text cannot fail");
    }
    text
}

/// The first sentence, without the marks of the page.
fn summary(description: &str) -> String {
    let end = description.find(". ").map_or(description.len(), |end| end + 1);
    let sentence = description[..end].split(": `id`").next().unwrap_or(description);
    sentence.replace('`', "")
}
