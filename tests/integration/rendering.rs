//! Templates that want all memory, or all time: the process that renders them ends, and nothing else.

use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::process::miroir;

/// What it says, if it ends well.
fn rendered(template: &str) -> Option<Value> {
    let input = json!({
        "template": template,
        "primary_key": "id",
        "searchable": null,
        "documents": [{"id": 1, "n": 0.1, "title": "é"}, {"id": 2, "n": 2}],
    });
    let mut child = miroir()
        .arg("render")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.to_string().as_bytes()).expect("it reads");
    let mut output = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut output).expect("an end");
    let is_good = child.wait().expect("an end").success();
    is_good.then(|| serde_json::from_slice(&output).expect("JSON"))
}

/// Goal: a template neither ends Miroir nor goes on for ever, whatever it asks for.
#[test]
fn hungry_templates_end_only_what_renders_them() {
    assert_eq!(rendered("{{ doc.id }}: {{ doc.n }}"), Some(json!({"Ok": ["1: 0.1", "2: 2"]})));
    let error = rendered("{{ doc.title }}").expect("it ends");
    assert!(error["Err"].as_str().is_some_and(|text| text.contains("document `2`")), "{error}");
    let doubling = "{% assign a = a | append: a %}".repeat(60);
    let hungry = [
        "{% for i in (1..100000000000) %}{% endfor %}".to_owned(),
        format!("{{% assign a = 'aaaaaaaa' %}}{doubling}{{{{ a }}}}"),
        "{% for i in (1..99999) %}{% for j in (1..99999) %}{% for k in (1..99999) %}{% endfor %}{% endfor %}{% endfor %}"
            .to_owned(),
    ];
    for template in hungry {
        assert_eq!(rendered(&template), None, "{template}");
    }
}
