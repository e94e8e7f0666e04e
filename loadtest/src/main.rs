//! Load generator, simulated nodes, the comparison with nginx, and soak runs. For development only.

mod compare;
mod generator;
mod proxy;
mod simulated_node;
mod soak;

use argh::FromArgs;

/// What an operation says when it cannot go on.
type Outcome = Result<(), Box<dyn std::error::Error>>;

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
}

fn main() -> Outcome {
    match argh::from_env::<Arguments>().command {
        Command::Node(command) => command.run(),
        Command::Proxy(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Soak(command) => command.run(),
    }
}
