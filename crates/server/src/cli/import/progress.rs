//! How an import says how far it is: bars on a terminal, elsewhere a line every few seconds.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::super::human::{bytes, count_of, cut, duration, rate};
use super::super::output::note;
use super::files::Input;

/// How often something is said where there are no bars.
const EVERY: Duration = Duration::from_secs(5);

/// Where an import says how far it is.
pub(crate) struct Progress {
    tell: Box<dyn Fn(&str) + Send + Sync>,
    bars: Option<MultiProgress>,
    total: ProgressBar,
    file: ProgressBar,
    read: Arc<AtomicU64>,
    finished_bytes: u64,
    all_bytes: u64,
    started: Instant,
    told: Instant,
}

impl fmt::Debug for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Progress").field("bars", &self.bars.is_some()).finish_non_exhaustive()
    }
}

impl Progress {
    /// Bars on standard error if that is a terminal, otherwise lines.
    pub(crate) fn standard_error() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self { bars, ..Self::telling(note) }
    }

    /// No bars, and every sentence handed to `tell`.
    pub(crate) fn telling(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let now = Instant::now();
        Self {
            tell: Box::new(tell),
            bars: None,
            total: ProgressBar::hidden(),
            file: ProgressBar::hidden(),
            read: Arc::default(),
            finished_bytes: 0,
            all_bytes: 0,
            started: now,
            told: now,
        }
    }

    /// Says something that is not about how far we are.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| (self.tell)(text)),
            None => (self.tell)(text),
        }
    }

    pub(super) fn begin(&mut self, inputs: &[Input]) {
        self.all_bytes = inputs.iter().map(|input| input.size).sum();
        let Some(bars) = &self.bars else { return };
        self.file = bars
            .add(ProgressBar::new(0).with_style(style("  {bar:30} {decimal_bytes} of {decimal_total_bytes}  {msg}")));
        if inputs.len() > 1 {
            let template =
                "  {bar:30} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left  {msg}";
            self.total = bars.add(ProgressBar::new(self.all_bytes).with_style(style(template)));
        } else {
            self.file.set_style(style(
                "  {bar:30} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left  {msg}",
            ));
        }
    }

    pub(super) fn begin_file(&mut self, input: &Input, read: &Arc<AtomicU64>) {
        self.read = Arc::clone(read);
        self.file.reset();
        self.file.set_length(input.size);
        self.file.set_message(cut(&input.path.display().to_string(), 60));
    }

    /// So many events have been sent in all.
    pub(super) fn sent(&mut self, events: u64) {
        let read = self.read.load(Ordering::Relaxed);
        let done = self.finished_bytes + read;
        self.file.set_position(read);
        self.total.set_position(done);
        self.total.set_message(count_of(events, "event"));
        if self.bars.is_none() && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            self.say(&self.so_far(events, done));
        }
    }

    fn so_far(&self, events: u64, done: u64) -> String {
        let over = self.started.elapsed();
        let left = match self.all_bytes.saturating_sub(done) {
            left if left > 0 && done > 0 => {
                format!(", about {} left", duration(over.mul_f64((left as f64 / done as f64).min(1e6))))
            }
            _ => String::new(),
        };
        format!(
            "{} imported, {} of {} read ({} events/s{left})",
            count_of(events, "event"),
            bytes(done),
            bytes(self.all_bytes.max(done)),
            rate(events, over)
        )
    }

    pub(super) fn end_file(&mut self, input: &Input) {
        self.finished_bytes += input.size.max(self.read.swap(0, Ordering::Relaxed).min(input.size));
        self.total.set_position(self.finished_bytes);
    }

    pub(super) fn end(&self) {
        self.file.finish_and_clear();
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
