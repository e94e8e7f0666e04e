//! Renders documents by templates of users in a process of its own, which has little memory and little time.
//!
//! A template can ask for all memory in a dozen letters, and there is no end to it that could be seen from within: whoever
//! may change the settings of an index could end Miroir. The process that is started is this program again (`miroir
//! render`); it knows nothing but the documents of one search.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};

use nix::sys::resource::{Resource, setrlimit};

use crate::meili::chat::rendering::Rendering;

/// This program, also when another has been installed in its place since.
const PROGRAM: &str = "/proc/self/exe";
/// Memory that the process may have, its program included.
pub const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Seconds of a processor that it may have.
pub const SECONDS_MAX: u64 = 5;
const NOT_ENDED: &str = "user error: the template takes too much time or memory";

/// Takes from this process what it would have beyond so many bytes, and seconds of a processor.
///
/// # Errors
/// Those of the system.
pub fn confine(bytes: u64, seconds: u64) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_AS, bytes, bytes)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(setrlimit(Resource::RLIMIT_CPU, seconds, seconds)?)
}

/// One text for each document.
///
/// # Errors
/// Why not, for the model.
pub(super) fn texts(rendering: &Rendering) -> Result<Vec<String>, String> {
    run(PROGRAM, rendering).unwrap_or_else(|error| {
        tracing::warn!(%error, "documents of a conversation cannot be rendered");
        Err("documents cannot be rendered now".to_owned())
    })
}

fn run(program: &str, rendering: &Rendering) -> io::Result<Result<Vec<String>, String>> {
    let input = sonic_rs::to_vec(rendering).map_err(io::Error::other)?;
    let mut command = Command::new(program);
    // The environment has secrets.
    command.arg("render").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let output = converse(&mut child, &input);
    if output.is_err() {
        // It may be waiting for us.
        let _ = child.kill();
    }
    let status = child.wait()?;
    if !status.success() {
        tracing::warn!(%status, "a template of documents took too much time or memory");
        return Ok(Err(NOT_ENDED.to_owned()));
    }
    sonic_rs::from_slice(&output?).map_err(io::Error::other)
}

/// It reads all before it writes. One that ends early tells by its status.
fn converse(child: &mut Child, input: &[u8]) -> io::Result<Vec<u8>> {
    let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("no pipes"));
    };
    stdin.write_all(input)?;
    drop(stdin);
    let mut output = Vec::new();
    stdout.read_to_end(&mut output)?;
    Ok(output)
}
