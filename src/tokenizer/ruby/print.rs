//! Prints a pattern in the engine's syntax.

use std::collections::BTreeMap;

use super::parse::Parsed;
use super::{Node, class, fold, unsupported};

/// The limit on a translation, because compiling takes time in proportion. Calls of groups, `\b`, `\X` and
/// characters that equal several others make it longer than the pattern.
const BYTES_MAX: usize = 1 << 14;

pub(super) fn print(parsed: &Parsed) -> Result<String, String> {
    let mut groups = BTreeMap::new();
    find_groups(&parsed.root, &mut groups);
    let mut named = vec![false; parsed.groups];
    find_named(&parsed.root, &mut named);
    let mut number = 0;
    let numbers = named.iter().map(|&named| {
        number += usize::from(named);
        named.then_some(number)
    });
    let mut printer = Printer { groups, numbers: numbers.collect(), within: Vec::new(), out: String::new() };
    printer.node(&parsed.root)?;
    Ok(printer.out)
}

fn inner(node: &Node) -> Vec<&Node> {
    match node {
        Node::Row(parts) | Node::Choice(parts) => parts.iter().collect(),
        Node::Capture { inner, .. } | Node::Atomic(inner) | Node::Look { inner, .. } | Node::Repeat { inner, .. } => vec![inner],
        Node::If { yes, no, .. } => vec![yes, no],
        _ => Vec::new(),
    }
}

fn find_groups<'a>(node: &'a Node, groups: &mut BTreeMap<usize, &'a Node>) {
    if let Node::Capture { group, inner } = node {
        groups.insert(*group, inner);
    }
    inner(node).into_iter().for_each(|node| find_groups(node, groups));
}

/// Finds the groups that a reference or a condition uses. Only these must capture.
fn find_named(node: &Node, named: &mut [bool]) {
    if let Node::Back { group, .. } | Node::If { group, .. } = node {
        named[*group] = true;
    }
    inner(node).into_iter().for_each(|node| find_named(node, named));
}

/// The fewest characters that a part matches.
fn chars_min(node: &Node) -> usize {
    match node {
        Node::Char { .. } | Node::Set(_) => 1,
        Node::Engine { chars_min, .. } => *chars_min,
        Node::Row(parts) => parts.iter().map(chars_min).sum(),
        Node::Choice(parts) => parts.iter().map(chars_min).min().unwrap_or(0),
        Node::Capture { inner, .. } | Node::Atomic(inner) => chars_min(inner),
        Node::Repeat { inner, min, .. } => chars_min(inner).saturating_mul(*min as usize),
        Node::LineStart | Node::Look { .. } | Node::Back { .. } | Node::Call { .. } | Node::If { .. } => 0,
    }
}

struct Printer<'a> {
    groups: BTreeMap<usize, &'a Node>,
    /// The number of each group in the engine's pattern.
    numbers: Vec<Option<usize>>,
    /// The groups whose calls are being printed.
    within: Vec<usize>,
    out: String,
}

impl Printer<'_> {
    fn wrapped(&mut self, open: &str, node: &Node) -> Result<(), String> {
        self.out.push_str(open);
        self.node(node)?;
        self.out.push(')');
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        if self.out.len() > BYTES_MAX {
            return Err("it is too long when its groups are written out".into());
        }
        match node {
            Node::Char { char, fold: false } => class::char_text(*char, &mut self.out),
            Node::Char { .. } => self.row(std::slice::from_ref(node))?,
            Node::Set(text) => self.out.push_str(text),
            Node::Engine { text, .. } => self.out.push_str(text),
            Node::LineStart => self.out.push_str(r"(?:\A|(?m:^)(?!\z))"),
            Node::Row(parts) => self.row(parts)?,
            Node::Choice(branches) => {
                self.out.push_str("(?:");
                for (index, branch) in branches.iter().enumerate() {
                    if index > 0 {
                        self.out.push('|');
                    }
                    self.node(branch)?;
                }
                self.out.push(')');
            }
            Node::Capture { group, inner } => match self.numbers[*group] {
                Some(_) if !self.within.is_empty() => return unsupported("a call of a group that a reference names"),
                Some(_) => self.wrapped("(", inner)?,
                None => self.wrapped("(?:", inner)?,
            },
            Node::Atomic(inner) => self.wrapped("(?>", inner)?,
            Node::Look { open, inner } => self.wrapped(open, inner)?,
            Node::Repeat { inner, min, max, lazy, possessive } => {
                if *possessive {
                    self.out.push_str("(?>");
                }
                match &**inner {
                    Node::Set(_) | Node::Char { fold: false, .. } => self.node(inner)?,
                    _ => self.wrapped("(?:", inner)?,
                }
                match (min, max) {
                    (0, None) => self.out.push('*'),
                    (1, None) => self.out.push('+'),
                    (0, Some(1)) => self.out.push('?'),
                    (min, None) => self.out.push_str(&format!("{{{min},}}")),
                    (min, Some(max)) if min == max => self.out.push_str(&format!("{{{min}}}")),
                    (min, Some(max)) => self.out.push_str(&format!("{{{min},{max}}}")),
                }
                if *lazy {
                    self.out.push('?');
                }
                if *possessive {
                    self.out.push(')');
                }
            }
            Node::Back { group, fold } => {
                let open = if *fold { "(?i:" } else { "(?:" };
                let number = self.numbers[*group].unwrap_or(0);
                self.out.push_str(&format!("{open}\\{number})"));
            }
            Node::Call { group } => {
                let Some(&called) = self.groups.get(group) else { return Err("a call of a group that is not there".into()) };
                if self.within.contains(group) {
                    return unsupported("a group that calls itself");
                }
                if self.numbers[*group].is_some() {
                    return unsupported("a call of a group that a reference names");
                }
                self.within.push(*group);
                self.wrapped("(?:", called)?;
                self.within.pop();
            }
            Node::If { group, yes, no } => {
                let number = self.numbers[*group].unwrap_or(0);
                self.out.push_str(&format!("(?({number})"));
                self.node(yes)?;
                self.out.push('|');
                self.node(no)?;
                self.out.push(')');
            }
        }
        Ok(())
    }

    fn row(&mut self, parts: &[Node]) -> Result<(), String> {
        let mut at = 0;
        while at < parts.len() {
            match &parts[at] {
                Node::Char { fold: true, .. } => {
                    let run = parts[at..].iter().take_while(|part| matches!(part, Node::Char { fold: true, .. })).count();
                    self.folded(&parts[at..at + run])?;
                    at += run;
                    continue;
                }
                // Ruby's `^` does not match after the last newline of a text. Here a character must follow,
                // so that cannot happen.
                Node::LineStart if parts[at + 1..].iter().any(|part| chars_min(part) > 0) => self.out.push_str("(?m:^)"),
                part => self.node(part)?,
            }
            at += 1;
        }
        Ok(())
    }

    /// Prints a run of characters whose case is ignored.
    fn folded(&mut self, run: &[Node]) -> Result<(), String> {
        let mut chars = Vec::new();
        for part in run {
            if let Node::Char { char, .. } = part {
                match fold::full(*char) {
                    Some(folded) => chars.extend(folded.chars()),
                    None => chars.extend(Some(*char)),
                }
            }
        }
        let lower = |chars: &[char]| chars.iter().flat_map(|char| char.to_lowercase()).collect::<String>();
        let mut known: Vec<(String, Vec<char>)> = Vec::new();
        if chars.len() > 1 {
            let text = lower(&chars);
            for (char, folded) in fold::all().filter(|(_, folded)| text.contains(folded.as_str())) {
                match known.iter_mut().find(|(known, _)| *known == folded) {
                    Some((_, same)) => same.push(char),
                    None => known.push((folded, vec![char])),
                }
            }
        }
        if known.is_empty() {
            self.out.push_str("(?i:");
            chars.iter().for_each(|&char| class::char_text(char, &mut self.out));
            self.out.push(')');
            return Ok(());
        }
        self.spelt(&chars, &known)
    }

    /// Prints all spellings of a run of characters: `ffi` is `ﬃ`, `ﬀi`, `fﬁ` or `ffi`.
    fn spelt(&mut self, chars: &[char], known: &[(String, Vec<char>)]) -> Result<(), String> {
        if self.out.len() > BYTES_MAX {
            return Err("it ignores the case of too many characters".into());
        }
        let Some((&first, rest)) = chars.split_first() else { return Ok(()) };
        let begins = |length: usize| chars.get(..length).map(|chars| chars.iter().flat_map(|char| char.to_lowercase()).collect::<String>());
        let longer: Vec<_> = (2..=3)
            .rev()
            .filter_map(|length| {
                let text = begins(length)?;
                known.iter().find(|(folded, _)| *folded == text).map(|(_, same)| (length, same))
            })
            .collect();
        if !longer.is_empty() {
            self.out.push_str("(?:");
        }
        for (length, same) in &longer {
            self.out.push('[');
            same.iter().for_each(|&char| class::char_text(char, &mut self.out));
            self.out.push(']');
            self.spelt(&chars[*length..], known)?;
            self.out.push('|');
        }
        self.out.push_str("(?i:");
        class::char_text(first, &mut self.out);
        self.out.push(')');
        self.spelt(rest, known)?;
        if !longer.is_empty() {
            self.out.push(')');
        }
        Ok(())
    }
}
