//! Checks on the source of a chat template before it is compiled.
//!
//! Compiling recurses over nested expressions, where minijinja does not count what stands side by side (`a + a + a`), and computes what is constant
//! (`'a' * 100000000`). So there are limits on the tags, which are counted as their words and signs are read.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::limits::TOO_LARGE;

/// The longest of those published has 30 KB.
const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Words and signs in one tag: compiling takes the stack of some hundred bytes for each. Published: up to about a hundred.
const TAG_TOKENS_MAX: usize = 600;

/// Branches of a template: compiling takes the stack for each of a row.
const BRANCHES_MAX: usize = 400;

/// What a tag may make of constants by multiplication.
const CONSTANT_BYTES_MAX: usize = 64 << 10;

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
            Token::Str(text) => tag.literal(text.len()),
            Token::String(text) => tag.literal(text.len()),
            Token::BracketOpen | Token::Comma => tag.literal(16),
            Token::Int(number) => tag.product = tag.product.saturating_mul(number.clamp(1, usize::MAX as u64) as usize),
            Token::Int128(_) | Token::Pow => tag.product = usize::MAX,
            Token::Mul => tag.multiplies = true,
            _ => {}
        }
        tag.tokens += 1;
        let line = span.start_line;
        if tag.tokens > TAG_TOKENS_MAX {
            return Err(format!("a tag has more than {TAG_TOKENS_MAX} words and signs (line {line})"));
        }
        if tag.multiplies && tag.literals > 0 && tag.literals.saturating_mul(tag.product) > CONSTANT_BYTES_MAX {
            return Err(format!("{TOO_LARGE} (line {line})"));
        }
        if branches > BRANCHES_MAX {
            return Err(format!("it has more than {BRANCHES_MAX} branches (line {line})"));
        }
    }
    Ok(())
}

/// What stands between `{{` and `}}`.
struct Tag {
    tokens: usize,
    multiplies: bool,
    /// Bytes of its texts and lists.
    literals: usize,
    /// Of all its numbers.
    product: usize,
    /// In a tag that imports, the words after its first `as`; no word is an empty one.
    imports: bool,
    imports_as: Option<Vec<String>>,
}

impl Default for Tag {
    fn default() -> Self {
        Tag { tokens: 0, multiplies: false, literals: 0, product: 1, imports: false, imports_as: None }
    }
}

impl Tag {
    fn literal(&mut self, bytes: usize) {
        self.literals += bytes;
    }

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
    fn tags_are_counted_one_by_one() {
        let syntax = SyntaxConfig::default();
        let sums = |count: usize| format!("{{{{ 1{} }}}}", " + a".repeat(count));
        assert_eq!(check(&sums(250).repeat(3), &syntax), Ok(()));
        assert!(check(&sums(300), &syntax).unwrap_err().contains("(line 1)"));
        assert_eq!(check("{{ 'a' * 60000 }}{{ 'a' * 60000 }}{{ 3600 * 24 * 365 }}", &syntax), Ok(()));
        assert!(check("\n{{ ('a' * 1000) * 1000 }}", &syntax).unwrap_err().contains("too large (line 2)"));
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
