//! Nodes and Miroir as processes of this measurement, and how to speak to them.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use miroir::telemetry::clock;
use serde_json::{Value, json};

use crate::Failure;
use crate::process::{Running, free_address};

/// The key of nodes, of clients and of operators.
const KEY: &str = "measurement-key-0123456789";

/// How long a server may take to come up, and a request to be answered.
const LIMIT: Duration = Duration::from_mins(2);

/// How long tasks and moves may take.
const WORK_LIMIT: Duration = Duration::from_mins(60);

/// Between two questions whether something is over.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// The header of answers that lack shards.
const DEGRADED: &str = "x-miroir-degraded";

/// What a server said.
pub struct Answer {
    /// The body.
    pub text: String,
    /// It lacks shards.
    pub is_degraded: bool,
}

/// Speaks to one server. Every answer that is an error is a failure.
#[derive(Clone)]
pub struct Server {
    base: String,
    agent: ureq::Agent,
}

impl Server {
    fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
        Self { base: format!("http://{address}"), agent: config.build().new_agent() }
    }

    /// The text of an answer; without a body it is a GET.
    pub fn ask(&self, method: &str, target: &str, body: Option<String>) -> Result<String, Failure> {
        Ok(self.ask_whole(method, target, body)?.text)
    }

    /// The same, with what its head says.
    pub fn ask_whole(&self, method: &str, target: &str, body: Option<String>) -> Result<Answer, Failure> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.base))
            .header("authorization", format!("Bearer {KEY}"));
        let mut response = match body {
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body)?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        let is_degraded = response.headers().contains_key(DEGRADED);
        let answer = Answer { text, is_degraded };
        if response.status().is_success() {
            Ok(answer)
        } else {
            Err(format!("{method} {target}: {}", answer.text).into())
        }
    }

    /// The same as JSON.
    pub fn json(&self, method: &str, target: &str, body: Option<Value>) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.ask(method, target, body.map(|body| body.to_string()))?)?)
    }

    /// A write; its task.
    pub fn write(&self, method: &str, target: &str, body: String) -> Result<u64, Failure> {
        let answer: Value = serde_json::from_str(&self.ask(method, target, Some(body))?)?;
        answer["taskUid"].as_u64().ok_or_else(|| format!("no task: {answer}").into())
    }

    /// Waits for the end of a task.
    pub fn wait_for_task(&self, task: u64) -> Result<(), Failure> {
        self.wait_until(|| {
            let answer = self.json("GET", &format!("/tasks/{task}"), None)?;
            match answer["status"].as_str() {
                Some("succeeded") => Ok(true),
                Some("enqueued" | "processing") => Ok(false),
                _ => Err(answer.to_string().into()),
            }
        })
    }

    /// Waits for a condition.
    pub fn wait_until(&self, mut is_over: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
        let deadline = clock::instant() + WORK_LIMIT;
        while !is_over()? {
            if clock::instant() > deadline {
                return Err(format!("{} is not done within {WORK_LIMIT:?}", self.base).into());
            }
            std::thread::park_timeout(ASK_INTERVAL);
        }
        Ok(())
    }

    fn wait_until_up(&self) -> Result<(), Failure> {
        let deadline = clock::instant() + LIMIT;
        while let Err(error) = self.ask("GET", "/health", None) {
            if clock::instant() > deadline {
                return Err(error);
            }
            std::thread::park_timeout(ASK_INTERVAL);
        }
        Ok(())
    }
}

/// One node.
pub struct Node {
    /// Its name.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Speaks to it.
    pub server: Server,
    _process: Running,
}

/// What nodes are: embedded ones, or a Meilisearch server.
pub struct Nodes {
    folder: tempfile::TempDir,
    meilisearch: Option<PathBuf>,
}

/// The program beside this one.
fn miroir() -> Result<Command, Failure> {
    let program = std::env::current_exe()?.with_file_name("miroir");
    if program.exists() {
        return Ok(Command::new(program));
    }
    Err(format!("{} is not there: build it with the same profile (cargo build --release --bins)", program.display())
        .into())
}

impl Nodes {
    /// Nodes with their data below a new temporary folder.
    pub fn new(meilisearch: Option<PathBuf>) -> Result<Self, Failure> {
        Ok(Self { folder: tempfile::tempdir()?, meilisearch })
    }

    /// Starts an empty one and waits until it answers.
    pub fn start(&self, id: &str) -> Result<Node, Failure> {
        let (address, data) = (free_address()?, self.folder.path().join(id));
        let mut command = if let Some(program) = &self.meilisearch {
            let mut command = Command::new(program);
            command.args(["--no-analytics", "--log-level", "WARN", "--master-key", KEY]);
            command.arg("--http-addr").arg(address.to_string()).arg("--db-path").arg(&data);
            command
        } else {
            let mut command = miroir()?;
            command.args(["node", "--exit-with-parent", "--master-key", KEY]);
            command.arg("--listen").arg(address.to_string()).arg("--data-dir").arg(&data);
            command
        };
        command.current_dir(self.folder.path());
        let process = run(command, &self.folder.path().join(format!("{id}.log")))?;
        let server = Server::new(address);
        server.wait_until_up()?;
        Ok(Node { id: id.to_owned(), address, server, _process: process })
    }

    /// Starts Miroir in front of some, and waits until it answers.
    pub fn front(&self, nodes: &[Node], replication_factor: u16) -> Result<Front, Failure> {
        let (address, admin) = (free_address()?, free_address()?);
        let members: Vec<Value> =
            nodes.iter().map(|node| json!({"id": node.id, "url": format!("http://{}", node.address)})).collect();
        let folder = self.folder.path().join(format!("front-{}", address.port()));
        let mut yaml = String::new();
        writeln!(yaml, "listen: '{address}'\nadmin: {{listen: '{admin}', key: {KEY}}}")?;
        writeln!(yaml, "master_key: {KEY}\nnode_master_key: {KEY}\ndata_dir: {}", folder.display())?;
        writeln!(yaml, "replication_factor: {replication_factor}\nnodes: {}", Value::from(members))?;
        let file = folder.with_extension("yaml");
        std::fs::write(&file, yaml)?;
        let mut command = miroir()?;
        command.arg("serve").arg("--config").arg(&file);
        let process = run(command, &folder.with_extension("log"))?;
        let front = Front { server: Server::new(address), admin: Server::new(admin), _process: process };
        front.server.wait_until_up()?;
        Ok(front)
    }
}

fn run(mut command: Command, log: &Path) -> Result<Running, Failure> {
    let log = std::fs::File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(Running(command.spawn().map_err(|error| format!("{command:?}: {error}"))?))
}

/// Miroir.
pub struct Front {
    /// Speaks to it as a client.
    pub server: Server,
    /// Speaks to it as an operator.
    pub admin: Server,
    _process: Running,
}

impl Front {
    /// Makes a node a member.
    pub fn add(&self, node: &Node) -> Result<(), Failure> {
        let body = json!({"id": node.id, "url": format!("http://{}", node.address)});
        self.admin.ask("POST", "/_miroir/nodes", Some(body.to_string()))?;
        Ok(())
    }

    /// Asks for a change of the fleet, and waits until all is in its place and cleaned up.
    pub fn rebalance(&self, method: &str, target: &str, change: &Value) -> Result<(), Failure> {
        self.admin.ask(method, target, Some(change.to_string()))?;
        self.admin.wait_until(|| {
            let status = self.admin.json("GET", "/_miroir/rebalance", None)?;
            Ok(status["state"] == "idle" && status["bootstraps"] == json!([]))
        })
    }
}
