//! Checks on the source of a chat template before it is compiled.
//!
//! Reading and running recurse over nested expressions, where minijinja does not count what stands side by side (`a.b.c`, `a + a + a`). So there are
//! limits on the tags, which are counted as their words and signs are read.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// The longest of those published has 30 KB.
const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Words and signs in one tag: compiling takes the stack of some hundred bytes for each. Published: up to about a hundred.
const TAG_TOKENS_MAX: usize = 600;

/// Branches of a template: compiling takes the stack for each of a row.
const BRANCHES_MAX: usize = 400;

/// A source as jinja2 reads it: the ends of its lines are `\n`.
pub(super) fn normalised(source: &str) -> String {
    without_generation_tags(&source.replace("\r\n", "\n").replace('\r', "\n"))
}

/// `{% generation %}` tells transformers which part of a text is the assistant's; what is inside is rendered as it is.
fn without_generation_tags(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        out += before;
        rest = tag;
        let word_at = tag.len() - tag.trim_start_matches(['-', '+']).trim_start().len();
        for (word, plain) in [("generation", "if true"), ("endgeneration", "endif")] {
            if let Some(after) = tag[word_at..].strip_prefix(word)
                && after.trim_start().trim_start_matches(['-', '+']).starts_with("%}")
            {
                out += &tag[..word_at];
                out += plain;
                rest = after;
            }
        }
    }
    out + rest
}

/// Checks the source of a template before it is compiled.
pub(super) fn check(source: &str, syntax: &SyntaxConfig) -> Result<(), String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("it is {} bytes long, of at most {SOURCE_BYTES_MAX}", source.len()));
    }
    let (mut branches, mut tag) = (0, Tag::default());
    // What the reader of tokens does not understand, the compiler complains of.
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        tag.import(&token);
        match token {
            Token::VariableStart | Token::BlockStart => tag = Tag::default(),
            Token::BlockEnd if !tag.imports_as_a_name() => return Err(format!("it imports as what is no name (line {})", span.start_line)),
            Token::Ident("elif") => branches += 1,
            _ => {}
        }
        tag.tokens += 1;
        let line = span.start_line;
        if tag.tokens > TAG_TOKENS_MAX {
            return Err(format!("a tag has more than {TAG_TOKENS_MAX} words and signs (line {line})"));
        }
        if branches > BRANCHES_MAX {
            return Err(format!("it has more than {BRANCHES_MAX} branches (line {line})"));
        }
    }
    Ok(())
}

/// What stands between `{{` and `}}`.
#[derive(Default)]
struct Tag {
    tokens: usize,
    /// In a tag that imports, the words after its first `as`; no word is an empty one.
    imports: bool,
    imports_as: Option<Vec<String>>,
}

impl Tag {
    fn import(&mut self, token: &Token) {
        let word = if let Token::Ident(word) = token { word } else { "" };
        match &mut self.imports_as {
            Some(words) if !matches!(token, Token::BlockEnd) => words.push(word.to_owned()),
            None if self.imports && word == "as" => self.imports_as = Some(Vec::new()),
            None if self.tokens == 1 && word == "import" => self.imports = true,
            _ => {}
        }
    }

    /// minijinja (3.0.5) reads any expression as the name of what is imported, and panics at one that is none.
    fn imports_as_a_name(&self) -> bool {
        let Some(words) = &self.imports_as else { return true };
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [name] | [name, "with" | "without", "context"] => !name.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn generation_tags_vanish_and_nothing_else_does() {
        assert_eq!(without_generation_tags("a{%- generation -%}b{% endgeneration %}c"), "a{%- if true -%}b{% endif %}c");
        assert_eq!(without_generation_tags("{%generation%}b{%+ endgeneration +%}"), "{%if true%}b{%+ endif +%}");
        for unchanged in ["{% if generation %}", "{% generations %}", "generation {% set generation = 1 %}", "{%", "{% generation"] {
            assert_eq!(without_generation_tags(unchanged), unchanged);
        }
    }

    #[test]
    fn lines_end_as_jinja_ends_them() {
        assert_eq!(normalised("a\r\nb\rc\n\r\n"), "a\nb\nc\n\n");
    }

    #[test]
    fn tags_are_counted_one_by_one() {
        let syntax = SyntaxConfig::default();
        let sums = |count: usize| format!("{{{{ 1{} }}}}", " + a".repeat(count));
        assert_eq!(check(&sums(250).repeat(3), &syntax), Ok(()));
        assert!(check(&sums(300), &syntax).unwrap_err().contains("(line 1)"));
    }

    #[test]
    fn what_is_imported_has_a_name() {
        // Found by fuzzing: minijinja panicked where it compiled these.
        let syntax = SyntaxConfig::default();
        for sound in ["'a' as b", "'a' as b with context", "'a' as b without context", "'a'", "x.y"] {
            assert_eq!(check(&format!("{{%- import {sound} -%}}"), &syntax), Ok(()), "{sound}");
        }
        for broken in ["'a' as b + c", "'a' as 'b'", "'a' as", "'a' as b is as c", "'a' as [b]", "'a' as b()"] {
            let source = format!("\n{{% import {broken} %}}");
            assert_eq!(check(&source, &syntax), Err("it imports as what is no name (line 2)".into()), "{broken}");
            let template = crate::template::ChatTemplate::from_files(None, Some(&source)).unwrap();
            assert_eq!(template.error().map(crate::Error::code), Some("BAD_TEMPLATE"));
        }
        assert_eq!(check("{{ import }}{% set x = import %}{% if x %}{% endif %}", &syntax), Ok(()));
    }
}
