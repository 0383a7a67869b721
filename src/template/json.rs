//! The filter `tojson` as transformers defines it: Python's `json.dumps` with `ensure_ascii=False`.

use super::args::Args;
use super::compare::sorted;
use super::limits::Meter;
use super::loops;
use super::value::{Outcome, Value, fault};
use super::written::float;

pub(super) fn filter(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"], 0)?;
    let indent = match args.some(1) {
        Some(Value::Str(by)) => Some(by.as_str().to_owned()),
        Some(_) => {
            let width = usize::try_from(args.int(1, 0)?).unwrap_or(0);
            meter.fits(width)?;
            Some(" ".repeat(width))
        }
        None => None,
    };
    let (item, key) = match args.some(2) {
        Some(separators) => {
            let parts = loops::items(separators, meter)?;
            match parts.iter().map(Value::as_str).collect::<Option<Vec<_>>>().as_deref() {
                Some([item, key]) => ((*item).to_owned(), (*key).to_owned()),
                _ => return Err(fault("tojson takes two separators, both texts")),
            }
        }
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let mut json = Json { out: String::new(), indent, item, key, sorts: args.truth(3), ascii: args.truth(0), meter };
    json.value(value, 0)?;
    meter.text(json.out)
}

struct Json<'m> {
    out: String,
    indent: Option<String>,
    item: String,
    key: String,
    sorts: bool,
    ascii: bool,
    meter: &'m Meter,
}

impl Json<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        self.meter.step(1)?;
        self.meter.fits(self.out.len())?;
        match value {
            Value::None => self.out += "null",
            Value::Bool(truth) => self.out += if *truth { "true" } else { "false" },
            Value::Int(number) => self.out += &number.to_string(),
            Value::Float(number) => self.out += &number_text(*number),
            Value::Str(text) => self.string(text.as_str())?,
            Value::List(items) | Value::Tuple(items) => {
                self.container('[', ']', &items.items, depth, |json, item| json.value(item, depth + 1))?;
            }
            Value::Dict(dict) => {
                let mut entries = dict.entries.clone();
                if self.sorts {
                    let keyed = entries.into_iter().map(|(key, value)| (key.clone(), Value::tuple(vec![key, value]))).collect();
                    entries = sorted(keyed, false, self.meter)?
                        .into_iter()
                        .filter_map(|pair| match pair {
                            Value::Tuple(pair) => Some((pair.items[0].clone(), pair.items[1].clone())),
                            _ => None,
                        })
                        .collect();
                }
                self.container('{', '}', &entries, depth, |json, (key, value)| {
                    json.entry(key)?;
                    json.value(value, depth + 1)
                })?;
            }
            Value::Undefined(missing) => return Err(fault(format!("tojson does not write an undefined value: {missing}"))),
            _ => return Err(fault(format!("tojson does not write a value of type {}", value.kind()))),
        }
        Ok(())
    }

    fn entry(&mut self, key: &Value) -> Outcome<()> {
        match key {
            Value::Str(key) => self.string(key.as_str())?,
            Value::None => self.out += "\"null\"",
            Value::Bool(truth) => self.out += if *truth { "\"true\"" } else { "\"false\"" },
            Value::Int(number) => self.out += &format!("\"{number}\""),
            Value::Float(number) => self.out += &format!("\"{}\"", number_text(*number)),
            _ => return Err(fault(format!("tojson does not write a key of type {}", key.kind()))),
        }
        self.out += &self.key.clone();
        Ok(())
    }

    fn container<T>(
        &mut self,
        open: char,
        close: char,
        items: &[T],
        depth: usize,
        write: impl Fn(&mut Self, &T) -> Outcome<()>,
    ) -> Outcome<()> {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out += &self.item.clone();
            }
            self.line(depth + 1)?;
            write(self, item)?;
        }
        if !items.is_empty() {
            self.line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) -> Outcome<()> {
        if let Some(indent) = &self.indent {
            self.meter.fits(self.out.len().saturating_add(indent.len().saturating_mul(depth)))?;
            self.meter.walk(indent.len() * depth)?;
            self.out.push('\n');
            self.out += &indent.repeat(depth);
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Outcome<()> {
        self.meter.step(text.len() / 4)?;
        self.meter.fits(self.out.len() + text.len())?;
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out += "\\\"",
                '\\' => self.out += "\\\\",
                '\n' => self.out += "\\n",
                '\r' => self.out += "\\r",
                '\t' => self.out += "\\t",
                '\u{8}' => self.out += "\\b",
                '\u{C}' => self.out += "\\f",
                '\0'..' ' => self.out += &format!("\\u{:04x}", u32::from(character)),
                _ if self.ascii && !character.is_ascii() => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out += &format!("\\u{unit:04x}");
                    }
                }
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

fn number_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        float(number)
    }
}
