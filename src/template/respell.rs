//! Rewrites a template where jinja2 and minijinja (3.0.5) differ in syntax, so that minijinja parses what
//! jinja2 means: Python's escapes in texts, white space beyond ASCII, a plus sign before a number, tuples
//! without brackets, and the line break after `{% raw %}`.

/// Rewrites the source of a template.
pub(super) fn respelled(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.match_indices('{').map(|(at, _)| at).find(|at| rest[at + 1..].starts_with(['{', '%', '#'])) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = if rest.starts_with("{#") {
            let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..end]);
            end
        } else if let Some((tag, body)) = raw(rest) {
            out.push_str(&rest[..tag]);
            // jinja2 keeps this line break.
            if rest[tag..].starts_with('\n') && !rest[..tag].ends_with("-%}") {
                out.push('\n');
            }
            out.push_str(&rest[tag..body]);
            body
        } else {
            let mut tag = Tag { source: rest, at: 0, out: &mut out, depth: 0, after_value: false };
            tag.read();
            tag.at
        };
        rest = &rest[length..];
    }
    out + rest
}

/// The ends of the tag `raw` and of its body. Units: bytes.
fn raw(source: &str) -> Option<(usize, usize)> {
    let inside = source.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start().strip_prefix("raw")?;
    let close = inside.trim_start().strip_prefix('-').unwrap_or(inside.trim_start());
    let tag = source.len() - close.strip_prefix("%}")?.len();
    let mut body = tag;
    while let Some(at) = source[body..].find("{%") {
        body += at;
        if source[body + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return Some((tag, body));
        }
        body += 2;
    }
    Some((tag, source.len()))
}

/// A tag that is being rewritten.
struct Tag<'s> {
    source: &'s str,
    at: usize,
    out: &'s mut String,
    /// Open brackets.
    depth: usize,
    /// Whether a value was read last, so that a plus sign after it adds.
    after_value: bool,
}

impl Tag<'_> {
    fn read(&mut self) {
        let block = self.source.starts_with("{%");
        let close = if block { "%}" } else { "}}" };
        self.copy(2);
        if self.source[2..].starts_with(['-', '+']) {
            self.copy(1);
        }
        // Where a tuple may begin, and whether there was a comma.
        let mut tuple = (!block).then_some(self.out.len());
        let (mut comma, mut first_word) = (false, None);
        while let Some(character) = self.source[self.at..].chars().next() {
            let rest = &self.source[self.at..];
            let sign = usize::from(rest.starts_with(['-', '+']));
            if self.depth == 0 && rest[sign..].starts_with(close) {
                self.end_tuple(tuple.filter(|_| comma));
                self.copy(sign + 2);
                return;
            }
            match character {
                '\'' | '"' => self.literal(character),
                _ if character.is_alphanumeric() || character == '_' => {
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                    let word = &rest[..end];
                    if block && self.depth == 0 && (word == "in" && first_word == Some("for") && tuple.is_none()) {
                        self.copy(end);
                        tuple = Some(self.out.len());
                        self.after_value = false;
                        continue;
                    }
                    if block && self.depth == 0 && comma && matches!(word, "if" | "recursive") {
                        self.end_tuple(tuple.take());
                        comma = false;
                    }
                    first_word.get_or_insert(word);
                    self.copy(end);
                    let operators = ["in", "not", "and", "or", "if", "else", "elif", "is", "set", "print", "call", "filter", "for"];
                    self.after_value = !operators.contains(&word);
                }
                '+' if !self.after_value => {
                    // Two minus signs change no number, and a text, list or dict stays an error.
                    self.out.push_str("- -");
                    self.at += 1;
                }
                _ if !character.is_ascii() && character.is_whitespace() => {
                    self.out.push(' ');
                    self.at += character.len_utf8();
                }
                _ => {
                    comma |= character == ',' && self.depth == 0 && tuple.is_some();
                    match character {
                        '(' | '[' | '{' => self.depth += 1,
                        ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    if !character.is_whitespace() {
                        self.after_value = matches!(character, ')' | ']' | '}');
                    }
                    self.copy(character.len_utf8());
                }
            }
        }
    }

    fn copy(&mut self, bytes: usize) {
        self.out.push_str(&self.source[self.at..self.at + bytes]);
        self.at += bytes;
    }

    fn end_tuple(&mut self, start: Option<usize>) {
        if let Some(start) = start {
            self.out.insert_str(start, " (");
            self.out.push_str(") ");
        }
    }

    /// Copies a text constant with its quotation marks.
    fn literal(&mut self, quote: char) {
        self.copy(1);
        self.after_value = true;
        while let Some(character) = self.source[self.at..].chars().next() {
            if character == '\\' {
                self.escape();
                continue;
            }
            self.copy(character.len_utf8());
            if character == quote {
                return;
            }
        }
    }

    fn escape(&mut self) {
        let escape = &self.source[self.at..];
        let mut spell = |spelled: &str, length: usize| {
            self.out.push_str(spelled);
            self.at += length;
        };
        match escape.as_bytes().get(1) {
            Some(b'/') => spell("\\\\/", 2),
            Some(b'a') => spell("\\x07", 2),
            Some(b'v') => spell("\\x0b", 2),
            Some(b'\n') => spell("", 2),
            Some(b'U') => match escape.get(2..10).and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
                Some(character) => {
                    let units = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
                    spell(&units, 10);
                }
                // minijinja reports this as an invalid escape.
                None => spell("\\u", 2),
            },
            // A character by its name: there is no table of names here, so minijinja reports an invalid
            // escape.
            Some(b'N') => spell("\\u", 2),
            _ => {
                let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
                self.copy(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn tags_are_respelled_and_text_is_not() {
        let cases = [
            (r"{{ '\/\a\v\U0001F600\n' }}\a", r"{{ '\\/\x07\x0b\ud83d\ude00\n' }}\a"),
            ("{{ 'a\\\nb' }}", "{{ 'ab' }}"),
            ("{{ +1 - +x + 2 }} + 1", "{{ - -1 - - -x + 2 }} + 1"),
            ("{{\u{a0}'\u{a0}' }}\u{a0}", "{{ '\u{a0}' }}\u{a0}"),
            ("{% for x in 1, 2 if x %}", "{% for x in ( 1, 2 ) if x %}"),
            ("{% for a, b in [(1, 2)] %}", "{% for a, b in [(1, 2)] %}"),
            ("{{ 1, 2 }}{{ f(1, 2) }}{{ {'a': {}} }}", "{{ ( 1, 2 ) }}{{ f(1, 2) }}{{ {'a': {}} }}"),
            ("{% raw %}\n{{ +1 }}{% endraw %}{{ +1 }}", "{% raw %}\n\n{{ +1 }}{% endraw %}{{ - -1 }}"),
            ("{# +1 {{ #}{{- +1 -}}", "{# +1 {{ #}{{- - -1 -}}"),
            ("{%+ if x +%}", "{%+ if x +%}"),
            ("{{ 'a", "{{ 'a"),
            ("{{ '\\", "{{ '\\"),
            ("{", "{"),
            ("{% raw", "{% raw"),
        ];
        for (source, want) in cases {
            assert_eq!(respelled(source), want, "{source}");
        }
    }
}
