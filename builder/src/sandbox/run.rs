// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs a program and collects what it writes, within limits of time and output.

use super::Limits;
use anyhow::{anyhow, bail, Context, Result};
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Runs `command`, collecting its output; a failure names `what` and shows the last lines it wrote.
pub fn run(command: &mut Command, what: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command
        .output()
        .with_context(|| format!("cannot start {program}: is it installed? (`make deps` installs what kmend needs)"))?;
    succeeded(out, what)
}

/// `out`, if the program succeeded; else an error with the last lines it wrote.
pub fn succeeded(out: Output, what: &str) -> Result<Output> {
    if !out.status.success() {
        bail!("{what} failed ({}):\n{}", out.status, tail(&out));
    }
    Ok(out)
}

/// The last 30 lines that a program wrote, both streams.
pub fn tail(out: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].iter().map(|l| format!("    {l}\n")).collect()
}

/// What a thread that reads a stream has to say.
enum Event {
    /// It ended; 0 is stdout, 1 stderr.
    End(usize, std::io::Result<Vec<u8>>),
    /// It is longer than it may be.
    TooMuch,
}

/// Runs `command` within the limits. What it wrote in a run that reached a limit of the kernel's is followed by that limit.
///
/// # Errors
/// It cannot be started, or runs past the limit of time or of output.
pub fn within(command: &mut Command, what: &str, limits: &Limits) -> Result<Output> {
    let begun = Instant::now();
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| {
        format!(
            "cannot start {program}: are bubblewrap and util-linux installed? (`make deps` installs what kmend needs)"
        )
    })?;
    let (sender, events) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|s| Box::new(s) as _), child.stderr.take().map(|s| Box::new(s) as _)];
    for (n, stream) in streams.into_iter().enumerate() {
        let (sender, most) = (sender.clone(), limits.output.unwrap_or(u64::MAX));
        if let Some(stream) = stream {
            std::thread::spawn(move || read(stream, n, most, &sender));
        }
    }
    let mut texts = [Vec::new(), Vec::new()];
    let left = || limits.time().unwrap_or(FOR_EVER).saturating_sub(begun.elapsed());
    for _ in 0..2 {
        match events.recv_timeout(left()) {
            Ok(Event::End(n, text)) => texts[n] = text.with_context(|| format!("what {what} wrote"))?,
            Ok(Event::TooMuch) => {
                end(&mut child);
                bail!("{what} was stopped: it writes more than {}", limits.of_output());
            }
            Err(RecvTimeoutError::Timeout) => return Err(too_long(&mut child, what, limits)),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // It may have closed both and go on.
    let status = loop {
        match child.try_wait().with_context(|| format!("waiting for {what}"))? {
            Some(status) => break status,
            None if left().is_zero() => return Err(too_long(&mut child, what, limits)),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    let [stdout, stderr] = texts;
    let mut out = Output { status, stdout, stderr };
    let limit = if out.status.success() { None } else { limits.reached(&out) };
    if let Some(limit) = limit {
        out.stderr.extend(format!("\n{what} may have reached {limit}\n").bytes());
    }
    Ok(out)
}

/// Longer than any tool runs.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

fn too_long(child: &mut Child, what: &str, limits: &Limits) -> anyhow::Error {
    end(child);
    anyhow!("{what} was stopped: it did not end within {}", limits.of_time())
}

fn read(stream: Box<dyn Read + Send>, n: usize, most: u64, sender: &Sender<Event>) {
    let mut text = Vec::new();
    let read = stream.take(most.saturating_add(1)).read_to_end(&mut text);
    let event = match read {
        Ok(len) if len as u64 > most => Event::TooMuch,
        read => Event::End(n, read.map(|_| text)),
    };
    // The receiver is gone where the other stream was too long.
    let _ = sender.send(event);
}

/// Ends a program with all that it started: bubblewrap's process namespace goes with it.
fn end(child: &mut Child) {
    // It may have ended just now.
    let _ = child.kill();
    let _ = child.wait();
}
