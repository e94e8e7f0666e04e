//! `miroir-ctl import`: what a Meilisearch has comes into Miroir. The one command that speaks to clients' API, not to the
//! admin listener.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use argh::FromArgs;

use super::progress::bar;
use crate::import::api::Api;
use crate::import::destination::DESTINATION;
use crate::import::server::SOURCE;
use crate::import::{Destination, DumpFile, EmbedderKey, ImportError, Listener, Progress, Server, Source, Wanted, run};
use crate::meili::keys::IndexPattern;
use crate::program::Failure;
use crate::telemetry::clock;

/// Between two lines of progress, on a terminal and elsewhere.
const INTERVALS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// copy keys, settings and documents of a Meilisearch into Miroir, and compare: exit code 0 when they are equal, 3 when not; the
/// same command goes on where an earlier one stopped
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "import")]
pub struct Import {
    /// the dump that is copied, unless --from names a server
    #[argh(positional)]
    pub file: Option<PathBuf>,
    /// the Meilisearch that is copied, http://HOST:PORT
    #[argh(option)]
    pub from: Option<String>,
    /// where a dump is unpacked meanwhile (default: where the system keeps what is temporary)
    #[argh(option)]
    pub unpack_in: Option<PathBuf>,
    /// the master key of that server
    #[argh(option)]
    pub key: Option<String>,
    /// the clients' address of Miroir (default http://127.0.0.1:7700)
    #[argh(option, default = "\"http://127.0.0.1:7700\".to_owned()")]
    pub to: String,
    /// the master key of Miroir (default: that of the source, --key)
    #[argh(option)]
    pub to_key: Option<String>,
    /// only indexes of this name; `*` at its end stands for anything; may be given several times
    #[argh(option, from_str_fn(pattern))]
    pub index: Vec<IndexPattern>,
    /// the key of an embedder, which the source does not show: INDEX/EMBEDDER=KEY; may be given several times
    #[argh(option)]
    pub embedder_key: Vec<EmbedderKey>,
    /// go without what Miroir does not take
    #[argh(switch)]
    pub leave_out_unsupported: bool,
    /// make indexes that are in Miroir already as they are in the source: replace and delete documents
    #[argh(switch)]
    pub update: bool,
    /// only say what would be copied, and what is in the way
    #[argh(switch)]
    pub dry_run: bool,
}

fn pattern(text: &str) -> Result<IndexPattern, String> {
    IndexPattern::parse(text)
}

impl Import {
    /// Does it and says how it goes.
    pub(super) fn run(self, out: &mut impl Write, json: bool) -> Result<(), Failure> {
        let to_key = self.to_key.as_deref().or(self.key.as_deref());
        let source: Box<dyn Source> = match (&self.from, &self.file) {
            (Some(from), None) => Box::new(Server::connect(Api::new(from, self.key.as_deref(), SOURCE))?),
            (None, Some(file)) => {
                let within = self.unpack_in.clone().unwrap_or_else(std::env::temp_dir);
                Box::new(DumpFile::open(file, &within)?)
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = "say what is to be copied: --from http://HOST:PORT, or the file of a dump";
                return Err(Failure::Usage(message.to_owned()));
            }
        };
        let destination = Destination::connect(Api::new(&self.to, to_key, DESTINATION))?;
        let wanted = Wanted {
            indexes: self.index,
            embedder_keys: self.embedder_key,
            leaves_out: self.leave_out_unsupported,
            updates: self.update,
            dry_run: self.dry_run,
        };
        let mut screen = Screen::new(out, json);
        let report = run(&*source, &destination, &wanted, &mut screen);
        screen.end_line()?;
        let Some(report) = report? else { return Ok(()) };
        if json {
            writeln!(out, "{}", serde_json::json!(report))?;
        } else {
            write!(out, "{}", report.text())?;
        }
        if report.is_equal() { Ok(()) } else { Err(Failure::No) }
    }
}

/// Shows how far it is: a line that is written over on a terminal, else a line now and then. With `--json` nothing.
struct Screen<'a, W> {
    out: &'a mut W,
    is_silent: bool,
    is_terminal: bool,
    /// When it began, for the rate: with a phase.
    begun: Option<(&'static str, Instant)>,
    shown_at: Option<Instant>,
    is_in_line: bool,
}

impl<'a, W: Write> Screen<'a, W> {
    fn new(out: &'a mut W, json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && !json;
        Self { out, is_silent: json, is_terminal, begun: None, shown_at: None, is_in_line: false }
    }

    /// What follows begins a line.
    fn end_line(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.is_in_line) { writeln!(self.out) } else { Ok(()) }
    }
}

impl<W: Write> Listener for Screen<'_, W> {
    fn say(&mut self, line: &str) -> Result<(), ImportError> {
        if !self.is_silent {
            self.end_line()?;
            writeln!(self.out, "{line}")?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn progress(&mut self, progress: Progress<'_>) -> Result<(), ImportError> {
        let now = clock::instant();
        let began = match self.begun {
            Some((word, began)) if word == progress.word => began,
            Some(_) | None => {
                self.begun = Some((progress.word, now));
                now
            }
        };
        let interval = INTERVALS[usize::from(!self.is_terminal)];
        let is_due = self.shown_at.is_none_or(|shown| now - shown >= interval) || progress.done >= progress.all;
        if self.is_silent || !is_due {
            return Ok(());
        }
        self.shown_at = Some(now);
        let line = line(progress, (now - began).as_secs_f64());
        if self.is_terminal {
            // To the beginning of the line, and clear it.
            write!(self.out, "\r\x1b[2K{line}")?;
            self.is_in_line = true;
        } else {
            writeln!(self.out, "{line}")?;
        }
        Ok(self.out.flush()?)
    }
}

/// `[###---] 1200 of 5000 documents copied (films), 830 per second, about 5 s left`.
fn line(progress: Progress<'_>, seconds: f64) -> String {
    let Progress { index, word, done, now, all } = progress;
    let mut line = format!("{} {done} of {all} documents {word} ({index})", bar(done, all));
    if now > 0 && seconds > 1.0 {
        let rate = now as f64 / seconds;
        line.extend([format!(
            ", {rate:.0} per second, about {:.0} s left",
            (all.saturating_sub(done) as f64 / rate).ceil()
        )]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_bar_with_rate_and_remaining_time() {
        let progress = Progress { index: "films", word: "copied", done: 1500, now: 500, all: 3000 };
        let expected =
            "[###############---------------] 1500 of 3000 documents copied (films), 50 per second, about 30 s left";
        assert_eq!(line(progress, 10.0), expected);
        let nothing = Progress { done: 0, now: 0, all: 0, ..progress };
        assert_eq!(line(nothing, 0.0), "[##############################] 0 of 0 documents copied (films)");
    }
}
