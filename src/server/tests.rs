//! Starting and stopping a whole Miroir.

use std::path::Path;
use std::time::Duration;

use crossbeam::channel::bounded;

use super::*;
use crate::config::environment::Environment;
use crate::config::load_text;
use crate::devnode;

const NODE_KEY: &str = "a-key-of-16-bytes";

fn start_node(directory: &Path) -> devnode::Server {
    let options = devnode::ServerOptions::new("127.0.0.1:0", directory.join("node"), Some(NODE_KEY.to_owned()));
    devnode::Server::start(options).unwrap()
}

fn settings(directory: &Path, node_url: &str) -> Settings {
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin:\n  listen: 127.0.0.1:0\n  key: operator\ndata_dir: {}\nreplication_factor: 1\n\
         shutdown_timeout: 2s\nnode_master_key: {NODE_KEY}\nnodes:\n  - id: n1\n    url: {node_url}\n",
        directory.join("data").display()
    );
    load_text(&yaml, &Environment::default(), &[]).unwrap()
}

fn get(address: SocketAddr, path: &str, key: Option<&str>) -> u16 {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10)));
    let mut request = agent.build().new_agent().get(format!("http://{address}{path}"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.call().unwrap().status().as_u16()
}

#[test]
fn both_listeners_answer_and_a_second_start_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = start_node(directory.path());
    let settings = settings(directory.path(), &node.url());
    let server = start_on(&settings, Cores::Unpinned(2)).unwrap();
    let Addresses { client, admin } = server.addresses();
    assert_eq!(get(client, "/health", None), 200);
    assert_eq!(get(client, "/tasks", None), 200);
    assert_eq!(get(admin, "/_miroir/nodes", None), 401);
    assert_eq!(get(admin, "/_miroir/nodes", Some("operator")), 200);
    assert_eq!(get(admin, "/_miroir/status", Some("operator")), 200);
    for second in [Settings { listen: client, ..settings.clone() }, {
        let admin = config::AdminSettings { listen: admin, ..settings.admin.clone() };
        Settings { admin, ..settings.clone() }
    }] {
        let message = start_on(&second, Cores::Unpinned(1)).err().expect("the address is taken").to_string();
        assert!(message.contains("in use"), "{message}");
    }
    let (ask, asked) = bounded(1);
    ask.send(()).unwrap();
    assert_eq!(server.wait(&asked), End::Asked);
    server.stop();
    // Everything was given back: the same data can be served again.
    start_on(&settings, Cores::Unpinned(1)).unwrap().stop();
}

#[test]
fn a_public_admin_address_needs_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path(), "http://127.0.0.1:1");
    let admin = config::AdminSettings { listen: "0.0.0.0:0".parse().unwrap(), key: None };
    let error = start_on(&Settings { admin, ..settings }, Cores::Unpinned(1)).err().expect("it is an open door");
    assert!(matches!(error, StartError::AdminWithoutKey(_)));
}

#[test]
fn limits_that_depend_on_configured_ones_grow_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path(), "http://127.0.0.1:1");
    settings.http.max_body = 4 << 30;
    settings.write_deadline = Duration::from_mins(10);
    let limits = http_limits(&settings, 2, files::of_process(2, 1));
    assert!(memory_max(&settings) >= limits.body_max_bytes, "such a body would never find room");
    assert!(limits.handler_timeout_ms > 600_000, "the connection would be cut before the answer");
}

/// A server that gives every request this answer. Ends with the process.
fn start_impostor(status: &'static str, body: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever asks may be gone before the answer.
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_sick_node_does_not_prevent_a_later_start_but_a_wrong_key_does() {
    const REFUSAL: &str = r#"{"message":"no","code":"invalid_api_key","type":"auth","link":""}"#;
    let directory = tempfile::tempdir().unwrap();
    let node = start_node(directory.path());
    start_on(&settings(directory.path(), &node.url()), Cores::Unpinned(1)).unwrap().stop();
    for (status, body) in [
        ("502 Bad Gateway", "<html>proxy</html>"),
        ("200 OK", "<html>maintenance</html>"),
        ("429 Too Many Requests", r#"{"message":"no","code":"too_many_search_requests","type":"system","link":""}"#),
        ("500 Internal Server Error", r#"{"message":"no","code":"internal","type":"internal","link":""}"#),
    ] {
        let settings = settings(directory.path(), &start_impostor(status, body));
        let server = start_on(&settings, Cores::Unpinned(1)).unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(get(server.addresses().client, "/tasks", None), 200, "{status}");
        server.stop();
    }
    let settings = settings(directory.path(), &start_impostor("403 Forbidden", REFUSAL));
    let error = start_on(&settings, Cores::Unpinned(1)).err().expect("the key is wrong").to_string();
    assert!(error.contains("node_master_key"), "{error}");
}
