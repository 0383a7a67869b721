//! Parses what begins with a parenthesis, and the references to groups.

use super::parse::{Flags, PENDING, Parser};
use super::{Node, unsupported};

impl Parser {
    pub(super) fn group(&mut self, mut flags: Flags, depth: usize) -> Result<Node, String> {
        if self.take("*") {
            return unsupported("a callout (*...)");
        }
        if !self.take("?") {
            let group = if self.named { None } else { Some(self.new_group(None)) };
            let inner = self.inner(flags, depth)?;
            return Ok(match group {
                Some(group) => Node::Capture { group, inner: Box::new(inner) },
                None => Node::Row(vec![inner]),
            });
        }
        for (open, look) in [("=", "(?="), ("!", "(?!"), ("<=", "(?<="), ("<!", "(?<!")] {
            if self.take(open) {
                let start = self.at;
                let inner = Box::new(self.inner(flags, depth)?);
                if look.starts_with("(?<") && self.holds('G', start, self.at) {
                    return unsupported("\\G in a look-behind");
                }
                return Ok(Node::Look { open: look, inner });
            }
        }
        match self.peek() {
            Some(':') => {
                self.at += 1;
                self.inner(flags, depth).map(|inner| Node::Row(vec![inner]))
            }
            Some('>') => {
                self.at += 1;
                Ok(Node::Atomic(Box::new(self.inner(flags, depth)?)))
            }
            Some('~') => unsupported("an absent group (?~...)"),
            Some('{') => unsupported("a callout (?{...})"),
            Some(open @ ('<' | '\'')) => {
                self.at += 1;
                let name = self.until(if open == '<' { '>' } else { '\'' }, "the name of a group")?;
                if name.is_empty() || name.starts_with(|char: char| !char.is_alphabetic() && char != '_') {
                    return Err(format!("<{name}> is no name of a group"));
                }
                if self.names.iter().flatten().any(|known| *known == name) {
                    return unsupported(format!("a second group named <{name}>"));
                }
                let group = self.new_group(Some(name));
                Ok(Node::Capture { group, inner: Box::new(self.inner(flags, depth)?) })
            }
            Some('(') => self.condition(flags, depth),
            _ => {
                let mut on = true;
                loop {
                    match self.next() {
                        Some('-') => on = false,
                        Some('i') => flags.fold = on,
                        Some('m') => flags.dot_all = on,
                        Some('x') => flags.blanks = on,
                        Some('W') => flags.ascii_word = on,
                        Some('D') => flags.ascii_digit = on,
                        Some('S') => flags.ascii_space = on,
                        Some('P') => {
                            (flags.ascii_word, flags.ascii_digit, flags.ascii_space, flags.ascii_posix) = (on, on, on, on);
                        }
                        Some(':') => return self.inner(flags, depth).map(|inner| Node::Row(vec![inner])),
                        // The options hold up to the end of the group, through its other alternatives.
                        Some(')') => return self.choice(flags, depth + 1).map(|rest| Node::Row(vec![rest])),
                        Some(flag @ ('y' | 'I' | 'L' | 'C')) => return unsupported(format!("the option (?{flag})")),
                        Some(flag) => return Err(format!("(?{flag} begins no group")),
                        None => return Err("a group does not end".into()),
                    }
                }
            }
        }
    }

    fn new_group(&mut self, name: Option<String>) -> usize {
        self.names.push(name);
        self.names.len() - 1
    }

    /// Parses the inside of a group, and its end.
    fn inner(&mut self, flags: Flags, depth: usize) -> Result<Node, String> {
        let inner = self.choice(flags, depth + 1)?;
        if self.take(")") { Ok(inner) } else { Err("a group does not end".into()) }
    }

    fn condition(&mut self, flags: Flags, depth: usize) -> Result<Node, String> {
        self.at += 1;
        let start = self.at;
        let group = match self.peek() {
            Some(open @ ('<' | '\'')) => {
                self.at += 1;
                let name = self.until(if open == '<' { '>' } else { '\'' }, "the name of a group")?;
                Some(self.named_group(&name)?)
            }
            Some('0'..='9' | '-' | '+') => {
                let text: String = self.text[self.at..].iter().take_while(|&&char| char != ')').collect();
                text.parse::<i32>()
                    .is_ok()
                    .then(|| {
                        self.at += text.chars().count();
                        self.named_group(&text)
                    })
                    .transpose()?
            }
            _ => None,
        };
        let condition = match group {
            Some(_) if self.take(")") => None,
            _ => {
                if self.in_condition {
                    return unsupported("a condition inside the condition of another");
                }
                self.at = start;
                self.in_condition = true;
                let condition = self.inner(flags, depth)?;
                self.in_condition = false;
                Some(condition)
            }
        };
        let mut branches = match self.choice(flags, depth + 1)? {
            Node::Choice(branches) => branches,
            one => vec![one],
        };
        if !self.take(")") {
            return Err("a group does not end".into());
        }
        if branches.len() > 2 {
            return Err("a condition has more than two branches".into());
        }
        let no = if branches.len() == 2 { branches.remove(1) } else { Node::Row(Vec::new()) };
        let yes = branches.remove(0);
        Ok(match (condition, group) {
            (None, Some(group)) => Node::If { group, yes: Box::new(yes), no: Box::new(no) },
            (condition, _) => {
                let condition = Box::new(condition.unwrap_or_else(|| Node::Row(Vec::new())));
                let not = Node::Look { open: "(?!", inner: condition.clone() };
                Node::Choice(vec![Node::Row(vec![Node::Atomic(condition), yes]), Node::Row(vec![not, no])])
            }
        })
    }

    /// The group of a reference by name or number. The group may come later in the pattern.
    pub(super) fn named_group(&mut self, name: &str) -> Result<usize, String> {
        let numeric = name.starts_with(|char: char| char.is_ascii_digit() || char == '-' || char == '+');
        if !numeric {
            if name.contains(['+', '-']) {
                return unsupported(format!("a reference with a level <{name}>"));
            }
            self.pending.push((self.at, name.to_owned()));
            return Ok(PENDING + self.pending.len() - 1);
        }
        if self.named {
            return Err(format!("<{name}>: groups are named here, and have no numbers"));
        }
        let number: i64 = name.parse().map_err(|_| format!("<{name}> is no group"))?;
        let group = match name.as_bytes()[0] {
            b'-' => self.names.len() as i64 + number,
            b'+' => self.names.len() as i64 - 1 + number,
            _ => number,
        };
        // Group 0 is the whole pattern. It has not matched anything during the search.
        let group =
            usize::try_from(group).ok().filter(|group| (1..PENDING).contains(group)).ok_or_else(|| format!("<{name}> is no group"))?;
        self.used.push((group, format!("<{name}>")));
        Ok(group)
    }
}
