//! Metrics as Prometheus reads them: the text format, version 0.0.4.

use std::fmt::{Display, Write};

/// Its content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// A text that grows metric by metric.
#[derive(Clone, Debug, Default)]
pub struct Exposition(String);

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Goes up only.
    Counter,
    /// How many were how large.
    Histogram,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn metric(&mut self, name: &str, help: &str, kind: MetricKind) {
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample of the metric that was begun last. `name` has a suffix in histograms.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.write(format_args!("{before}{label}=\"{text}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    /// A gauge with one sample.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric(name, help, MetricKind::Gauge);
        self.sample(name, &[], value);
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.0
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a text takes whatever is written to it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_labels_and_are_escaped() {
        let mut text = Exposition::default();
        text.gauge("a", "What it is", 1.5);
        text.metric("b_total", "Another", MetricKind::Counter);
        text.sample("b_total", &[("x", "1"), ("y", "a \"b\"\\\n")], 2);
        assert_eq!(
            text.into_text(),
            "# HELP a What it is\n# TYPE a gauge\na 1.5\n# HELP b_total Another\n# TYPE b_total counter\n\
             b_total{x=\"1\",y=\"a \\\"b\\\"\\\\\\n\"} 2\n"
        );
    }
}
