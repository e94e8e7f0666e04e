//! Log lines: on standard error, lower-case messages without a full stop, values as fields. Set up once per process; what
//! is written can be changed while it runs, and one client can read along ([`log_stream`]).

use std::str::FromStr;
use std::sync::OnceLock;

use tracing::Dispatch;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::log_stream::{self, LineForm, LineWriter, Listening};
use crate::config::{LogFormat, LogLevel, LogSettings};

type Filter = reload::Handle<Targets, Registry>;
type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Of the log of this process.
static FILTERS: OnceLock<Filters> = OnceLock::new();

/// Which lines are written where.
struct Filters {
    own: Filter,
    human: Filter,
    json: Filter,
}

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
    let (own_lines, own) = filtered(lines(settings.format, false, std::io::stderr), level(settings.level));
    let form = |form| if form == LineForm::Json { LogFormat::Json } else { LogFormat::Text };
    let along = |along| filtered(lines(form(along), true, move || LineWriter(along)), LevelFilter::OFF);
    let ((human_lines, human), (json_lines, json)) = (along(LineForm::Human), along(LineForm::Json));
    dispatch(vec![own_lines, human_lines, json_lines]).try_init()?;
    // Only one can have come so far.
    let _first = FILTERS.set(Filters { own, human, json });
    Ok(())
}

/// Writes other lines from now on. Where logging was never started nothing changes.
pub fn retarget(targets: LogTargets) {
    if let Some(filters) = FILTERS.get() {
        set(&filters.own, targets.0);
    }
}

/// Lets one client read along; none if another does.
pub fn listen(form: LineForm, targets: LogTargets) -> Option<Listening> {
    let listening = log_stream::listen(form)?;
    if let Some(filters) = FILTERS.get() {
        let (filter, other) = match form {
            LineForm::Human => (&filters.human, &filters.json),
            LineForm::Json => (&filters.json, &filters.human),
        };
        set(filter, targets.0);
        set(other, Targets::new());
    }
    Some(listening)
}

/// Writes no lines for clients that read along, until the next one does.
pub fn hush() {
    log_stream::end();
    if let Some(filters) = FILTERS.get() {
        set(&filters.human, Targets::new());
        set(&filters.json, Targets::new());
    }
}

fn set(filter: &Filter, targets: Targets) {
    // It lives as long as the process.
    let _reloaded = filter.reload(targets);
}

fn dispatch(lines: Vec<Lines>) -> Dispatch {
    Registry::default().with(lines).into()
}

fn lines<W>(format: LogFormat, tells_target: bool, writer: W) -> Lines
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => lines.with_ansi(false).with_target(tells_target).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn filtered(lines: Lines, level: LevelFilter) -> (Lines, Filter) {
    let (filter, handle) = reload::Layer::new(Targets::new().with_default(level));
    (lines.with_filter(filter).boxed(), handle)
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

    use super::super::log_stream::Taken;
    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
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
        let written = Written::default();
        let writer = written.clone();
        let (lines, filter) = filtered(lines(LogFormat::Json, false, move || writer.clone()), level(LogLevel::Info));
        // For this thread only: other tests log too.
        tracing::dispatcher::with_default(&dispatch(vec![lines]), || {
            tracing::debug!("not written");
            tracing::info!(node = "node-0", "node is back");
            filter.reload("warn".parse::<LogTargets>().expect("a level").0).expect("it lives");
            tracing::info!("not written any more");
        });
        let text = String::from_utf8(written.0.lock().clone()).expect("lines are UTF-8");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!((&line["message"], &line["node"]), (&"node is back".into(), &"node-0".into()));
    }

    #[test]
    fn one_client_reads_along_and_loses_what_it_is_too_slow_for() {
        let (lines, filter) = filtered(lines(LogFormat::Text, true, || LineWriter(LineForm::Human)), LevelFilter::OFF);
        tracing::dispatcher::with_default(&dispatch(vec![lines]), || {
            tracing::info!("to nobody");
            let listening = log_stream::listen(LineForm::Human).expect("the first");
            assert!(log_stream::listen(LineForm::Json).is_none());
            tracing::info!("not asked for");
            set(&filter, Targets::new().with_default(LevelFilter::INFO));
            assert_eq!(listening.take(1000), Taken::Nothing);
            tracing::info!(node = 1, "heard");
            let Taken::Lines(heard) = listening.take(1000) else { panic!("nothing") };
            let heard = String::from_utf8(heard).expect("UTF-8");
            assert!(heard.contains(": heard node=1\n") && heard.lines().count() == 1, "{heard}");
            for number in 0..5000 {
                tracing::info!(number, "many");
            }
            let Taken::Lines(many) = listening.take(usize::MAX) else { panic!("nothing") };
            let many = String::from_utf8(many).expect("UTF-8");
            assert!(many.ends_with("reads too slowly lines=904\n") && many.lines().count() == 4097);
            tracing::info!("the last");
            log_stream::end();
            tracing::info!("too late");
            let next = log_stream::listen(LineForm::Json).expect("there is room");
            assert!(matches!(listening.take(10), Taken::Lines(line) if line.ends_with(b": the last\n")));
            assert_eq!(listening.take(10), Taken::End);
            // It is another's place now.
            drop(listening);
            assert!(log_stream::listen(LineForm::Human).is_none());
            drop(next);
            assert!(log_stream::listen(LineForm::Human).is_some());
        });
    }
}
