// SPDX-License-Identifier: GPL-2.0-or-later
//! Which names an expression of PromQL has; as much of its grammar as that takes.

/// What is named.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub metrics: Vec<String>,
    pub labels: Vec<String>,
    /// Label and the text that it is compared with.
    pub values: Vec<(String, String)>,
}

/// Words with a list of labels after them.
const OF_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words between expressions.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn tokens(text: &str) -> Vec<Token> {
    let mut chars = text.chars().peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        if c == '"' {
            let mut text = String::new();
            while let Some(c) = chars.next().filter(|c| *c != '"') {
                text.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            found.push(Token::Text(text));
        } else if c.is_ascii_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == ':') {
                word.push(c);
            }
            // A number, or one with a unit.
            if !word.starts_with(|c: char| c.is_ascii_digit()) {
                found.push(Token::Word(word));
            }
        } else if !c.is_whitespace() {
            found.push(Token::Mark(c));
        }
    }
    found
}

/// The names in an expression.
pub fn named(expression: &str) -> Named {
    let tokens = tokens(expression);
    let mut out = Named::default();
    let (mut braces, mut list) = (false, false);
    for (i, token) in tokens.iter().enumerate() {
        let after = tokens.get(i + 1);
        match token {
            Token::Mark('{') => braces = true,
            Token::Mark('}') => braces = false,
            Token::Mark(')') => list = false,
            Token::Text(text) if braces => out.values.push((out.labels.last().unwrap().clone(), text.clone())),
            Token::Word(word) if OF_LABELS.contains(&word.as_str()) && !braces => {
                list = after == Some(&Token::Mark('('))
            }
            Token::Word(word) if braces || list => out.labels.push(word.clone()),
            // label_values(METRIC, LABEL), which Grafana knows.
            Token::Word(word) if i > 0 && tokens[i - 1] == Token::Mark(',') => out.labels.push(word.clone()),
            // sum by (…) (…): `sum` is a function, too.
            Token::Word(_) if matches!(after, Some(Token::Word(next)) if OF_LABELS[..2].contains(&next.as_str())) => {}
            Token::Word(word) if after != Some(&Token::Mark('(')) && !OPERATORS.contains(&word.as_str()) => {
                out.metrics.push(word.clone());
            }
            _ => {}
        }
    }
    out
}

/// The words after each `mark`.
pub fn after<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = String> + 't {
    text.split(mark).skip(1).map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
}

/// The words of a text `one.two`.
pub fn words(text: &str) -> Vec<String> {
    text.split('.').map(|word| word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn names_are_found() {
    let found = named(r#"sum by (verdict) (a{verdict=~"x|y", job!="z"}) > 3 * 30d and on (job) b_c - time() == 0"#);
    assert_eq!(found.metrics, ["a", "b_c"]);
    assert_eq!(found.labels, ["verdict", "verdict", "job", "job"]);
    assert_eq!(found.values, [("verdict".into(), "x|y".into()), ("job".into(), "z".into())]);
    assert_eq!(named("label_values(a, job)").labels, ["job"]);
    assert_eq!(after("{{ $labels.one }} $labels.two_3.", "$labels.").collect::<Vec<_>>(), ["one", "two_3"]);
}
