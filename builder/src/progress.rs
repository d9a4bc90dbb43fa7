// SPDX-License-Identifier: GPL-2.0-or-later
//! What a person sees during long work: one line per step with its duration, and a spinner on a terminal; plain lines
//! elsewhere, so that CI logs are readable.

use crate::visible::visible;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use kmend_shared::paint::{self, Tone};
use std::cell::RefCell;
use std::io::{IsTerminal, Write as _};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Steps that run side by side share the terminal through this.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

thread_local! {
    /// Where the steps of this thread go while [`listen`] runs.
    static HEARD: RefCell<Option<Vec<Took>>> = const { RefCell::new(None) };
}

/// A step that is over.
#[derive(Clone, Debug)]
pub struct Took {
    /// What it did, as [`step`] was told.
    pub what: String,
    /// How long that took.
    pub time: Duration,
}

/// Runs `work` without a word: the steps that begin and end on this thread meanwhile come back with its result, whether
/// they came to their end or failed.
pub fn listen<T>(work: impl FnOnce() -> T) -> (T, Vec<Took>) {
    let before = HEARD.replace(Some(Vec::new()));
    let result = work();
    (result, HEARD.replace(before).unwrap_or_default())
}

/// What a run said, and the steps that it took.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The lines, as they went to standard error, without colours.
    pub text: String,
    /// The steps that are over, in the order of their ends.
    pub steps: Vec<Took>,
}

/// The log that is being kept, of all threads.
static KEPT: Mutex<Option<Log>> = Mutex::new(None);
/// No log is longer, in bytes: what comes after that is not kept.
const LONGEST_LOG: usize = 4 << 20;

/// Runs `work`, and keeps a log of what is said meanwhile, by all threads. One such run at a time: a second one within the
/// first takes the log over.
pub fn logged<T>(work: impl FnOnce() -> T) -> (T, Log) {
    let keep = |log: Option<Log>| KEPT.lock().map(|mut kept| std::mem::replace(&mut *kept, log)).ok().flatten();
    keep(Some(Log::default()));
    let result = work();
    (result, keep(None).unwrap_or_default())
}

/// Adds to the log, where one is kept.
fn keep(add: impl FnOnce(&mut Log)) {
    if let Some(log) = KEPT.lock().ok().as_mut().and_then(|kept| kept.as_mut()) {
        if log.text.len() < LONGEST_LOG {
            add(log);
        }
    }
}

/// Whether someone listens to this thread.
fn is_heard() -> bool {
    HEARD.with_borrow(|heard| heard.is_some())
}

/// Hands a step that is over to who listens; false where no one does.
fn hear(what: &str, time: Duration) -> bool {
    HEARD.with_borrow_mut(|heard| match heard {
        Some(heard) => {
            heard.push(Took { what: what.into(), time });
            true
        }
        None => false,
    })
}

/// Says something that a person should know once, above the steps that run.
pub fn note(text: &str) {
    say(&[("note: ", Tone::Strong)], text, &[]);
}

/// Passes on a line that is about a kernel, where several are built side by side; its name is said once.
pub fn of_kernel(kernel: &str, text: &str) {
    let text = text.trim_start();
    let named = text.strip_prefix(kernel).and_then(|rest| rest.strip_prefix(": "));
    say(&[(&format!("{kernel}: "), Tone::Strong)], named.unwrap_or(text), &[]);
}

/// A line on standard error, above the steps that run; `before` and `after` are our own words in their tones.
fn say(before: &[(&str, Tone)], text: &str, after: &[(&str, Tone)]) {
    let plain = |parts: &[(&str, Tone)]| parts.iter().map(|(text, _)| *text).collect::<String>();
    let painted = |parts: &[(&str, Tone)]| parts.iter().map(|(text, tone)| painted(text, *tone)).collect::<String>();
    keep(|log| log.text.push_str(&line(&plain(before), text, &plain(after))));
    BARS.suspend(|| {
        // A log that takes no more is no reason to break off.
        let _ = std::io::stderr().write_all(line(&painted(before), text, &painted(after)).as_bytes());
    });
}

/// `text` may come from outside, and what a terminal would act on is named in it; what is around it has colours.
fn line(before: &str, text: &str, after: &str) -> String {
    format!("  {before}{}{after}\n", visible(text))
}

/// Text on standard error, in a tone where that is a terminal.
fn painted(text: &str, tone: Tone) -> String {
    match paint::wanted(std::io::stderr().is_terminal()) {
        true => tone.paint(text),
        false => text.into(),
    }
}

/// A step under way. Dropped without [`Step::done`], it says that the step did not finish.
pub struct Step {
    bar: ProgressBar,
    what: String,
    begun: Instant,
    open: bool,
    /// When it last printed something, if the output is not a terminal.
    said: Option<Mutex<Instant>>,
}

/// Begins a step: `what` is a short present participle, "compiling fs/proc/cmdline.c".
pub fn step(what: impl Into<String>) -> Step {
    let what = what.into();
    let mut bar = ProgressBar::new_spinner();
    if std::io::stderr().is_terminal() && !is_heard() {
        bar = BARS.add(bar);
        bar.set_style(
            ProgressStyle::with_template("  {spinner} {msg} ({elapsed})")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.set_message(visible(&what).into_owned());
    let begun = Instant::now();
    let said = (bar.is_hidden() && !is_heard()).then_some(Mutex::new(begun));
    Step { bar, what, begun, open: true, said }
}

impl Step {
    /// Shows a detail of the running step; in a log, no more than once a minute.
    pub fn detail(&self, text: &str) {
        self.bar.set_message(visible(&format!("{}: {text}", self.what)).into_owned());
        let Some(mut said) = self.said.as_ref().and_then(|said| said.try_lock().ok()) else { return };
        if said.elapsed() >= Duration::from_secs(60) {
            *said = Instant::now();
            eprintln!("  {}: {text}", self.what);
        }
    }

    /// Ends the step with a result, "3 units, 2 from the cache"; empty for none.
    pub fn done(mut self, result: &str) {
        self.open = false;
        self.bar.finish_and_clear();
        if hear(&self.what, self.begun.elapsed()) {
            return;
        }
        keep(|log| log.steps.push(Took { what: self.what.clone(), time: self.begun.elapsed() }));
        let took = self.begun.elapsed().as_secs_f32();
        let sep = if result.is_empty() { "" } else { ": " };
        say(&[], &format!("{}{sep}{result} ", self.what), &[(&format!("[{took:.1} s]"), Tone::Quiet)]);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.open {
            self.bar.finish_and_clear();
            if hear(&self.what, self.begun.elapsed()) {
                return;
            }
            let took = self.begun.elapsed().as_secs_f32();
            let took = format!(" [{took:.1} s]");
            say(&[], &format!("{}: ", self.what), &[("failed", Tone::Bad), (&took, Tone::Quiet)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_the_terminal_and_nothing_else_is() {
        let took = Tone::Quiet.paint("[0.1 s]");
        assert_eq!(line("", "reading a\x1b[2Jb ", &took), format!("  reading a⟨U+001B⟩[2Jb {took}\n"));
        assert!(took.starts_with('\x1b'));
    }

    #[test]
    fn what_is_said_is_kept_without_colours() {
        let (result, log) = logged(|| {
            say(&[("note: ", Tone::Strong)], "a\x1b[2J ", &[("[0.1 s]", Tone::Quiet)]);
            step("compiling").done("2 units");
            7
        });
        assert_eq!(result, 7);
        // Other tests run beside this one.
        for line in ["  note: a⟨U+001B⟩[2J [0.1 s]\n", "  compiling: 2 units [0.0 s]\n"] {
            assert!(log.text.contains(line), "{}", log.text);
        }
        assert!(log.steps.iter().any(|took| took.what == "compiling"));
    }

    #[test]
    fn who_listens_hears_what_was_done_and_what_was_not() {
        let (result, heard) = listen(|| {
            step("compiling").done("2 units");
            let _broken_off = step("linking");
            7
        });
        assert_eq!(result, 7);
        assert_eq!(heard.iter().map(|t| t.what.as_str()).collect::<Vec<_>>(), ["compiling", "linking"]);
        assert!(!is_heard());
    }
}
