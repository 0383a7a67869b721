//! Runs filters and methods on values whose texts are coded: twins stand for the characters of special
//! tokens that callers typed ([`Coding`]).
//!
//! ```text
//! comparison, test:   runs on decoded values
//! filter, method:     want = run on decoded values
//!                     got  = run on the coded value, with 1. the arguments as they are, 2. the first one
//!                            coded, 3. all of them coded
//!                     result: the first got that decodes to want, or else want with all characters coded
//! ```
//!
//! The last case keeps too many twins, but the text is right and no part of it becomes a special token.

use super::args::Args;
use super::compare::equal;
use super::limits::Meter;
use super::value::{Fault, Object, Outcome, Value};
use crate::text::Coding;

impl Coding {
    /// The value with all its texts decoded.
    pub(super) fn plain(&self, value: &Value, meter: &Meter) -> Outcome<Value> {
        let plain = |text: &str| self.is_coded(text).then(|| self.decoded(text));
        Ok(with_texts(value, &plain, meter)?.unwrap_or_else(|| value.clone()))
    }

    /// The arguments of a call with all their texts decoded.
    pub(super) fn plain_args(&self, args: &Args, meter: &Meter) -> Outcome<Args> {
        let positional = args.positional.iter().map(|value| self.plain(value, meter)).collect::<Outcome<_>>()?;
        let named = args.named.iter().map(|(name, value)| Ok((name.clone(), self.plain(value, meter)?))).collect::<Outcome<_>>()?;
        Ok(Args { positional, named })
    }

    /// Runs `call`, a filter or a method of a text.
    pub(super) fn run(&self, value: &Value, args: Args, meter: &Meter, call: &dyn Fn(&Value, Args) -> Outcome<Value>) -> Outcome<Value> {
        let is_coded =
            |value: &Value| Ok::<bool, Box<Fault>>(with_texts(value, &|text| self.is_coded(text).then(String::new), meter)?.is_some());
        let mut coded = is_coded(value)?;
        for value in args.positional.iter().chain(args.named.iter().map(|(_, value)| value)) {
            coded |= is_coded(value)?;
        }
        if !coded {
            return call(value, args);
        }
        let want = call(&self.plain(value, meter)?, self.plain_args(&args, meter)?)?;
        let settled = |value: Value| Ok::<Value, Box<Fault>>(with_texts(&value, &|_| None, meter)?.unwrap_or(value));
        let want = settled(want)?;
        // The first argument is what the template searches for. The second argument of `replace` is the
        // template's own text.
        for last in [0, 1, usize::MAX] {
            let code = |(index, value): (usize, &Value)| {
                let coded = if index < last { with_texts(value, &|text| Some(self.coded(text)), meter)? } else { None };
                Ok(coded.unwrap_or_else(|| value.clone()))
            };
            let positional = args.positional.iter().enumerate().map(code).collect::<Outcome<Vec<_>>>()?;
            let named = args.named.iter().map(|(name, value)| Ok((name.clone(), code((positional.len(), value))?)));
            let named = named.collect::<Outcome<_>>()?;
            if let Ok(got) = call(value, Args { positional, named }) {
                let got = settled(got)?;
                if equal(&self.plain(&got, meter)?, &want, meter)? {
                    return Ok(got);
                }
            }
        }
        Ok(with_texts(&want, &|text| Some(self.coded_whole(text)), meter)?.unwrap_or(want))
    }
}

/// Replaces the texts in a value. `change` returns `None` for a text that stays. Returns `None` if no text
/// changed. A generator becomes a list.
fn with_texts(value: &Value, change: &dyn Fn(&str) -> Option<String>, meter: &Meter) -> Outcome<Option<Value>> {
    meter.step(1)?;
    let all = |items: &[Value]| -> Outcome<Option<Vec<Value>>> {
        let mut changed = false;
        let mut others = Vec::with_capacity(items.len());
        for item in items {
            let other = with_texts(item, change, meter)?;
            changed |= other.is_some();
            others.push(other.unwrap_or_else(|| item.clone()));
        }
        Ok(changed.then_some(others))
    };
    match value {
        Value::Str(text) => {
            meter.step(text.as_str().len() / 4)?;
            change(text.as_str()).map(|other| Ok(Value::Str(meter.plain(other)?.with_safe(text.safe)))).transpose()
        }
        Value::List(items) => all(&items.items)?.map(|items| meter.list(items)).transpose(),
        Value::Tuple(items) => all(&items.items)?.map(|items| meter.tuple(items)).transpose(),
        Value::Dict(dict) => {
            let (keys, values): (Vec<Value>, Vec<Value>) = dict.entries.iter().cloned().unzip();
            match (all(&keys)?, all(&values)?) {
                (None, None) => Ok(None),
                (others, values_too) => {
                    let pairs = others.unwrap_or(keys).into_iter().zip(values_too.unwrap_or(values)).collect();
                    meter.dict(pairs).map(Some)
                }
            }
        }
        Value::Object(object) => match &**object {
            Object::Once { items, taken, .. } => {
                let rest = &items[taken.get()..];
                meter.list(all(rest)?.unwrap_or_else(|| rest.to_vec())).map(Some)
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::template::ChatTemplate;
    use crate::text::{Message, Rendered};
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const SPECIAL: [&str; 5] = ["<|end|>", "<|end|>>", "</think>", "<think>", "<|channel|>"];

    fn special() -> Vec<(String, u32)> {
        SPECIAL.iter().zip(1..).map(|(text, id)| ((*text).into(), id)).collect()
    }

    fn render(template: &str, content: &str) -> Rendered {
        let template = ChatTemplate::from_files(None, Some(template)).expect(template);
        template.render(&[Message::new("assistant", content)], true, &special(), None).expect("rendered")
    }

    /// The text with what is text in it between guillemets.
    fn shown(rendered: &Rendered) -> String {
        let text = if rendered.marks.is_empty() { &rendered.text } else { &rendered.marked };
        rendered.marks.iter().fold(text.clone(), |text, mark| text.replace(mark.sign, &format!("«{}»", mark.text)))
    }

    #[test]
    fn text_without_special_tokens_has_no_marks() {
        let rendered = render("{{ messages[0].content }}<|end|>", "<|en");
        assert_eq!((rendered.text.as_str(), rendered.marked.as_str(), rendered.marks.len()), ("<|en<|end|>", "", 0));
    }

    #[test]
    fn marks_stand_for_typed_tokens_and_for_nothing_else() {
        // The template has U+E000 and the user U+E001: no mark is one of these.
        let rendered = render("\u{E000}{{ messages[0].content }}<|end|>", "\u{E001}<|end|> <|end|>>");
        assert_eq!(rendered.text, "\u{E000}\u{E001}<|end|> <|end|>><|end|>");
        assert_eq!(shown(&rendered), "\u{E000}\u{E001}«<|end|>» «<|end|>»><|end|>");
        assert!(rendered.marks.iter().all(|mark| !['\u{E000}', '\u{E001}'].contains(&mark.sign)));
        // A role is a caller's string too.
        let template = ChatTemplate::from_files(None, None).expect("ChatML");
        let message = Message::new("<|end|>", "hi");
        assert_eq!(template.render(&[message], true, &special(), None).expect("rendered").marks.len(), 1);
    }

    #[test]
    fn lists_and_keys_hold_what_was_typed() {
        // The texts of jinja2 3.1.6.
        let cases = [
            ("{{ messages[0] }}", "{'role': 'assistant', 'content': 'a</think>b'}"),
            ("{{ [messages[0].content] }}", "['a</think>b']"),
            ("{{ '%r' % messages[0].content }}", "'a</think>b'"),
            ("{{ messages|map(attribute='content')|list }}", "['a</think>b']"),
            ("{{ {'a</think>b': 1}[messages[0].content] }}{{ {messages[0].content: 2}['a</think>b'] }}", "12"),
            ("{{ {'a</think>b': 1}.get(messages[0].content, 'none') }}", "1"),
        ];
        for (template, want) in cases {
            let rendered = render(template, "a</think>b");
            assert_eq!(rendered.text, want, "{template}");
            assert!(!rendered.marked.contains("</think>"), "{template}: typed text became a token");
        }
        assert_eq!(render("{{ [messages[0].content] }}", "<think>\u{E000}").text, "['<think>\\ue000']");
    }

    #[test]
    fn a_template_finds_the_marks_that_it_looks_for() {
        // Each with what transformers 5.24.0 renders; what stays special of it is the template's own.
        let content = "<think>\nOne.\n</think>\n\nTwo.";
        let cases = [
            ("{{ '</think>' in c }}{{ c == '<think>' }}", "TrueFalse"),
            ("{{ c.split('</think>')[-1].lstrip('\\n') }}", "Two."),
            ("{{ c.split('</think>')[0] }}", "«<think>»\nOne.\n"),
            ("{{ c.split('</think>')[0].split('<think>')[-1].strip() }}", "One."),
            ("{{ c.startswith('<think>') }}{{ c.endswith('<think>') }}{{ c.find('</think>') }}{{ c|length }}", "TrueFalse1327"),
            ("{{ c.startswith('<th') }}{{ '<thi' in c }}{{ c[0] == '<' }}{{ c[:7] == '<think>' }}", "TrueTrueTrueTrue"),
            ("{{ c|replace('<think>', '')|replace('</think>', '<|end|>') }}", "\nOne.\n<|end|>\n\nTwo."),
            ("{{ c.replace('<think>\\n', '<think>') }}", "<think>One.\n«</think>»\n\nTwo."),
            ("{{ c[1:8] }}|{{ c[0] }}{{ c[1:7] }}", "«think>»\n|«<think>»"),
            ("{{ c|upper }}", "«<»THINK«>»\nONE.\n«</»THINK«>»\n\nTWO."),
            ("{{ [c, 'x']|join('<|end|>') }}", "«<think>»\nOne.\n«</think>»\n\nTwo.<|end|>x"),
            ("{{ c.split('>')[0] ~ '>' }}", "«<think»>"),
            ("{{ (c ~ '<|end|>').split('<|end|>')[0] == c }}", "True"),
            ("{% for x in c %}{% if loop.index < 9 %}{{ x }}{% endif %}{% endfor %}", "«<think>»\n"),
            ("{{ c.split('\\n')|join('+') }}", "«<think>»+One.+«</think>»++Two."),
            ("{{ {'a': c}|tojson }}", "{\"a\": \"«<think>»\\nOne.\\n«</think>»\\n\\nTwo.\"}"),
            ("{{ messages|selectattr('content', 'in', ['<think>\\nOne.\\n</think>\\n\\nTwo.'])|list|length }}", "1"),
            ("{% set p = c.split('</think>') %}<think>{{ p[0] }}</think>{{ p[1] }}", "<think>«<think>»\nOne.\n</think>\n\nTwo."),
            ("{{ c.strip('<>')[:5] }}{{ c|trim|last }}", "«think»."),
        ];
        for (source, expected) in cases {
            let rendered = render(&format!("{{% set c = messages[0].content %}}{source}"), content);
            assert_eq!(rendered.text, expected.replace(['«', '»'], ""), "{source}");
            assert_eq!(shown(&rendered), expected, "{source}");
        }
    }

    #[test]
    fn what_a_template_takes_apart_does_not_come_together_as_a_token() {
        for (source, content) in [
            ("{{ c[0] }}{{ c[1:] }}", "<|end|>"),
            ("{{ c.split('|')|join('|') }}", "<|end|>"),
            ("{{ c|upper|lower }}", "<|end|>"),
            ("{{ c.replace('<think>', '') }}", "<|e<think>nd|>"),
            ("{{ c.replace('<think>', '') }}", "<|e<th<think>ink>nd|>"),
            ("{{ c|list|join }}{{ c|reverse|reverse }}", "<|end|>"),
            ("{{ c[::-1][::-1] }}", "<|end|>"),
            ("{{ c.partition('end')|join if false else c.split('end')|join('end') }}", "<|end|>"),
        ] {
            let rendered = render(&format!("{{% set c = messages[0].content %}}{source}"), content);
            let text = if rendered.marks.is_empty() { &rendered.text } else { &rendered.marked };
            assert!(rendered.text.contains("<|end|>") || rendered.text.contains("<think>"), "{source}: {}", rendered.text);
            assert!(!SPECIAL.iter().any(|token| text.contains(token)), "{source}: {}", shown(&rendered));
        }
    }

    #[test]
    fn what_a_template_says_of_a_typed_token_is_readable() {
        let template = ChatTemplate::from_files(None, Some("{{ raise_exception('not ' ~ messages[0].content) }}")).expect("a template");
        let message = Message::new("user", "<|end|>");
        let error = template.render(&[message], true, &special(), None).unwrap_err().to_string();
        assert!(error.contains("not <|end|>"), "{error}");
    }
}
