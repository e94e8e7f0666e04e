//! `miroir-ctl backup`: a backup of Miroir's own store, on its machine.

use std::io::Write;

use argh::FromArgs;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::progress::pause;
use super::table::cell;
use crate::program::Failure;

/// make a backup of Miroir's own data (data_dir) while it runs, in a new folder in its backup_dir, and wait for it: exit code
/// 0 when it is whole and checked. It has no documents that nodes have; `miroir restore` takes it
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "backup")]
pub struct Backup {
    /// make none: show the one under way, or the last one
    #[argh(switch)]
    pub last: bool,
}

impl Backup {
    pub(super) fn call(&self) -> Call {
        if self.last { Call::get("/backup") } else { Call::with(Method::POST, "/backup", json!({})) }
    }

    /// Asks, waits for the end, and prints what came of it.
    pub(super) fn run(&self, client: &Client, out: &mut impl Write, json: bool) -> Result<(), Failure> {
        let begun = client.send(&self.call())?;
        let answer = if self.last { begun } else { wait(client, &begun["path"])? };
        if json {
            writeln!(out, "{answer}")?;
        } else {
            write!(out, "{}", render(&answer))?;
        }
        verdict(&answer)
    }
}

fn wait(client: &Client, path: &Value) -> Result<Value, Failure> {
    loop {
        let answer = client.send(&Call::get("/backup"))?;
        if answer["path"] != *path {
            let message = "Miroir was restarted meanwhile, or another backup was begun; look into its backup_dir";
            return Err(Failure::Operation(message.to_owned()));
        }
        if answer["state"] != "running" {
            return Ok(answer);
        }
        pause();
    }
}

/// What the exit code says.
pub(super) fn verdict(answer: &Value) -> Result<(), Failure> {
    match answer["error"].as_str() {
        Some(error) => Err(Failure::Operation(format!("no backup was made: {error}"))),
        None => Ok(()),
    }
}

pub(super) fn render(answer: &Value) -> String {
    let path = cell(&answer["path"]);
    match answer["state"].as_str().unwrap_or_default() {
        "done" => format!(
            "{path}\nwrites before task {}, {} bytes of database, {} payload files; {:.1} s\n",
            cell(&answer["nextEntry"]),
            cell(&answer["databaseBytes"]),
            cell(&answer["payloadFiles"]),
            answer["seconds"].as_f64().unwrap_or_default()
        ),
        "running" => format!("{path} is being made\n"),
        "never" => "no backup was made since Miroir started\n".to_owned(),
        _ => String::new(),
    }
}
