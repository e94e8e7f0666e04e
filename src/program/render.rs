//! `miroir render`: what `miroir serve` starts for the documents of a conversation ([`crate::control_plane::rendering`]).

use std::io::{self, Read, Write};

use argh::FromArgs;

use super::Failure;
use crate::control_plane::rendering::{BYTES_MAX, SECONDS_MAX, confine};
use crate::meili::chat::rendering::Rendering;

/// render documents by a template, both from standard input; for `miroir serve`, which starts it
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "render")]
pub struct Render {}

impl Render {
    /// Does it.
    pub fn run(self) -> Result<(), Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::Operation(format!("documents cannot be rendered: {error}"));
        confine(BYTES_MAX, SECONDS_MAX).map_err(|error| failed(&error))?;
        let mut input = Vec::new();
        io::stdin().read_to_end(&mut input).map_err(|error| failed(&error))?;
        let rendering: Rendering = sonic_rs::from_slice(&input).map_err(|error| failed(&error))?;
        let texts = sonic_rs::to_vec(&rendering.texts()).map_err(|error| failed(&error))?;
        Ok(io::stdout().write_all(&texts)?)
    }
}
