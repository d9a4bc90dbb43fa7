// SPDX-License-Identifier: GPL-2.0-or-later
//! What a person sees while long work runs: one line a step, with a spinner on a terminal and the
//! time it took; plain lines elsewhere, so that CI logs read well.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Steps that run side by side share the terminal through this.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A step under way. Dropped without [`Step::done`], it says that the step did not finish.
pub struct Step {
    bar: ProgressBar,
    what: String,
    begun: Instant,
    open: bool,
}

/// Begins a step: `what` is a short present participle, "compiling fs/proc/cmdline.c".
pub fn step(what: impl Into<String>) -> Step {
    let what = what.into();
    let mut bar = ProgressBar::new_spinner();
    if std::io::stderr().is_terminal() {
        bar = BARS.add(bar);
        bar.set_style(
            ProgressStyle::with_template("  {spinner} {msg} ({elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_message(what.clone());
    Step { bar, what, begun: Instant::now(), open: true }
}

impl Step {
    /// Shows a detail of the running step (terminal only).
    pub fn detail(&self, text: &str) {
        self.bar.set_message(format!("{}: {text}", self.what));
    }

    /// Ends the step with a result, "3 units, 2 from the cache"; empty for none.
    pub fn done(mut self, result: &str) {
        self.open = false;
        self.bar.finish_and_clear();
        let took = self.begun.elapsed().as_secs_f32();
        let sep = if result.is_empty() { "" } else { ": " };
        BARS.suspend(|| eprintln!("  {}{sep}{result} [{took:.1} s]", self.what));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.open {
            self.bar.finish_and_clear();
            let took = self.begun.elapsed().as_secs_f32();
            BARS.suspend(|| eprintln!("  {}: failed [{took:.1} s]", self.what));
        }
    }
}
