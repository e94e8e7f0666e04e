//! `miroir-ctl`: the operator's command line. What it does is in [`miroir::ctl`].

use std::process::ExitCode;

use miroir::ctl::Ctl;
use miroir::program::{arguments, finish};

fn main() -> ExitCode {
    match arguments::<Ctl>("miroir-ctl") {
        Ok(ctl) => finish("miroir-ctl", ctl.run(&mut std::io::stdout())),
        Err(exit) => exit,
    }
}
