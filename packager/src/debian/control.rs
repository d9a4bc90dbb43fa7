// SPDX-License-Identifier: GPL-2.0-or-later
//! The fields of a control file (Debian policy, chapter 5): one line each; the description has more.

use anyhow::{ensure, Result};

/// Fields in the order in which they are written.
#[derive(Default)]
pub(super) struct Control(Vec<(&'static str, String)>);

impl Control {
    /// Adds a field. What is not one line is refused, as it would begin another field.
    pub(super) fn field(mut self, name: &'static str, value: &str) -> Result<Control> {
        ensure!(
            !value.is_empty() && !value.chars().any(char::is_control),
            "field {name} of a control file cannot hold {value:?}: it has to be one line"
        );
        self.0.push((name, value.into()));
        Ok(self)
    }

    /// Adds the description: a line, and a paragraph below it.
    pub(super) fn description(mut self, summary: &str, text: &str) -> Result<Control> {
        self = self.field("Description", summary)?;
        ensure!(!text.is_empty() && !text.chars().any(char::is_control), "a description cannot hold {text:?}");
        if let Some((_, value)) = self.0.last_mut() {
            value.push_str("\n ");
            value.push_str(text);
        }
        Ok(self)
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }
}
