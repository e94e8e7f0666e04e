//! The table is complete and true, problems come all at once, and the generated pages are up to date.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::environment::Environment;
use super::keys::{KEYS, find};
use super::raw::Raw;
use super::resolve::Reader;
use super::*;
use crate::logic::throttle::{HourSpan, ThrottleLimits};
use crate::logic::topology::Pace;

const MINIMAL: &str = "nodes: [{id: a, url: 'http://127.0.0.1:7710'}, {id: b, url: 'http://127.0.0.1:7711/'}]\n";

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>())
}

fn read(yaml: &str) -> Result<Settings, Problems> {
    load_text(yaml, &Environment::default(), &[])
}

fn problem_keys(yaml: &str) -> Vec<String> {
    read(yaml).expect_err("this configuration has problems").0.into_iter().map(|problem| problem.key).collect()
}

#[test]
fn every_key_of_the_table_is_read_and_every_default_is_valid() {
    let mut reader = Reader::new(Raw::default());
    // A default that cannot be read would panic here.
    reader.settings();
    let table: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(reader.asked, table);
    assert_eq!(table.len(), KEYS.len(), "names are unique");
}

#[test]
fn defaults_fill_a_minimal_file() {
    let settings = read(MINIMAL).expect("a list of nodes is all that is needed");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:7700");
    assert_eq!(settings.shards, 64);
    assert_eq!(settings.replication_factor, 2);
    assert_eq!(settings.in_sync_timeout, Duration::from_secs(10));
    assert_eq!(settings.http.max_body, 104_857_600);
    assert_eq!(settings.backlog.max_bytes, 10_000_000_000);
    assert_eq!(settings.cores, Cores::Auto);
    assert_eq!(settings.rebalance, Pace::default());
    assert_eq!(settings.search.partial, PartialPolicy::Partial);
    let day = Some(Duration::from_hours(24));
    assert_eq!(settings.verify, VerifySettings { interval: day, repair: RepairPolicy::Known });
    for off in ["off", "'off'", "false"] {
        let settings =
            read(&format!("{MINIMAL}verify: {{interval: {off}, repair: never}}\n")).expect("it is switched off");
        assert_eq!(settings.verify, VerifySettings { interval: None, repair: RepairPolicy::Never });
    }
    assert_eq!(problem_keys(&format!("{MINIMAL}verify: {{interval: 0s}}\n")), ["verify.interval"]);
    assert_eq!(settings.nodes[1].url, "http://127.0.0.1:7711");
    assert!((settings.nodes[1].weight - 1.0).abs() < f64::EPSILON);
}

#[test]
fn limits_of_moves_are_read() {
    let yaml = format!(
        "{MINIMAL}rebalance: {{moves_per_node: 4, bytes_per_second: 10MB, hours: 22-6, compact: off}}\ndrift: {{action: off}}\n"
    );
    let settings = read(&yaml).expect("all of it is valid");
    let pace = settings.rebalance;
    assert_eq!(settings.drift.action, DriftAction::Off);
    let throttle = ThrottleLimits {
        bytes_per_second: Some(10_000_000),
        hours: Some(HourSpan { from: 22, to: 6 }),
        ..ThrottleLimits::default()
    };
    assert_eq!(pace, Pace { moves_per_node: 4, compact: false, throttle, ..Pace::default() });
    for hours in ["22", "22-24", "a-b", "-1-3"] {
        let yaml = format!("{MINIMAL}rebalance: {{hours: '{hours}'}}\n");
        assert_eq!(problem_keys(&yaml), ["rebalance.hours"], "{hours}");
    }
}

#[test]
fn environment_wins_over_the_file_and_the_command_line_over_both() {
    let yaml = format!("{MINIMAL}shards: 8\nlog: {{level: debug}}\ncores: [1, 0]\n");
    let environment = environment(&[("MIROIR_SHARDS", "16"), ("MIROIR_LOG_FORMAT", "json"), ("MIROIR_CORES", "0,1,2")]);
    let settings = load_text(&yaml, &environment, &[("shards", "32".to_owned())]).expect("all of it is valid");
    assert_eq!(settings.shards, 32);
    assert_eq!(settings.log, LogSettings { format: LogFormat::Json, level: LogLevel::Debug });
    assert_eq!(settings.cores, Cores::List(vec![0, 1, 2]));
}

#[test]
fn nodes_can_come_from_the_environment() {
    let environment = environment(&[
        ("MIROIR_NODES", r#"[{"id":"x","url":"http://10.0.0.1:7700","zone":"r1","weight":2.5}]"#),
        ("MIROIR_REPLICATION_FACTOR", "1"),
    ]);
    let settings = load_text("", &environment, &[]).expect("JSON is YAML");
    assert_eq!(settings.nodes[0].zone.as_deref(), Some("r1"));
    assert!((settings.nodes[0].weight - 2.5).abs() < f64::EPSILON);
}

#[test]
fn all_problems_are_reported_at_once_and_each_names_its_key() {
    let yaml = "
listen: everywhere
shard: 8
shards: 5000
replication_factor: 3
in_sync_timeout: 10
http: {max_body: big, max_heders: 5}
search: {partial: maybe}
log: text
master_key: 12345
nodes:
  - {id: 'a b', url: 'http://127.0.0.1:1'}
  - {id: c, url: 'https://127.0.0.1:2', colour: red}
  - {id: d, url: 'http://127.0.0.1', weight: 0}
";
    let keys = problem_keys(yaml);
    let expected = [
        "shard",
        "http.max_heders",
        "log",
        "listen",
        "master_key",
        "nodes[0].id",
        "nodes[1].colour",
        "nodes[1].url",
        "nodes[2].url",
        "nodes[2].weight",
        "shards",
        "in_sync_timeout",
        "search.partial",
        "http.max_body",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn an_unknown_key_is_refused_by_name_with_a_hint() {
    let problems = read(&format!("{MINIMAL}shrads: 3\n")).expect_err("there is no such key");
    assert_eq!(
        problems.to_string(),
        "the configuration has 1 problem:\n  shrads: unknown key (did you mean `shards`?); docs/CONFIGURATION.md lists them all"
    );
    let problems =
        load_text(MINIMAL, &environment(&[("MIROIR_SHARD", "3")]), &[]).expect_err("there is no such variable");
    assert!(
        problems.to_string().contains("MIROIR_SHARD: unknown variable (did you mean `MIROIR_SHARDS`?)"),
        "{problems}"
    );
}

#[test]
fn rules_that_span_keys_are_checked() {
    let cases = [
        ("listen: 0.0.0.0:7700\n", "master_key"),
        ("admin: {listen: '0.0.0.0:7701'}\n", "admin.key"),
        ("admin: {listen: '127.0.0.1:7700'}\n", "admin.listen"),
        ("replication_factor: 3\n", "replication_factor"),
    ];
    for (yaml, key) in cases {
        assert_eq!(problem_keys(&format!("{MINIMAL}{yaml}")), [key], "{yaml}");
    }
}

#[test]
fn unreadable_files_and_texts_are_problems_too() {
    assert_eq!(problem_keys("a: [1\n")[0], "the configuration");
    assert_eq!(problem_keys("- 1\n")[0], "the configuration");
    let problems =
        load(Some(Path::new("/nonexistent/miroir.yaml")), &Environment::default(), &[]).expect_err("no file");
    assert_eq!(problems.0[0].key, "/nonexistent/miroir.yaml");
}

#[test]
fn two_nodes_with_one_name_or_one_url_are_refused() {
    let yaml = "nodes: [{id: a, url: 'http://h:1'}, {id: a, url: 'http://h:1'}]\n";
    assert_eq!(problem_keys(yaml), ["nodes[1].id", "nodes[1].url"]);
}

#[test]
fn durations_and_sizes_have_units() {
    let duration = |text: &str| value::duration(&Value::from(text)).ok();
    assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
    assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
    assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(duration("2 h"), Some(Duration::from_hours(2)));
    for wrong in ["", "10", "0s", "-1s", "1y", "s", "1.2.3s", "400d"] {
        assert_eq!(duration(wrong), None, "{wrong}");
    }
    let size = |value: Value| value::size(&value).ok();
    assert_eq!(size(json!("100MB")), Some(100_000_000));
    assert_eq!(size(json!("1.5 KiB")), Some(1536));
    assert_eq!(size(json!(4096)), Some(4096));
    assert_eq!(size(json!("4096")), Some(4096));
    for wrong in [json!(""), json!(0), json!(-1), json!("1XB"), json!(true), json!("1e99GB")] {
        assert_eq!(size(wrong.clone()), None, "{wrong}");
    }
}

#[test]
fn a_webhook_has_a_url_and_may_have_a_header_with_a_key() {
    let webhooks = |text: &str| read(&format!("{MINIMAL}webhooks:\n{text}")).map(|settings| settings.webhooks);
    let good = webhooks("  url: https://hook.example/x?y=z\n  authorization: Bearer abc\n").expect("a valid file");
    assert_eq!(good.authorization.as_ref().map(Secret::expose), Some("Bearer abc"));
    assert!(!good.may_be_private && !format!("{good:?}").contains("example"));
    assert!(webhooks("  private_addresses: on\n").expect("a valid file").may_be_private);
    for wrong in ["  url: hook.example\n", "  url: ftp://hook.example\n", "  authorization: ' x'\n"] {
        assert!(webhooks(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let settings = read(&format!("{MINIMAL}master_key: hush-hush\n")).expect("a valid file");
    assert!(!format!("{settings:?}").contains("hush"));
    let problems = read(&format!("{MINIMAL}master_key: 'hush hush'\n")).expect_err("no header can carry it");
    assert!(!problems.to_string().contains("hush"));
}

#[test]
fn short_master_keys_are_a_warning_only() {
    let settings =
        read(&format!("{MINIMAL}master_key: dev-key\nnode_master_key: k\n")).expect("a short key is allowed");
    assert_eq!(settings.warnings().len(), 1, "{:?}", settings.warnings());
}

#[test]
fn the_example_file_is_generated_and_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dev-config.yaml");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page::example(), "the file is not what the table says: run `make docs-config`");
    let settings = read(&stored).expect("the example has no problems");
    assert_eq!(settings.nodes.len(), 3);
    for key in KEYS.iter().filter(|key| key.example.is_some()) {
        assert!(find(key.name).is_some());
    }
}

#[test]
fn the_reference_page_is_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page::reference(), "the page is not what the table says: run `make docs-config`");
}

/// Not a test: writes the generated files. `make docs-config` runs it.
#[test]
#[ignore = "writes files; run by `make docs-config`"]
fn write_generated_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["docs", "examples"] {
        std::fs::create_dir_all(root.join(folder)).expect("the source tree is writable");
    }
    std::fs::write(root.join("docs/CONFIGURATION.md"), page::reference()).expect("the source tree is writable");
    std::fs::write(root.join("examples/dev-config.yaml"), page::example()).expect("the source tree is writable");
}
