//! Log lines: on standard error, lower-case messages without a full stop, values as fields. Set up once per process; what
//! is written can be changed while it runs.

use std::str::FromStr;
use std::sync::OnceLock;

use tracing::Dispatch;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel, LogSettings};

type Filter = reload::Handle<Targets, Registry>;

/// Of the log of this process.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// Which parts of the program write lines of which level: `info`, `miroir::control_plane=debug,warn`.
#[derive(Clone, PartialEq, Debug)]
pub struct LogTargets(Targets);

impl FromStr for LogTargets {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse().map(Self)
    }
}

/// Starts logging. A second call in one process changes nothing and says so.
pub fn init(settings: LogSettings) -> Result<(), TryInitError> {
    let (lines, filter) = lines(settings, std::io::stderr);
    lines.try_init()?;
    // Only one can have come so far.
    let _first = FILTER.set(filter);
    Ok(())
}

/// Writes other lines from now on. Where logging was never started nothing changes.
pub fn retarget(targets: LogTargets) {
    if let Some(filter) = FILTER.get() {
        // It lives as long as the process.
        let _reloaded = filter.reload(targets.0);
    }
}

fn lines<W>(settings: LogSettings, writer: W) -> (Dispatch, Filter)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(Targets::new().with_default(level(settings.level)));
    let lines = fmt::layer().with_writer(writer);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(false).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    (Registry::default().with(lines.with_filter(filter)).into(), handle)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_carry_message_and_fields() {
        let written = Lines::default();
        let writer = written.clone();
        let settings = LogSettings { format: LogFormat::Json, level: LogLevel::Info };
        // For this thread only: other tests log too.
        let (lines, filter) = lines(settings, move || writer.clone());
        tracing::dispatcher::with_default(&lines, || {
            tracing::debug!("not written");
            tracing::info!(node = "node-0", "node is back");
            filter.reload("warn".parse::<LogTargets>().expect("a level").0).expect("it lives");
            tracing::info!("not written any more");
        });
        let text = String::from_utf8(written.0.lock().clone()).expect("lines are UTF-8");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!((&line["message"], &line["node"]), (&"node is back".into(), &"node-0".into()));
    }
}
