//! Log lines: on standard error, lower-case messages without a full stop, values as fields. Set up once per process.

use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Starts logging. A second call in one process changes nothing and says so.
pub fn init(settings: LogSettings) -> Result<(), TryInitError> {
    lines(settings, std::io::stderr).try_init()
}

fn lines<W>(settings: LogSettings, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_max_level(level(settings.level)).with_writer(writer);
    match settings.format {
        LogFormat::Text => lines.with_ansi(false).with_target(false).finish().into(),
        LogFormat::Json => lines.json().flatten_event(true).finish().into(),
    }
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
        tracing::dispatcher::with_default(&lines(settings, move || writer.clone()), || {
            tracing::debug!("not written");
            tracing::info!(node = "node-0", "node is back");
        });
        let text = String::from_utf8(written.0.lock().clone()).expect("lines are UTF-8");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!((&line["message"], &line["node"]), (&"node is back".into(), &"node-0".into()));
    }
}
