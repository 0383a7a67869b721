//! Prepares and checks the source of a chat template before it is parsed.
//!
//! The parser recurses over expressions, and minijinja's limit on the depth does not count chains (`a.b.c`,
//! `a + a + a`). So the tokens of each tag are counted here.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Published templates have up to 30 KB.
const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Words and signs in one tag. Each takes some hundred bytes of the parser's stack. Published templates have
/// up to about a hundred.
const TAG_TOKENS_MAX: usize = 600;

/// Branches of a template. The parser recurses for each `elif` of a chain.
const BRANCHES_MAX: usize = 400;

/// The source with `\n` at the ends of lines, as jinja2 reads it, and without the tags of transformers.
pub(super) fn normalised(source: &str) -> String {
    without_generation_tags(&source.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Replaces `{% generation %}`, which marks the assistant's text for transformers and changes nothing in it.
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

/// Checks the source of a template before it is parsed.
pub(super) fn check(source: &str, syntax: &SyntaxConfig) -> Result<(), String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("it is {} bytes long, of at most {SOURCE_BYTES_MAX}", source.len()));
    }
    let (mut branches, mut tag) = (0, Tag::default());
    // The parser reports what the tokenizer of the template does not understand.
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        tag.import(&token);
        match token {
            Token::VariableStart | Token::BlockStart => tag = Tag::default(),
            Token::BlockEnd if !tag.imports_as_a_name() => {
                return Err(format!("it imports as something that is not a name (line {})", span.start_line));
            }
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

/// The tag that is being read.
#[derive(Default)]
struct Tag {
    tokens: usize,
    /// Whether the tag imports, and the words after its first `as`. A sign is an empty word.
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

    /// Whether the tag imports as a name, if it imports at all. minijinja (3.0.5) panics at any other
    /// expression there.
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
            assert_eq!(check(&source, &syntax), Err("it imports as something that is not a name (line 2)".into()), "{broken}");
            let template = crate::template::ChatTemplate::from_files(None, Some(&source)).unwrap();
            assert_eq!(template.error().map(crate::Error::code), Some("BAD_TEMPLATE"));
        }
        assert_eq!(check("{{ import }}{% set x = import %}{% if x %}{% endif %}", &syntax), Ok(()));
    }
}
