//! Copies keys, settings and documents, and compares what came of it.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::compare::{Examples, Mending, differing_settings, examples, fingerprint, mend};
use super::destination::{Destination, MadeKey};
use super::plan::{IndexPlan, Plan};
use super::report::{IndexReport, KeysReport};
use super::source::{Object, Page, Source, SourceIndex};
use super::stretch::{Stretch, covered};
use super::{ImportError, Listener, Progress};

/// Bytes of one put, unless a single document is longer.
const PUT_BYTES: usize = 16 << 20;
/// Puts that Miroir has taken and not applied yet. Nodes take several at once, so it is quicker to be ahead.
const PUTS_AHEAD: usize = 32;
/// Documents that are deleted at once.
const DELETED_AT_ONCE: usize = 10_000;

/// Makes the keys, the oldest first: so they are listed in the source's order.
pub fn keys(destination: &Destination, keys: &[Object]) -> Result<KeysReport, ImportError> {
    let mut report = KeysReport::default();
    for key in keys {
        let text = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        match destination.make_key(key)? {
            MadeKey::There(value) => {
                report.copied += 1;
                // A dump has no values.
                report.with_other_value += u64::from(text("key").is_some_and(|before| before != value));
            }
            MadeKey::NoMasterKey => report.no_master_key = true,
            MadeKey::Other => report.differ.extend(text("uid")),
        }
    }
    Ok(report)
}

/// Copies indexes.
pub struct Copier<'a> {
    source: &'a dyn Source,
    destination: &'a Destination,
    plan: &'a Plan,
    /// `--update`.
    updates: bool,
    /// Puts that have not ended, as far as is known, the oldest first.
    ahead: VecDeque<u64>,
    done: u64,
    now: u64,
    all: u64,
}

impl<'a> Copier<'a> {
    /// Has copied nothing yet.
    pub fn new(source: &'a dyn Source, destination: &'a Destination, updates: bool, plan: &'a Plan) -> Self {
        let all = plan.indexes.iter().map(|index| index.index.documents).sum();
        Self { source, destination, plan, updates, ahead: VecDeque::new(), done: 0, now: 0, all }
    }

    fn progress(&self, index: &str, word: &'static str, listener: &mut dyn Listener) -> Result<(), ImportError> {
        let Self { done, now, all, .. } = *self;
        listener.progress(Progress { index, word, done, now, all: all.max(done) })
    }

    /// Makes the index and copies its documents from where it stopped.
    pub fn copy(&mut self, plan: &IndexPlan, listener: &mut dyn Listener) -> Result<(), ImportError> {
        let IndexPlan { index, settings, stretches, is_foreign } = plan;
        self.destination.create(index)?;
        let from = covered(stretches.iter().map(|(stretch, _)| stretch).collect());
        // Those of an earlier run may still be under way; a later one of the index ends after them.
        self.ahead.extend(stretches.iter().map(|(_, task)| *task).max());
        if from == 0 || self.updates {
            self.destination.set(&index.uid, settings)?;
        }
        if *is_foreign {
            self.done += index.documents;
            return self.progress(&index.uid, "copied", listener);
        }
        if from > 0 {
            listener.say(&format!("index `{}`: goes on behind {from} documents that were copied before", index.uid))?;
        }
        self.done += from;
        let source = self.source;
        source.documents(index, from, &mut |page| {
            self.put(index, &page)?;
            let documents = page.documents.len() as u64;
            (self.done, self.now) = (self.done + documents, self.now + documents);
            self.progress(&index.uid, "copied", listener)
        })
    }

    /// In as many requests as it takes.
    fn put(&mut self, index: &SourceIndex, page: &Page<'_>) -> Result<(), ImportError> {
        let (mut lines, mut from) = (String::new(), page.from);
        for (document, to) in page.documents.iter().zip(page.from + 1..) {
            lines.extend([document, "\n"]);
            if lines.len() >= PUT_BYTES || to == page.next() {
                let stretch = Stretch {
                    import: self.source.kind(),
                    created_at: index.created_at.clone(),
                    updated_at: index.updated_at.clone(),
                    from,
                    to,
                };
                self.put_lines(index, &lines, &stretch.metadata())?;
                lines.clear();
                from = to;
            }
        }
        Ok(())
    }

    fn put_lines(&mut self, index: &SourceIndex, lines: &str, metadata: &str) -> Result<(), ImportError> {
        if self.ahead.len() >= PUTS_AHEAD
            && let Some(oldest) = self.ahead.pop_front()
        {
            self.destination.wait(oldest)?;
        }
        self.ahead.push_back(self.destination.put(index, lines, metadata)?);
        Ok(())
    }

    /// Waits until all that was sent is applied.
    pub fn finish(&mut self, listener: &mut dyn Listener) -> Result<(), ImportError> {
        if !self.ahead.is_empty() {
            listener.say("all documents are sent; Miroir applies them")?;
        }
        while let Some(task) = self.ahead.pop_front() {
            self.destination.wait(task)?;
        }
        Ok(())
    }

    /// Makes documents that differ as the source has them.
    pub fn update(&mut self, listener: &mut dyn Listener) -> Result<(), ImportError> {
        let plan = self.plan;
        for IndexPlan { index, .. } in plan.indexes.iter().filter(|plan| plan.index.primary_key.is_some()) {
            let (source, miroir) = (self.source, self.destination.as_source());
            let theirs = fingerprint(source, index, &mut |_| Ok(()))?;
            let ranges = theirs.differing(&fingerprint(miroir, index, &mut |_| Ok(()))?);
            let mut update = Update { copier: self, index, lines: String::new(), deleted: Vec::new(), put: 0, gone: 0 };
            if !ranges.is_empty() {
                mend((source, miroir), index, &ranges, &mut update)?;
                update.flush(true)?;
            }
            let (put, gone) = (update.put, update.gone);
            listener.say(&format!("index `{}`: {put} documents put, {gone} deleted", index.uid))?;
        }
        self.finish(listener)
    }

    /// Reads both.
    pub fn compare(&mut self, listener: &mut dyn Listener) -> Result<Vec<IndexReport>, ImportError> {
        let plan = self.plan;
        (self.done, self.now) = (0, 0);
        let now = self.source.indexes()?;
        let mut reports = Vec::new();
        for IndexPlan { index, settings, stretches, .. } in &plan.indexes {
            let (source, miroir) = (self.source, self.destination.as_source());
            let shown = miroir.settings(&index.uid)?;
            let settings = differing_settings(settings, &source.shown_settings(&index.uid, settings)?, &shown);
            let begun = self.done;
            let mut after_page = |place: u64| {
                (self.done, self.now) = (begun + place, begun + place);
                self.progress(&index.uid, "compared", listener)
            };
            let first = fingerprint(source, index, &mut after_page)?;
            let second = fingerprint(miroir, index, &mut |_| Ok(()))?;
            let ranges = first.differing(&second);
            let found =
                if ranges.is_empty() { Ok(Examples::default()) } else { examples((source, miroir), index, &ranges) };
            let first_read =
                stretches.iter().find(|(stretch, _)| stretch.from == 0).map(|(stretch, _)| &stretch.updated_at);
            let first_read = first_read.unwrap_or(&index.updated_at);
            let is_as_then = |now: &SourceIndex| now.uid == index.uid && now.updated_at == *first_read;
            reports.push(IndexReport {
                uid: index.uid.clone(),
                source: first.total().into(),
                miroir: second.total().into(),
                examples: found?,
                settings,
                changed_meanwhile: !now.iter().any(is_as_then),
            });
        }
        Ok(reports)
    }
}

/// What an update sends.
struct Update<'a, 'b> {
    copier: &'b mut Copier<'a>,
    index: &'b SourceIndex,
    lines: String,
    deleted: Vec<Value>,
    put: u64,
    gone: u64,
}

impl Update<'_, '_> {
    /// Sends what makes a request, or all.
    fn flush(&mut self, all: bool) -> Result<(), ImportError> {
        let Self { copier, index, lines, deleted, .. } = self;
        if lines.len() >= PUT_BYTES || (all && !lines.is_empty()) {
            copier.put_lines(index, lines, "miroir-ctl import --update")?;
            lines.clear();
        }
        if deleted.len() >= DELETED_AT_ONCE || (all && !deleted.is_empty()) {
            copier.destination.delete(&index.uid, deleted)?;
            deleted.clear();
        }
        Ok(())
    }
}

impl Mending for Update<'_, '_> {
    fn put(&mut self, document: &str) -> Result<(), ImportError> {
        self.lines.extend([document, "\n"]);
        self.put += 1;
        self.flush(false)
    }

    fn delete(&mut self, id: &str) -> Result<(), ImportError> {
        self.deleted.push(json!(id));
        self.gone += 1;
        self.flush(false)
    }
}
