// SPDX-License-Identifier: GPL-2.0-or-later
//! The answer of a `stream` command: text or one object of JSON, for errors too. docs/farm.md has its fields.

use crate::error::{self, Ending, Refusal};
use crate::stream::fault::Faults;
use anyhow::Result;
use serde::Serialize;

/// Version of the JSON's form; it grows when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// What a command came to.
pub struct Answer<T> {
    /// For people.
    pub text: String,
    /// For programs.
    pub fields: T,
    /// The error that it ends with all the same.
    pub end: Result<()>,
}

/// What an error leaves to tell.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Envelope<'a, T> {
    schema_version: u32,
    /// `check`, `plan`, `build`, `assemble`, `release`.
    command: &'a str,
    /// `done`, `error`, `refused`, `nothing-to-do` or `try-failed`: exit codes 0 to 4.
    result: &'a str,
    #[serde(flatten)]
    fields: T,
    /// What rules out the whole of it.
    refusals: &'a [Refusal],
    /// What is wrong with the stream file.
    faults: Vec<Fault>,
    /// The error in words, as standard error has it.
    error: Option<String>,
}

#[derive(Serialize)]
struct Fault {
    line: Option<usize>,
    reason: String,
    hint: String,
}

/// Prints what `command` came to, as JSON where that is asked for.
///
/// # Errors
/// That of the command.
pub fn give<T: Serialize>(json: bool, command: &str, result: Result<Answer<T>>) -> Result<()> {
    match result {
        Ok(answer) => {
            match json {
                true => print_json!(envelope(command, answer.fields, answer.end.as_ref().err())?),
                false => print!("{}", answer.text),
            }
            answer.end
        }
        Err(error) => {
            if json {
                print_json!(envelope(command, Nothing {}, Some(&error))?);
            }
            Err(error)
        }
    }
}

fn envelope<T: Serialize>(command: &str, fields: T, error: Option<&anyhow::Error>) -> Result<String> {
    let result = error.map_or(Ending::Done, Ending::of).word();
    Ok(serde_json::to_string_pretty(&Envelope {
        schema_version: SCHEMA,
        command,
        result,
        fields,
        refusals: error.map(error::refusals).unwrap_or_default(),
        faults: error.map(faults).unwrap_or_default(),
        error: error.map(|error| format!("{error:#}")),
    })?)
}

fn faults(error: &anyhow::Error) -> Vec<Fault> {
    let all = error.downcast_ref::<Faults>().map(|e| e.faults.as_slice()).unwrap_or_default();
    let fault = |f: &crate::stream::fault::Fault| Fault {
        line: Some(f.line).filter(|line| *line > 0),
        reason: f.reason.clone(),
        hint: f.hint.clone(),
    };
    all.iter().map(fault).collect()
}
