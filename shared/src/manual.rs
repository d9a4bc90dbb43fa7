// SPDX-License-Identifier: GPL-2.0-or-later
//! What a manual page says beyond the command's own help: man-pages(7) names the sections.

/// One command's page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// The command with those above it: `kmend-build stream build`
    pub command: &'static str,
    /// EXIT STATUS: a code and what it means.
    pub exits: &'static [(&'static str, &'static str)],
    /// ENVIRONMENT: a variable and what it does.
    pub environment: &'static [(&'static str, &'static str)],
    /// FILES: a path and what is there.
    pub files: &'static [(&'static str, &'static str)],
    /// EXAMPLES: what for, and the command line.
    pub examples: &'static [(&'static str, &'static str)],
    /// SEE ALSO: pages and addresses beside the command's own family.
    pub see: &'static [&'static str],
}

/// What is wrong with the pages of a command line: `commands` are its commands with those above them, and whether people call
/// each. Nothing where each of these has a page with an example of itself, and no other has one.
pub fn faults(pages: &[Page], commands: &[(String, bool)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (command, is_called) in commands {
        let own_pages: Vec<&Page> = pages.iter().filter(|p| p.command == command).collect();
        match (own_pages.as_slice(), *is_called) {
            ([], false) => {}
            ([], true) => faults.push(format!("{command} has no page")),
            ([page], true) => {
                let own = |line: &&str| line.split(' ').take(command.split(' ').count()).eq(command.split(' '));
                if !page.examples.iter().any(|(_, line)| own(line)) {
                    faults.push(format!("the page of {command} has no example of it"));
                }
            }
            ([_], false) => faults.push(format!("{command} is hidden and has a page")),
            _ => faults.push(format!("{command} has several pages")),
        }
    }
    let is_known = |page: &&Page| commands.iter().any(|(command, _)| command == page.command);
    faults.extend(pages.iter().filter(|p| !is_known(p)).map(|p| format!("{} is no command", p.command)));
    faults
}
