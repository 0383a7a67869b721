//! Limits on what a chat template may build, for a template is a program by a stranger.
//!
//! minijinja counts steps and bounds the depth of its calls. It does not bound what one step makes: a text that doubles sixty times, a list in a list in
//! a list, `'a' * 100000000`. So the compiled program gets further steps here, before it runs:
//!
//! ```text
//! after whatever makes a value     weigh:  its text, were it written out; its depth; what has been made in all
//! before a product                 its length, before it is made
//! before texts are searched        their lengths, as if they were made
//! before ns.x = value              no namespace: values hold no cycles
//! before a slice                   it is taken here, where it goes backwards
//! text of the template             goes the same way as values that are written, whose bytes are counted
//! ```
//!
//! Some filters and methods multiply as well (`replace`, `join`, `format`, `select`, `sum`), and three make as much as a number says (`indent`, `batch`,
//! `slice`): they look before they run. What other steps read is bounded by the size of a value. Values that are computed when they are looked at are computed at once, for a
//! chain of them is as deep as it is long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, escape_formatter, filters};

use super::python;

/// Begins what these limits say of a template.
pub(super) const LIMIT: &str = "\u{1}";

/// Lists in lists.
const DEPTH_MAX: usize = 64;

/// The largest number of spaces, columns or rows that a filter is asked for.
const WIDTH_MAX: usize = 100;
const COUNT_MAX: usize = 10_000;

/// Names that no template can write.
const WEIGH: &str = "\u{1}weigh";
const FACTORS: &str = "\u{1}factors";
const READ: &str = "\u{1}read";
const STORABLE: &str = "\u{1}storable";
const SLICED: &str = "\u{1}sliced";

/// A filter without the cache of its place.
const UNCACHED: u8 = !0;

fn beyond(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{LIMIT}{what}"))
}

pub(super) const TOO_LARGE: &str = "it makes a value that is too large";

/// The program with its further steps; `further` replaces each step by several once more.
pub(super) fn limited<'source>(
    program: &Instructions<'source>,
    further: fn(Instruction<'source>) -> Vec<Instruction<'source>>,
) -> Instructions<'source> {
    let expanded = |step| expanded(step).into_iter().flat_map(further).collect();
    let steps: Vec<Vec<Instruction>> = (0..).map_while(|at| program.get(at)).map(expanded).collect();
    let starts: Vec<u32> = steps
        .iter()
        .scan(0, |next, step| {
            let start = *next;
            *next += step.len() as u32;
            Some(start)
        })
        .collect();
    let end = steps.iter().map(Vec::len).sum::<usize>() as u32;
    let to = |target: u32| starts.get(target as usize).copied().unwrap_or(end);
    let mut limited = Instructions::new(program.name(), program.source());
    for (at, step) in steps.into_iter().enumerate() {
        let line = program.get_line(at as u32).map_or(0, |line| line as u16);
        for instruction in step {
            let instruction = match instruction {
                Instruction::Iterate(target) => Instruction::Iterate(to(target)),
                Instruction::Jump(target) => Instruction::Jump(to(target)),
                Instruction::JumpIfFalse(target) => Instruction::JumpIfFalse(to(target)),
                Instruction::JumpIfFalseOrPop(target) => Instruction::JumpIfFalseOrPop(to(target)),
                Instruction::JumpIfTrueOrPop(target) => Instruction::JumpIfTrueOrPop(to(target)),
                Instruction::BuildMacro(name, target, flags) => Instruction::BuildMacro(name, to(target), flags),
                other => other,
            };
            limited.add_with_line(instruction, line);
        }
    }
    limited
}

/// One step with those before and after it.
fn expanded<'source>(step: &Instruction<'source>) -> Vec<Instruction<'source>> {
    let weigh = || Instruction::ApplyFilter(WEIGH, Some(1), UNCACHED);
    match step {
        Instruction::EmitRaw(text) => vec![Instruction::LoadConst(Value::from_safe_string((*text).to_owned())), Instruction::Emit],
        // Two values go in, and come out in the order in which they were.
        Instruction::Mul => {
            vec![Instruction::ApplyFilter(FACTORS, Some(2), UNCACHED), Instruction::UnpackList(2), Instruction::Mul, weigh()]
        }
        Instruction::In | Instruction::CompareAndPreserve(_) | Instruction::PerformTest(_, Some(2), _) => {
            vec![Instruction::ApplyFilter(READ, Some(2), UNCACHED), Instruction::UnpackList(2), step.clone()]
        }
        Instruction::Slice => {
            vec![Instruction::ApplyFilter(SLICED, Some(4), UNCACHED), Instruction::UnpackList(4), Instruction::Slice, weigh()]
        }
        Instruction::SetAttr(_) => {
            vec![Instruction::Swap, Instruction::ApplyFilter(STORABLE, Some(1), UNCACHED), Instruction::Swap, step.clone()]
        }
        Instruction::Add
        | Instruction::StringConcat
        | Instruction::BuildMap(_)
        | Instruction::BuildList(_)
        | Instruction::BuildTuple(_)
        | Instruction::ApplyFilter(..)
        | Instruction::CallFunction(..)
        | Instruction::CallMethod(..)
        | Instruction::CallObject(..)
        | Instruction::EndCapture => vec![step.clone(), weigh()],
        other => vec![other.clone()],
    }
}

/// What a value is, with all that stands in it.
#[derive(Default)]
struct Size {
    values: usize,
    /// Were it written out.
    bytes: usize,
}

/// What a value in a list counts for among the bytes that are made.
const VALUE_BYTES: usize = 8;

/// What a rendering may still make.
pub(super) struct Meter {
    /// Bytes of one value, were it written out.
    value_max: usize,
    /// Bytes and values made in all.
    made: AtomicUsize,
    made_max: usize,
    /// Bytes written, to the text or to a value.
    written: AtomicUsize,
    written_max: usize,
}

impl Meter {
    /// For messages of so many bytes in all.
    pub(super) fn new(messages: usize, bytes: usize) -> Arc<Meter> {
        Arc::new(Meter {
            value_max: (64 << 10) + 256 * messages + 4 * bytes,
            made: AtomicUsize::new(0),
            made_max: (16 << 20) + 64 * bytes,
            written: AtomicUsize::new(0),
            written_max: (1 << 20) + 16 * bytes,
        })
    }

    /// Puts the further steps and the guarded filters into an engine.
    pub(super) fn install(self: &Arc<Meter>, engine: &mut Environment) {
        let meter = self.clone();
        engine.add_filter(WEIGH, move |value: Value| meter.weigh(value));
        let meter = self.clone();
        engine.add_filter(FACTORS, move |a: Value, b: Value| meter.factors(a, b));
        let meter = self.clone();
        engine.add_filter(READ, move |a: Value, b: Value| {
            meter.read(&[&a, &b])?;
            Ok::<_, Error>(Value::from(vec![b, a]))
        });
        engine.add_filter(SLICED, |value: Value, start: Value, stop: Value, step: Value| {
            let none = || Value::from(());
            match python::sliced_backwards(&value, &start, &stop, &step) {
                Some(sliced) => Value::from(vec![none(), none(), none(), sliced]),
                None => Value::from(vec![step, stop, start, value]),
            }
        });
        engine.add_filter(STORABLE, |value: Value| if is_namespace(&value) { Err(beyond(IN_NAMESPACE)) } else { Ok(value) });
        let meter = self.clone();
        engine.set_formatter(move |out, state, value| {
            meter.write(value)?;
            escape_formatter(out, state, value)
        });
        // Each looks first, and then is what it was.
        let mut guard = |name: &'static str, library: &'static str, look: fn(&Meter, &[Value]) -> Result<(), Error>| {
            let meter = self.clone();
            engine.add_filter(name, move |state: &mut State, args: Rest<Value>| {
                look(&meter, &args)?;
                state.apply_filter(library, &args)
            });
        };
        guard("replace", "\u{1}replace", Meter::replaces);
        guard("join", "\u{1}join", |meter, args| meter.joins(args.first(), args.get(1)));
        guard("format", "\u{1}format", |meter, args| meter.formats(args, '%'));
        guard("indent", "\u{1}indent", |_, args| numbers(args, WIDTH_MAX));
        guard("batch", "\u{1}batch", |_, args| numbers(args, COUNT_MAX));
        guard("slice", "\u{1}slice", |_, args| numbers(args, COUNT_MAX));
        guard("select", "\u{1}select", Meter::selects);
        guard("reject", "\u{1}reject", Meter::selects);
        guard("selectattr", "\u{1}selectattr", Meter::selects);
        guard("rejectattr", "\u{1}rejectattr", Meter::selects);
        guard("sum", "\u{1}sum", |meter, args| {
            let items = args.first().and_then(Value::len).unwrap_or_default();
            meter.make(items.saturating_mul(items))
        });
        engine.add_filter("\u{1}replace", filters::replace);
        engine.add_filter("\u{1}join", filters::join);
        engine.add_filter("\u{1}format", filters::format);
        engine.add_filter("\u{1}indent", filters::indent);
        engine.add_filter("\u{1}batch", filters::batch);
        engine.add_filter("\u{1}slice", filters::slice);
        engine.add_filter("\u{1}select", filters::select);
        engine.add_filter("\u{1}reject", filters::reject);
        engine.add_filter("\u{1}selectattr", filters::selectattr);
        engine.add_filter("\u{1}rejectattr", filters::rejectattr);
        engine.add_filter("\u{1}sum", filters::sum);
        let meter = self.clone();
        engine.set_unknown_method_callback(move |state, value, method, args| {
            let with_value: Vec<Value> = [value].into_iter().chain(args).cloned().collect();
            meter.read(&with_value.iter().collect::<Vec<_>>())?;
            match method {
                "replace" => meter.replaces(&with_value)?,
                "join" => meter.joins(args.first(), Some(value))?,
                "format" => meter.formats(&with_value, '{')?,
                _ => {}
            }
            minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
        });
    }

    /// A value that was just made.
    fn weigh(&self, value: Value) -> Result<Value, Error> {
        let mut size = Size::default();
        let settled = self.settle(&value, 0, &mut size)?;
        // A list takes what stands in it as it is.
        self.make(value.as_str().map_or(VALUE_BYTES * size.values, str::len))?;
        Ok(settled.unwrap_or(value))
    }

    /// Sizes a value, up to the limit. Returns it again if it, or one inside, had still to be computed.
    fn settle(&self, value: &Value, depth: usize, size: &mut Size) -> Result<Option<Value>, Error> {
        if depth > DEPTH_MAX {
            return Err(beyond("it nests lists or maps too deeply"));
        }
        size.values += 1;
        size.bytes += value.as_str().map_or(2, |text| text.len() + 2);
        if size.bytes > self.value_max {
            return Err(beyond(TOO_LARGE));
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                let mut changed = value.kind() == ValueKind::Iterable;
                let mut items = Vec::new();
                for item in value.try_iter()? {
                    let settled = self.settle(&item, depth + 1, size)?;
                    changed |= settled.is_some();
                    items.push(settled.unwrap_or(item));
                }
                Ok(changed.then(|| Value::from(items)))
            }
            ValueKind::Map => {
                if depth > 0 && is_namespace(value) {
                    return Err(beyond(IN_NAMESPACE));
                }
                let mut entries = BTreeMap::new();
                for key in value.try_iter()? {
                    let item = value.get_item(&key)?;
                    self.settle(&key, depth + 1, size)?;
                    let settled = self.settle(&item, depth + 1, size)?;
                    entries.insert(key, settled.unwrap_or(item));
                }
                // The one map that looks up in others; it sorts its keys as well.
                let merged = value.as_object().is_some_and(|object| object.type_name().ends_with("MergeDict"));
                Ok(merged.then(|| Value::from_object(entries)))
            }
            ValueKind::Invalid => Err(Error::new(ErrorKind::InvalidOperation, value.to_string())),
            _ => Ok(None),
        }
    }

    fn make(&self, bytes: usize) -> Result<(), Error> {
        if self.made.fetch_add(bytes, Relaxed).saturating_add(bytes) > self.made_max {
            return Err(beyond("it makes and reads too much"));
        }
        Ok(())
    }

    fn write(&self, value: &Value) -> Result<(), Error> {
        let bytes = self.bytes(value)?;
        if self.written.fetch_add(bytes, Relaxed) + bytes > self.written_max {
            return Err(beyond("it writes too much text"));
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> Result<(), Error> {
        if bytes > self.value_max { Err(beyond(TOO_LARGE)) } else { Ok(()) }
    }

    fn bytes(&self, value: &Value) -> Result<usize, Error> {
        if let Some(text) = value.as_str() {
            return Ok(text.len());
        }
        let mut size = Size::default();
        self.settle(value, 0, &mut size)?;
        Ok(size.bytes)
    }

    /// The factors of a product, in the order in which they are unpacked.
    fn factors(&self, a: Value, b: Value) -> Result<Value, Error> {
        for (many, times) in [(&a, &b), (&b, &a)] {
            if let (true, Some(times)) = (many.kind() != ValueKind::Number, times.as_usize()) {
                self.fits(self.bytes(many)?.saturating_mul(times))?;
            }
        }
        Ok(Value::from(vec![b, a]))
    }

    /// Texts that are about to be searched.
    fn read(&self, values: &[&Value]) -> Result<(), Error> {
        self.make(values.iter().filter_map(|value| value.as_str()).map(str::len).sum())
    }

    /// So many bytes are about to be read.
    pub(super) fn read_bytes(&self, bytes: usize) -> Result<(), Error> {
        self.make(bytes)
    }

    /// Each item of a list is about to be looked for in a text, perhaps.
    fn selects(&self, args: &[Value]) -> Result<(), Error> {
        let items = args.first().and_then(Value::len).unwrap_or_default();
        let texts: usize = args.iter().skip(1).filter_map(Value::as_str).map(str::len).sum();
        self.make(items.saturating_mul(texts))
    }

    fn replaces(&self, args: &[Value]) -> Result<(), Error> {
        let [Some(text), Some(from), Some(to)] = [0, 1, 2].map(|at| args.get(at).and_then(Value::as_str)) else { return Ok(()) };
        self.fits(text.len().saturating_add(text.matches(from).count().saturating_mul(to.len())))
    }

    fn joins(&self, list: Option<&Value>, separator: Option<&Value>) -> Result<(), Error> {
        let Some(list) = list else { return Ok(()) };
        let items = list.len().unwrap_or(self.value_max / 2);
        let separator = separator.and_then(Value::as_str).map_or(0, str::len);
        self.fits(self.bytes(list)?.saturating_add(items.saturating_mul(separator)))
    }

    /// A format is as wide as its numbers say, and may name a value again and again.
    fn formats(&self, args: &[Value], sign: char) -> Result<(), Error> {
        let Some((format, values)) = args.split_first().and_then(|(format, values)| Some((format.as_str()?, values))) else {
            return Ok(());
        };
        let fields = || format.split(sign).skip(1);
        let end = |character: char| if sign == '{' { character == '}' } else { character.is_alphabetic() };
        let spec = |field: &'_ str| field.split(end).next().unwrap_or_default().to_owned();
        let wide = fields().any(|field| spec(field).split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() > 3));
        // `%*d`, and `{:{}}`, whose first field has no end.
        let from_a_value =
            fields().any(|field| if sign == '{' { !field.is_empty() && !field.contains('}') } else { spec(field).contains('*') });
        if wide || (from_a_value && numbers(values, WIDTH_MAX).is_err()) {
            return Err(beyond(TOO_LARGE));
        }
        let bytes = values.iter().map(|value| self.bytes(value)).sum::<Result<usize, Error>>()?;
        self.fits(format.len().saturating_add(format.matches(sign).count().saturating_mul(bytes)))
    }
}

const IN_NAMESPACE: &str = "it puts a namespace into another value";

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("Namespace"))
}

/// Refuses arguments of a filter that are large numbers, by place or by name.
fn numbers(args: &[Value], max: usize) -> Result<(), Error> {
    for value in args {
        let named = if value.kind() == ValueKind::Map {
            value.try_iter()?.map(|key| value.get_item(&key)).collect::<Result<_, _>>()?
        } else {
            vec![]
        };
        if [value]
            .into_iter()
            .chain(&named)
            .any(|value| value.kind() == ValueKind::Number && value.as_usize().is_none_or(|number| number > max))
        {
            return Err(beyond(TOO_LARGE));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minijinja::syntax::SyntaxConfig;

    use super::*;
    use crate::template::ChatTemplate;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_further_steps_change_nothing() {
        let sources = [
            "{% macro twice(x, n=2) %}{{ x * n }}{% endmacro %}{{ twice('ab') }}{{ twice('c', n=3) }}{{ twice(x='d') }}",
            "{% macro box(a) %}[{{ caller(a) }}]{% endmacro %}{% call(x) box(1) %}<{{ x }}>{% endcall %}",
            "{% for a in [1, [2, [3]]] recursive %}{{ loop(a) if a is sequence else a }}{% endfor %}",
            "{% for a in range(9) if a % 2 %}{% if a == 3 %}{% continue %}{% elif a > 6 %}{% break %}{% else %}{{ a }}{% endif %}{% else %}none{% endfor %}",
            "{% for a in [] %}a{% else %}none{% endfor %}{{ [] or 'or' }}{{ 1 and 2 }}{{ 'x' if false else 'y' }}{{ 1 < 2 < 3 }}",
            "{% set ns = namespace(a=1, b=[]) %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% set ns.b = ns.b + [i] %}{% endfor %}{{ ns.a }}{{ ns.b }}",
            "{% set x %}a{{ 1 }}<{% endset %}{{ x }}{% filter upper %}b{{ x }}{% endfilter %}{% with y = 2 %}{{ y }}{% endwith %}",
            "{% set a, b = (1, 'two') %}{{ b }}{{ a }}{{ (1, 2) }}{{ {'k': [1, {'l': none}]} }}{{ {'z': 1, 'a': 2}|items|list }}",
            "{{ 'abcdef'[1:-1] }}{{ [1, 2, 3][::-1] }}{{ 'a,b'.split(',')[-1] }}{{ [3, 1, 2]|sort|join('-') }}{{ [1, 2]|map('string')|list }}",
            "{% block one %}{{ self.two() }}{% endblock %}{% block two %}2{% endblock %}{% autoescape true %}<{{ '<' }}>{% endautoescape %}",
            "{{ 'a-b'|replace('-', '+') }}{{ 'x\ny'|indent(2) }}{{ '%03d %s'|format(7, 'z') }}{{ '{} {:>4}'.format('a', 1) }}{{ [1, 2, 3]|batch(2)|list }}",
            "{{ 2 * 3 }}{{ 2 ** 10 }}{{ 'a' ~ 1 ~ [2] }}{{ 7 // 2 }}{{ -7 % 3 }}{{ 'b' in 'abc' }}{{ 4 not in [1, 2] }}{{ {'a': 1}|chain({'b': 2})|length }}",
        ];
        for source in sources {
            let mut plain = Environment::new();
            plain.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("syntax"));
            plain.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
            let want = plain.render_str(source, minijinja::context! { bos_token => "" }).expect(source);
            let got =
                ChatTemplate::from_files(None, Some(source)).and_then(|template| template.render(&[], false, &[], None)).expect(source);
            assert_eq!(got.text, want, "{source}");
        }
    }
}
