//! The log as one client reads it, beside standard error.
//!
//! Lines are written by whoever has something to say, cores included, so that nobody may wait for the client, nor wake it in
//! the middle of something: lines wait in a queue that the client looks into, and those that find no room are counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use crossbeam::queue::ArrayQueue;

/// Lines that may wait.
const ROOM: usize = 4096;

/// Who listens now. Nobody else can.
static LISTENER: ArcSwapOption<Listener> = ArcSwapOption::const_empty();

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineForm {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Who listens.
#[derive(Debug)]
struct Listener {
    form: LineForm,
    lines: ArrayQueue<Vec<u8>>,
    lost: AtomicU64,
    is_over: AtomicBool,
}

/// The listener's end. Its drop makes room for another.
#[derive(Debug)]
pub struct Listening(Arc<Listener>);

/// What [`Listening::take`] finds.
#[derive(PartialEq, Eq, Debug)]
pub enum Taken {
    /// Whole lines.
    Lines(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// Nobody is to listen any more.
    End,
}

/// Begins to listen, if nobody does. What is written for it is up to the filters of the log.
pub(super) fn listen(form: LineForm) -> Option<Listening> {
    let listener = Arc::new(Listener {
        form,
        lines: ArrayQueue::new(ROOM),
        lost: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let before = LISTENER.compare_and_swap(&None::<Arc<Listener>>, Some(listener.clone()));
    before.is_none().then_some(Listening(listener))
}

/// Whoever listens is told that this is the end; another may listen.
pub fn end() {
    if let Some(listener) = LISTENER.swap(None) {
        listener.is_over.store(true, Ordering::Release);
    }
}

impl Listening {
    /// The lines that wait, at most so many bytes but for the last one.
    pub fn take(&self, bytes_max: usize) -> Taken {
        let is_over = self.0.is_over.load(Ordering::Acquire);
        let mut lines = Vec::new();
        while lines.len() < bytes_max
            && let Some(line) = self.0.lines.pop()
        {
            lines.extend(line);
        }
        let lost = self.0.lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            lines.extend(lost_line(self.0.form, lost));
        }
        match (lines.is_empty(), is_over) {
            (false, _) => Taken::Lines(lines),
            (true, true) => Taken::End,
            (true, false) => Taken::Nothing,
        }
    }
}

fn lost_line(form: LineForm, lost: u64) -> Vec<u8> {
    let message = "lines are missing here: this client reads too slowly";
    match form {
        LineForm::Human => format!("WARN {message} lines={lost}\n"),
        LineForm::Json => format!("{{\"level\":\"WARN\",\"message\":\"{message}\",\"lines\":{lost}}}\n"),
    }
    .into_bytes()
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Unless it was ended, and another listens by now.
        LISTENER.compare_and_swap(&self.0, None);
    }
}

/// Writes one line to whoever listens in this form.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineWriter(pub LineForm);

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(listener) = &*LISTENER.load()
            && listener.form == self.0
            && listener.lines.push(bytes.to_vec()).is_err()
        {
            listener.lost.fetch_add(1, Ordering::AcqRel);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
