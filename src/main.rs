//! `miroir`: the server and its development tools. What it does is in [`miroir::program`].

use std::process::ExitCode;

use miroir::program::{Miroir, arguments, finish};

fn main() -> ExitCode {
    match arguments::<Miroir>("miroir") {
        Ok(miroir) => finish("miroir", miroir.run()),
        Err(exit) => exit,
    }
}
