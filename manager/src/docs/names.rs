// SPDX-License-Identifier: GPL-2.0-or-later
//! Completions that know names: a shell's script of clap_complete in, the same with names that the program itself tells
//! (`kmend names`) out.
//!
//! clap_complete can ask the program by itself (its feature `unstable-dynamic`), but hands it bash's words, which end at each
//! `:` of `debian:forky`.

use clap_complete::Shell;

/// Where names are on a command line, and how they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The arguments that have the program print them, a line each; only letters, digits and `-_.:/+~`.
    pub ask: &'a str,
    /// What the help calls such a value: `TARGET`
    pub value: &'a str,
    /// Options with such a value: the letter and the long name.
    pub options: &'a [(char, &'a str)],
    /// Commands with such an argument: `target show`
    pub commands: &'a [&'a str],
    /// Whether a file can be named in its place.
    pub or_files: bool,
}

/// What `script`, made by clap_complete for the program `name`, becomes.
pub fn add(script: &str, shell: Shell, name: &str, names: &Names) -> String {
    match shell {
        Shell::Bash => format!("{}{}", script, bash(name, names)),
        Shell::Zsh => zsh(script, name, names),
        Shell::Fish => format!("{}{}", script, fish(name, names)),
        _ => script.into(),
    }
}

fn bash(name: &str, names: &Names) -> String {
    let options = names.options.iter().flat_map(|(short, long)| [format!("*' -{short}'"), format!("*' --{long}'")]);
    let commands = names.commands.iter().map(|command| format!("*' {command}'"));
    let places: Vec<String> = options.chain(commands).collect();
    let (places, ask, function) = (places.join(" | "), names.ask, format!("_{name}"));
    let files = if names.or_files {
        "    COMPREPLY+=($(compgen -d -- \"$word\") $(compgen -f -X '!*.ko*' -- \"$word\"))\n"
    } else {
        ""
    };
    format!(
        r#"
# Where names are wanted, the program tells them. bash takes a word apart at each `:`, and wants what is behind the last.
{function}_names() {{
    local word before colon
    before="${{COMP_LINE:0:COMP_POINT}}"
    word="${{before##*[[:space:]]}}"
    before="${{before%"$word"}}"
    before="${{before%"${{before##*[![:space:]]}}"}}"
    case "$before" in
        {places}) ;;
        *) {function} "$@"; return ;;
    esac
    case "$COMP_WORDBREAKS$word" in
        *:*:*) colon="${{word%"${{word##*:}}"}}" ;;
    esac
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$({name} {ask} 2>/dev/null)" -- "$word"))
{files}    COMPREPLY=("${{COMPREPLY[@]#"$colon"}}")
}}

complete -F {function}_names -o bashdefault -o default {name}
"#
    )
}

fn zsh(script: &str, name: &str, names: &Names) -> String {
    let (function, ask) = (format!("_{}_names", name.replace('-', "_")), names.ask);
    // `'--target=[help]:TARGET:_default' \`, and of an argument `':target -- help:_default' \`.
    let option = format!("]:{}:", names.value);
    let argument = format!("{} -- ", names.value.to_lowercase());
    let with_names = |line: &str| {
        let is_argument = line.starts_with("':") && line.trim_start_matches(['\'', ':']).starts_with(&argument);
        let at = line.rfind(":_").filter(|_| is_argument || line.contains(&option));
        at.and_then(|at| Some(format!("{}:{function}{}", &line[..at], &line[line.rfind('\'')?..])))
    };
    let text: String = script.lines().map(|line| with_names(line).unwrap_or_else(|| line.to_string()) + "\n").collect();
    let files = if names.or_files { "    _files -g '*.ko*'\n" } else { "" };
    let own = format!(
        "{function}() {{\n    local -a names\n    names=(${{(f)\"$({name} {ask} 2>/dev/null)\"}})\n    \
         compadd -a names\n{files}}}\n\n"
    );
    // Functions come before the script's last part, which runs it.
    let at = text.rfind("if [ \"$funcstack[1]\"").unwrap_or(text.len());
    format!("{}{own}{}", &text[..at], &text[at..])
}

fn fish(name: &str, names: &Names) -> String {
    let ask = format!("({name} {} 2>/dev/null)", names.ask);
    let more = if names.or_files { "" } else { " -f" };
    let options = names.options.iter().map(|(short, long)| {
        format!("complete -c {name} -n \"not __fish_use_subcommand\" -s {short} -l {long} -x -a \"{ask}\"\n")
    });
    let commands = names.commands.iter().map(|command| {
        let seen: String = command.split(' ').map(|word| format!("__fish_seen_subcommand_from {word}; and ")).collect();
        let seen = seen.trim_end_matches("; and ");
        format!("complete -c {name} -n \"{seen}\"{more} -a \"{ask}\"\n")
    });
    options.chain(commands).collect()
}
