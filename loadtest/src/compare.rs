//! The end-to-end comparison of `make bench`: the same searches straight to a node, through nginx, and through Miroir.
//!
//! Everything runs on this machine in one run. The targets take turns in short rounds and the median round counts, so
//! that a disturbance from outside hits all of them or is dropped. The processor time that a target took per request is
//! printed too: it hardly depends on what else the machine does. All processes are children of this one and end with it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use argh::FromArgs;
use miroir::telemetry::clock;

use crate::generator::{self, Measured, Plan};
use crate::process::{Running, free_address};

/// compare Miroir with nginx and with a node alone
#[derive(FromArgs)]
#[argh(subcommand, name = "compare")]
pub struct Compare {
    /// seconds of each round (default 2)
    #[argh(option, default = "2.0")]
    seconds: f64,
    /// rounds per target and number of connections (default 5)
    #[argh(option, default = "5")]
    rounds: usize,
    /// path of nginx (default /usr/sbin/nginx)
    #[argh(option, default = "\"/usr/sbin/nginx\".to_owned()")]
    nginx: String,
}

struct Target {
    name: &'static str,
    address: SocketAddr,
    pid: u32,
}

/// Processor time of a process and its children so far, in microseconds. The kernel counts in steps of 10 ms.
fn processor_us(pid: u32) -> u64 {
    const TICK_US: u64 = 10_000;
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let stat = read(format!("/proc/{pid}/stat"));
    // After the name, which may contain anything: state is field 3, user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let children = read(format!("/proc/{pid}/task/{pid}/children"));
    let of_children: u64 = children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(processor_us).sum();
    (ticks(14) + ticks(15)) * TICK_US + of_children
}

fn wait_until_up(address: SocketAddr) -> crate::Outcome {
    let deadline = clock::instant() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if clock::instant() > deadline {
            return Err(format!("nobody listens on {address}").into());
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(())
}

fn start_self(arguments: &[String], address: SocketAddr) -> Result<Running, crate::Failure> {
    let child = Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::null()).spawn()?;
    let running = Running(child);
    wait_until_up(address)?;
    Ok(running)
}

fn start_nginx(program: &str, directory: &Path, node: SocketAddr) -> Result<(Running, SocketAddr), crate::Failure> {
    let address = free_address()?;
    let path = directory.display();
    let configuration = format!(
        "worker_processes auto;\ndaemon off;\npid {path}/nginx.pid;\nerror_log {path}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000000;\n  tcp_nodelay on;\n\
         client_body_temp_path {path}/body;\n  proxy_temp_path {path}/proxy;\n  fastcgi_temp_path {path}/fastcgi;\n\
         uwsgi_temp_path {path}/uwsgi;\n  scgi_temp_path {path}/scgi;\n\
         upstream node {{ server {node}; keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {address}; location / {{ proxy_pass http://node; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}\n}}\n"
    );
    let file = directory.join("nginx.conf");
    std::fs::File::create(&file)?.write_all(configuration.as_bytes())?;
    let child = Command::new(program)
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(&file)
        .arg("-e")
        .arg(directory.join("error.log"))
        .spawn()
        .map_err(|error| format!("{program} does not start ({error}): apt-get install nginx-light"))?;
    let running = Running(child);
    wait_until_up(address)?;
    Ok((running, address))
}

/// The median of the rounds by a key.
fn median(rounds: &[Measured], key: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(key).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Row {
    name: &'static str,
    rate: f64,
    p50: f64,
    p99: f64,
    processor: f64,
    errors: u64,
    answer_bytes: usize,
}

fn measure(targets: &[Target], connections: usize, rounds: usize, duration: Duration) -> Vec<Row> {
    let plan = |target: &Target, duration| Plan {
        target: target.address,
        connections,
        duration,
        rate: None,
        path: "/indexes/bench/search".to_owned(),
    };
    let mut measured: Vec<Vec<Measured>> = targets.iter().map(|_| Vec::new()).collect();
    for target in targets {
        generator::run(&plan(target, Duration::from_millis(500)));
    }
    let mut processor = vec![0; targets.len()];
    for _ in 0..rounds {
        for ((target, rounds), processor) in targets.iter().zip(&mut measured).zip(&mut processor) {
            let before = processor_us(target.pid);
            rounds.push(generator::run(&plan(target, duration)));
            *processor += processor_us(target.pid) - before;
        }
    }
    let row = |((target, rounds), processor): ((&Target, Vec<Measured>), u64)| Row {
        name: target.name,
        rate: median(&rounds, Measured::rate),
        p50: median(&rounds, |round| round.percentile(50.0) as f64),
        p99: median(&rounds, |round| round.percentile(99.0) as f64),
        processor: processor as f64 / rounds.iter().map(|round| round.latency.len()).sum::<u64>() as f64,
        errors: rounds.iter().map(|round| round.errors).sum(),
        answer_bytes: rounds.iter().map(|round| round.answer_bytes).max().unwrap_or(0),
    };
    targets.iter().zip(measured).zip(processor).map(row).collect()
}

/// Rows by their place in the list of targets.
const STRAIGHT: usize = 0;
const NGINX: usize = 1;

fn print(rows: &[Row], connections: usize) {
    println!("\n{connections} connection(s)");
    println!(
        "| target | requests/s | of nginx | p50 us | added us | p99 us | of nginx | processor us | answer bytes | errors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} | {} | {} |",
            row.name,
            row.rate,
            row.rate / rows[NGINX].rate,
            row.p50,
            row.p50 - rows[STRAIGHT].p50,
            row.p99,
            row.p99 / rows[NGINX].p99,
            row.processor,
            row.answer_bytes,
            row.errors
        );
    }
}

impl Compare {
    /// Starts everything, measures, prints.
    pub fn run(self) -> crate::Outcome {
        generator::configure();
        let directory = tempfile::tempdir()?;
        let mut running = Vec::new();
        let mut nodes = Vec::new();
        for number in 0..3 {
            let address = free_address()?;
            let arguments = ["node", "--listen", &address.to_string(), "--number", &number.to_string()];
            running.push(start_self(&arguments.map(str::to_owned), address)?);
            nodes.push(address);
        }
        let (nginx, nginx_address) = start_nginx(&self.nginx, directory.path(), nodes[0])?;
        let mut targets = vec![
            Target { name: "straight to the node", address: nodes[0], pid: running[0].0.id() },
            Target { name: "nginx", address: nginx_address, pid: nginx.0.id() },
        ];
        running.push(nginx);
        let variants =
            [("bare pass-through", 1, true), ("Miroir, one node", 1, false), ("Miroir, three nodes", 3, false)];
        for (name, count, is_bare) in variants {
            let address = free_address()?;
            let mut arguments = vec!["proxy".to_owned(), "--listen".to_owned(), address.to_string()];
            for node in &nodes[..count] {
                arguments.extend(["--node".to_owned(), node.to_string()]);
            }
            if is_bare {
                arguments.push("--bare".to_owned());
            }
            let proxy = start_self(&arguments, address)?;
            targets.push(Target { name, address, pid: proxy.0.id() });
            running.push(proxy);
        }
        for connections in [1, 32] {
            let rows = measure(&targets, connections, self.rounds, Duration::from_secs_f64(self.seconds));
            print(&rows, connections);
        }
        Ok(())
    }
}
