//! Parses a pattern by the rules of Oniguruma's default syntax.

use super::class::{self, Named};
use super::{Node, property, unsupported};

/// How deep groups may nest. The engine has the same limit, and recursion must not exhaust the stack of wasm.
const DEPTH_MAX: usize = 60;

/// Oniguruma's limit on a repeat count.
const REPEATS_MAX: u32 = 100_000;

/// A parsed pattern.
pub(super) struct Parsed {
    pub root: Node,
    /// The number of capturing groups, with the whole pattern as group 0.
    pub groups: usize,
}

/// The switches of `(?imxWDSP)`.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub fold: bool,
    pub dot_all: bool,
    pub blanks: bool,
    pub ascii_word: bool,
    pub ascii_digit: bool,
    pub ascii_space: bool,
    pub ascii_posix: bool,
}

/// How often a part repeats; whether as rarely as possible; whether without backtracking.
struct Quantifier {
    min: u32,
    max: Option<u32>,
    lazy: bool,
    possessive: bool,
}

pub(super) struct Parser {
    pub text: Vec<char>,
    pub at: usize,
    /// The name of each capturing group; `None` for a numbered one.
    pub names: Vec<Option<String>>,
    /// The groups that are used by number, and how they are written. They are checked at the end.
    pub used: Vec<(usize, String)>,
    /// The groups that are used by name, with their offsets. They are resolved at the end.
    pub pending: Vec<(usize, String)>,
    /// Whether some group has a name. Then only named groups capture.
    pub named: bool,
    /// Whether this is inside a condition that is a pattern, which is in the tree twice.
    pub in_condition: bool,
    /// Repeats of repeats so far. Each makes the tree deeper by one.
    pub stacked: usize,
}

/// A group number from here on is an index into the names to resolve.
pub(super) const PENDING: usize = 1 << 20;

pub(super) fn parse(pattern: &str) -> Result<Parsed, String> {
    let named = pattern.contains("(?'") || pattern.match_indices("(?<").any(|(at, _)| !pattern[at + 3..].starts_with(['=', '!']));
    let mut parser = Parser {
        text: pattern.chars().collect(),
        at: 0,
        names: vec![None],
        used: Vec::new(),
        pending: Vec::new(),
        named,
        in_condition: false,
        stacked: 0,
    };
    let mut root = parser.choice(Flags::default(), 0)?;
    if parser.at < parser.text.len() {
        return Err("unmatched close parenthesis".into());
    }
    let groups = parser.names.len();
    if let Some((_, written)) = parser.used.iter().find(|(group, _)| *group >= groups) {
        return Err(format!("{written} names a group that is not there"));
    }
    let mut numbers = Vec::new();
    for (_, name) in &parser.pending {
        let number = parser.names.iter().position(|known| known.as_ref() == Some(name));
        numbers.push(number.ok_or_else(|| format!("there is no group named <{name}>"))?);
    }
    resolve(&mut root, &numbers);
    Ok(Parsed { root, groups })
}

/// Replaces the indices of names by the numbers of groups.
fn resolve(node: &mut Node, numbers: &[usize]) {
    match node {
        Node::Back { group, .. } | Node::Call { group } if *group >= PENDING => *group = numbers[*group - PENDING],
        Node::If { group, yes, no } => {
            if *group >= PENDING {
                *group = numbers[*group - PENDING];
            }
            resolve(yes, numbers);
            resolve(no, numbers);
        }
        Node::Row(parts) | Node::Choice(parts) => parts.iter_mut().for_each(|part| resolve(part, numbers)),
        Node::Capture { inner, .. } | Node::Atomic(inner) | Node::Look { inner, .. } | Node::Repeat { inner, .. } => {
            resolve(inner, numbers);
        }
        _ => {}
    }
}

impl Parser {
    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let char = self.peek();
        self.at += usize::from(char.is_some());
        char
    }

    pub(super) fn take(&mut self, expected: &str) -> bool {
        let here = expected.chars().enumerate().all(|(index, char)| self.text.get(self.at + index) == Some(&char));
        if here {
            self.at += expected.chars().count();
        }
        here
    }

    /// Whether a part of the pattern has an escape.
    pub(super) fn holds(&self, escape: char, start: usize, end: usize) -> bool {
        self.text[start..end].windows(2).any(|two| two == ['\\', escape])
    }

    /// Reads the text before the next `end`, and skips `end`.
    pub(super) fn until(&mut self, end: char, what: &str) -> Result<String, String> {
        let length = self.text[self.at..].iter().position(|&char| char == end);
        let length = length.ok_or_else(|| format!("{what} does not end"))?;
        let text = self.text[self.at..self.at + length].iter().collect();
        self.at += length + 1;
        Ok(text)
    }

    /// Parses alternatives up to the end of the group.
    pub(super) fn choice(&mut self, flags: Flags, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(format!("groups are nested more than {DEPTH_MAX} deep"));
        }
        let mut branches = vec![self.branch(flags, depth)?];
        while self.take("|") {
            branches.push(self.branch(flags, depth)?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn branch(&mut self, flags: Flags, depth: usize) -> Result<Node, String> {
        let mut parts = Vec::new();
        loop {
            self.pass_over(flags)?;
            match self.peek() {
                None | Some('|' | ')') => break,
                Some(_) => {}
            }
            let start = self.at;
            let mut part = self.part(flags, depth)?;
            let end = self.at;
            self.pass_over(flags)?;
            let mut repeats = 0;
            while let Some(Quantifier { min, max, lazy, possessive }) = self.quantifier()? {
                self.stacked += usize::from(repeats > 0);
                repeats += 1;
                if self.stacked > DEPTH_MAX {
                    return Err(format!("more than {DEPTH_MAX} repeats are of repeats"));
                }
                if self.holds('K', start, end) {
                    return unsupported("\\K in a repeat");
                }
                part = Node::Repeat { inner: Box::new(part), min, max, lazy, possessive };
                self.pass_over(flags)?;
            }
            parts.push(part);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Row(parts) })
    }

    /// Skips comments, and blanks if `x` is on.
    fn pass_over(&mut self, flags: Flags) -> Result<(), String> {
        loop {
            if self.take("(?#") {
                loop {
                    match self.next() {
                        None => return Err("a comment does not end".into()),
                        Some('\\') => _ = self.next(),
                        Some(')') => break,
                        Some(_) => {}
                    }
                }
            } else if flags.blanks && self.peek().is_some_and(char::is_whitespace) {
                self.at += 1;
            } else if flags.blanks && self.take("#") {
                while self.next().is_some_and(|char| char != '\n') {}
            } else {
                return Ok(());
            }
        }
    }

    fn quantifier(&mut self) -> Result<Option<Quantifier>, String> {
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                let Some((min, max, fixed)) = self.interval()? else { return Ok(None) };
                // In Ruby {n}? is an optional {n}, and {3,1} is a possessive {1,3}.
                return Ok(Some(match max {
                    Some(max) if max < min => Quantifier { min: max, max: Some(min), lazy: false, possessive: true },
                    _ => Quantifier { min, max, lazy: !fixed && self.take("?"), possessive: false },
                }));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        let lazy = self.take("?");
        Ok(Some(Quantifier { min, max, lazy, possessive: !lazy && self.take("+") }))
    }

    /// Parses `{n}`, `{n,}`, `{,m}` or `{n,m}`, and returns whether it is `{n}`. Anything else is plain text.
    fn interval(&mut self) -> Result<Option<(u32, Option<u32>, bool)>, String> {
        let start = self.at;
        self.at += 1;
        let min = self.digits();
        let comma = self.take(",");
        let max = if comma { self.digits() } else { min };
        if !self.take("}") || (min.is_none() && max.is_none()) {
            self.at = start;
            return Ok(None);
        }
        if min.max(max) > Some(REPEATS_MAX) {
            return Err(format!("a repeat above {REPEATS_MAX}"));
        }
        Ok(Some((min.unwrap_or(0), max, !comma)))
    }

    pub(super) fn digits(&mut self) -> Option<u32> {
        let start = self.at;
        let mut number = 0u32;
        while let Some(digit) = self.peek().and_then(|char| char.to_digit(10)) {
            number = number.saturating_mul(10).saturating_add(digit);
            self.at += 1;
        }
        (self.at > start).then_some(number)
    }

    fn part(&mut self, flags: Flags, depth: usize) -> Result<Node, String> {
        let start = self.at;
        if self.peek() == Some('{') && self.interval()?.is_some() {
            return Err("a repeat has nothing to repeat".into());
        }
        self.at = start;
        let Some(char) = self.next() else { return Ok(Node::Row(Vec::new())) };
        Ok(match char {
            '(' => return self.group(flags, depth),
            '[' => {
                let class = class::parse(self, flags, 0)?;
                return class::node(&class, flags.fold);
            }
            '*' | '+' | '?' => return Err("a repeat has nothing to repeat".into()),
            '.' if flags.dot_all => any(),
            '.' => Node::Engine { text: "[^\\n]".into(), chars_min: 1 },
            '^' => Node::LineStart,
            '$' => zero("(?m:$)"),
            '\\' => return self.escape(flags),
            char => Node::Char { char, fold: flags.fold },
        })
    }

    /// Parses an escape outside brackets, after its backslash.
    fn escape(&mut self, flags: Flags) -> Result<Node, String> {
        let Some(char) = self.peek() else { return Err("the pattern ends with a backslash".into()) };
        let reference = |group| Node::Back { group, fold: flags.fold };
        let simple = match char {
            'A' => Some(zero("\\A")),
            'z' => Some(zero("\\z")),
            'Z' => Some(zero("(?=\\n?\\z)")),
            'G' => Some(zero("\\G")),
            'K' => Some(zero("\\K")),
            'b' | 'B' => Some(Node::Engine { text: property::boundary(flags, char == 'b').into(), chars_min: 0 }),
            'N' => Some(Node::Engine { text: "[^\\n]".into(), chars_min: 1 }),
            'O' => Some(any()),
            'R' => Some(Node::Engine { text: class::NEWLINE.into(), chars_min: 1 }),
            'X' => Some(Node::Engine { text: class::CLUSTER.into(), chars_min: 1 }),
            'y' | 'Y' => return unsupported(format!("\\{char}, the edge of a text segment,")),
            _ => None,
        };
        if let Some(node) = simple {
            self.at += 1;
            return Ok(node);
        }
        if let Some(named) = class::escape(self, flags, true)? {
            return Ok(match named {
                Named::Char(char) => Node::Char { char, fold: flags.fold },
                Named::Set(set) => Node::Set(set),
            });
        }
        self.at += 1;
        match char {
            'k' | 'g' if matches!(self.peek(), Some('<' | '\'')) => {
                let close = if self.next() == Some('<') { '>' } else { '\'' };
                let name = self.until(close, "the name of a group")?;
                if char == 'g' && name == "0" {
                    return unsupported("\\g<0>, a pattern inside itself,");
                }
                let group = self.named_group(&name)?;
                Ok(if char == 'k' { reference(group) } else { Node::Call { group } })
            }
            '1'..='9' => {
                let start = self.at;
                self.at -= 1;
                let number = self.digits().unwrap_or_default() as usize;
                if number <= 9 || number < self.names.len() {
                    return self.named_group(&number.to_string()).map(reference);
                }
                self.at = start;
                let octal = char.to_digit(8).map(|first| class::octal(self, first, 2));
                let char = octal.map_or(Ok(char), |code| class::scalar(code, "an octal escape"))?;
                Ok(Node::Char { char, fold: flags.fold })
            }
            char => Ok(Node::Char { char, fold: flags.fold }),
        }
    }
}

/// A place between characters.
fn zero(text: &'static str) -> Node {
    Node::Engine { text: text.into(), chars_min: 0 }
}

/// Any character, newlines included.
fn any() -> Node {
    Node::Engine { text: "(?s:.)".into(), chars_min: 1 }
}
