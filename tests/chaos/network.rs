//! A network namespace for each node, so that packets between Miroir and one node can be dropped. Needs `ip`, `nft` and the
//! rights to use them.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::support::fleet::Network;

/// What is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Everything.
    All,
    /// What goes to the node.
    Requests,
    /// What the node says.
    Answers,
    /// So many packets of a hundred, both ways.
    Some(u8),
}

/// The namespaces of one run; they go with it.
#[derive(Debug)]
pub struct Networks {
    /// One for each node.
    pub list: Vec<Network>,
}

impl Networks {
    /// Makes them, and tries whether packets can be dropped. The error says what is missing.
    pub fn new(count: usize) -> Result<Self, String> {
        let mut networks = Self { list: Vec::new() };
        for number in 0..count {
            networks.add(number)?;
        }
        let first = networks.list.first().ok_or("no nodes")?;
        drop_packets(first, Loss::Some(1))?;
        pass_packets(first)?;
        Ok(networks)
    }

    fn add(&mut self, number: usize) -> Result<(), String> {
        let process = std::process::id();
        let name = format!("miroir-{process}-{number}");
        let (outside, inside) = (format!("mi{process}o{number}"), format!("mi{process}i{number}"));
        let (block, number) = ((process % 200) as u8, number as u8);
        let address = Ipv4Addr::new(10, 21, block, number * 4 + 2);
        let host = Ipv4Addr::new(10, 21, block, number * 4 + 1);
        run(&format!("ip netns add {name}"))?;
        self.list.push(Network { name: name.clone(), address });
        run(&format!("ip link add {outside} type veth peer name {inside} netns {name}"))?;
        run(&format!("ip addr add {host}/30 dev {outside}"))?;
        run(&format!("ip link set {outside} up"))?;
        run(&format!("ip -n {name} addr add {address}/30 dev {inside}"))?;
        run(&format!("ip -n {name} link set {inside} up"))?;
        run(&format!("ip -n {name} link set lo up"))
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for network in &self.list {
            // Nothing is left to do about an error.
            let _ = run(&format!("ip netns del {}", network.name));
        }
    }
}

fn run(line: &str) -> Result<(), String> {
    run_with(line, "")
}

fn run_with(line: &str, input: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a line has a first word"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |error: &dyn std::fmt::Display| format!("`{line}`: {error}");
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).map_err(|error| failed(&error))?;
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    if output.status.success() { Ok(()) } else { Err(failed(&String::from_utf8_lossy(&output.stderr).trim())) }
}

/// From now on.
pub fn drop_packets(network: &Network, loss: Loss) -> Result<(), String> {
    let (input, output) = match loss {
        Loss::All => ("drop".to_owned(), "drop".to_owned()),
        Loss::Requests => ("drop".to_owned(), String::new()),
        Loss::Answers => (String::new(), "drop".to_owned()),
        Loss::Some(percent) => {
            let rule = format!("numgen random mod 100 < {percent} drop");
            (rule.clone(), rule)
        }
    };
    let chain = |name: &str, rule: &str| {
        format!("chain {name} {{ type filter hook {name} priority 0; policy accept; iif != lo {rule}\n }}\n")
    };
    let rules = [("input", input), ("output", output)].map(|(name, rule)| match rule.as_str() {
        "" => String::new(),
        rule if name == "output" => chain(name, rule).replace("iif", "oif"),
        rule => chain(name, rule),
    });
    run_with(
        &format!("ip netns exec {} nft -f -", network.name),
        &format!("table inet chaos {{\n{}}}\n", rules.concat()),
    )
}

/// All of them again.
pub fn pass_packets(network: &Network) -> Result<(), String> {
    run(&format!("ip netns exec {} nft flush ruleset", network.name))
}
