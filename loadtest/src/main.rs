//! Load generator, simulated nodes, the comparison with nginx, soak runs, and what moves of shards cost. For development only.

mod compare;
mod copy_rate;
mod corpus;
mod fleet;
mod generator;
mod process;
mod proxy;
mod rebalance;
mod simulated_node;
mod soak;

use argh::FromArgs;

/// What can go wrong; it ends the measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What an operation says when it cannot go on.
type Outcome = Result<(), Failure>;

/// measure Miroir
#[derive(FromArgs)]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Node(simulated_node::Node),
    Proxy(proxy::Proxy),
    Load(generator::Load),
    Compare(compare::Compare),
    Soak(soak::Soak),
    Rebalance(rebalance::Rebalance),
    CopyRate(copy_rate::CopyRate),
}

fn main() -> Outcome {
    match argh::from_env::<Arguments>().command {
        Command::Node(command) => command.run(),
        Command::Proxy(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Soak(command) => command.run(),
        Command::Rebalance(command) => command.run(),
        Command::CopyRate(command) => command.run(),
    }
}
