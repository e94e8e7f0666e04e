//! A language model for tests: it streams what it is told to, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What it was asked: the head, and the body.
pub type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A model that ends with the test. What it does goes by the name of the model that is asked for: `answer` says something;
/// `search` calls the search function with what the user says, and answers when it has the result; `hang` says something and
/// nothing more, until its caller closes; a number is the status of an error.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its base URL.
    pub url: String,
    /// All requests.
    pub asked: Asked,
    /// How many callers have closed their connections on it while it was silent.
    pub left: Arc<Mutex<usize>>,
}

impl Model {
    /// One that listens.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("it is bound"));
        let model = Self { url, asked: Asked::default(), left: Arc::default() };
        let serving = model.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let model = serving.clone();
                std::thread::spawn(move || model.serve(stream));
            }
        });
        model
    }

    /// The bodies of all requests up to now.
    pub fn bodies(&self) -> Vec<Value> {
        self.asked.lock().expect("no panics").iter().map(|(_, body)| body.clone()).collect()
    }

    fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while stream.read_line(&mut head).expect("a head") > 2 {}
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).expect("a length");
        let mut body = vec![0; length.trim().parse().expect("a number")];
        stream.read_exact(&mut body).expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        self.asked.lock().expect("no panics").push((head, body.clone()));
        // Who asked may be gone.
        let _ = self.answer(stream.get_mut(), &body);
    }

    fn answer(&self, stream: &mut TcpStream, body: &Value) -> std::io::Result<()> {
        let name = body["model"].as_str().unwrap_or_default();
        if let Ok(status) = name.parse::<u16>() {
            let error = json!({"error": {"message": "no", "type": "refusal", "param": null, "code": "c"}}).to_string();
            let length = error.len();
            let head =
                format!("HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            return stream.write_all(format!("{head}{error}").as_bytes());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
        let messages = body["messages"].as_array().expect("messages");
        let last = messages.last().expect("a message");
        if name == "search" && last["role"] == "user" {
            let arguments = last["content"].as_str().expect("a text");
            let (first, second) = arguments.split_at(arguments.len() / 2);
            let function = json!({"name": "_meiliSearchInIndex", "arguments": first});
            say(
                stream,
                &json!({"tool_calls": [{"index": 0, "id": "call", "type": "function", "function": function}]}),
            )?;
            say(stream, &json!({"tool_calls": [{"index": 0, "function": {"arguments": second}}]}))?;
            end(stream, "tool_calls")
        } else {
            say(stream, &json!({"role": "assistant", "content": "It "}))?;
            if name == "hang" {
                stream.set_read_timeout(Some(Duration::from_mins(1)))?;
                let count = stream.read(&mut [0]).unwrap_or(0);
                *self.left.lock().expect("no panics") += usize::from(count == 0);
                return Ok(());
            }
            say(stream, &json!({"content": "is."}))?;
            end(stream, "stop")
        }
    }
}

fn say(stream: &mut TcpStream, delta: &Value) -> std::io::Result<()> {
    chunk(stream, delta, None)
}

fn end(stream: &mut TcpStream, reason: &str) -> std::io::Result<()> {
    chunk(stream, &json!({}), Some(reason))?;
    stream.write_all(b"data: [DONE]\n\n")
}

fn chunk(stream: &mut TcpStream, delta: &Value, reason: Option<&str>) -> std::io::Result<()> {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
    let chunk = json!({"id": "c", "object": "chunk", "created": 1, "model": "m", "choices": [choice]});
    stream.write_all(format!("data: {chunk}\n\n").as_bytes())
}
