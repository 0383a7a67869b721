//! jinja2's filters of lists, dicts and other iterables.

use super::args::Args;
use super::attributes::item;
use super::checks;
use super::compare::{find, insert, order, sorted};
use super::filters::{apply as filter, ignore_case};
use super::limits::Meter;
use super::loops::items;
use super::operators::add;
use super::split::join;
use super::value::{Dict, Items, Missing, Object, Outcome, Value, fault};
use super::written::{escape, text};

/// The limit on the parts of `slice` and on the items of a part of `batch`.
const PARTS_MAX: i128 = 100_000;

pub(super) fn apply(name: &str, value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    match name {
        "length" | "count" => {
            args.none(name)?;
            value.len(meter)?.map(Value::from).ok_or_else(|| fault(format!("a value of type {} has no length", value.kind())))
        }
        "first" => {
            args.none(name)?;
            let nothing = || meter.undefined(Missing::Because("there is no first item: the sequence is empty"));
            match value {
                Value::Str(of) => Ok(of.as_str().chars().next().map_or_else(nothing, |one| Value::Str(super::value::Text::character(one)))),
                Value::List(items) | Value::Tuple(items) => Ok(items.items.first().cloned().unwrap_or_else(nothing)),
                Value::Object(object) => match &**object {
                    Object::Once { items, taken, .. } => {
                        let first = items.get(taken.get()).cloned();
                        taken.set((taken.get() + 1).min(items.len()));
                        Ok(first.unwrap_or_else(nothing))
                    }
                    _ => Ok(items(value, meter)?.into_iter().next().unwrap_or_else(nothing)),
                },
                _ => Ok(items(value, meter)?.into_iter().next().unwrap_or_else(nothing)),
            }
        }
        "last" => {
            args.none(name)?;
            let last = reversible(value, meter)?.pop();
            Ok(last.unwrap_or_else(|| meter.undefined(Missing::Because("there is no last item: the sequence is empty"))))
        }
        "reverse" => {
            args.none(name)?;
            if let Value::Str(of) = value {
                let reversed: String = of.as_str().chars().rev().collect();
                return Ok(Value::Str(meter.plain(reversed)?.with_safe(of.safe)));
            }
            let mut reversed = items(value, meter)?;
            reversed.reverse();
            match value {
                Value::Object(object) if matches!(&**object, Object::Once { .. }) => meter.list(reversed),
                Value::Undefined(_) => meter.list(reversed),
                _ => meter.once("reversed", reversed),
            }
        }
        "list" => {
            args.none(name)?;
            meter.list(items(value, meter)?)
        }
        "items" => {
            args.none(name)?;
            match value {
                Value::Undefined(_) => meter.once("generator", Vec::new()),
                Value::Dict(dict) => {
                    let pairs = dict.entries.iter().map(|(key, value)| meter.tuple(vec![key.clone(), value.clone()]));
                    meter.once("generator", pairs.collect::<Outcome<_>>()?)
                }
                _ => Err(fault(format!("items takes a dict, not a value of type {}", value.kind()))),
            }
        }
        "join" => joined(value, args, meter),
        "sum" => {
            let args = args.bind(name, ["attribute", "start"], 0)?;
            let start = args.0[1].clone().unwrap_or(Value::Int(0));
            if start.as_str().is_some() {
                return Err(fault("sum does not add texts"));
            }
            let mut sum = start;
            for item in items(value, meter)? {
                let item = if args.some(0).is_some() { Path::new(&args.value(0))?.of(item, None, meter)? } else { item };
                sum = add(&sum, &item, meter)?;
            }
            Ok(sum)
        }
        "min" | "max" => {
            let args = args.bind(name, ["case_sensitive", "attribute"], 0)?;
            let keys = Keys { paths: vec![Path::new(&args.value(1))?], ignores_case: !args.truth(0), single: true };
            let mut best: Option<(Value, Value)> = None;
            for item in items(value, meter)? {
                let key = keys.of(&item, meter)?;
                let better = match &best {
                    None => true,
                    Some((other, _)) => {
                        let order = if name == "min" { order(&key, other, "<", meter)? } else { order(other, &key, "<", meter)? };
                        order.is_some_and(std::cmp::Ordering::is_lt)
                    }
                };
                if better {
                    best = Some((key, item));
                }
            }
            Ok(best.map_or_else(|| meter.undefined(Missing::Because("there is no item: the sequence is empty")), |(_, item)| item))
        }
        "sort" => {
            let args = args.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let keys = Keys { paths: Path::several(&args.value(2))?, ignores_case: !args.truth(1), single: false };
            let keyed = items(value, meter)?.into_iter().map(|item| Ok((keys.of(&item, meter)?, item)));
            let keyed = keyed.collect::<Outcome<_>>()?;
            meter.list(sorted(keyed, args.truth(0), meter)?)
        }
        "dictsort" => {
            let args = args.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
            let Value::Dict(dict) = value else {
                return Err(fault(format!("dictsort takes a dict, not a value of type {}", value.kind())));
            };
            let by_value = match args.text(1, "key", meter)?.as_str() {
                "key" => false,
                "value" => true,
                _ => return Err(fault("dictsort sorts by \"key\" or \"value\"")),
            };
            let keyed = dict.entries.iter().map(|(key, value)| {
                let by = if by_value { value } else { key }.clone();
                let by = if args.truth(0) { by } else { ignore_case(by, meter)? };
                Ok((by, meter.tuple(vec![key.clone(), value.clone()])?))
            });
            let keyed = keyed.collect::<Outcome<_>>()?;
            meter.list(sorted(keyed, args.truth(2), meter)?)
        }
        "unique" => {
            let args = args.bind(name, ["case_sensitive", "attribute"], 0)?;
            let keys = Keys { paths: vec![Path::new(&args.value(1))?], ignores_case: !args.truth(0), single: true };
            let (mut seen, mut unique) = (Dict::default(), Vec::new());
            for item in items(value, meter)? {
                let key = keys.of(&item, meter)?;
                if find(&seen, &key, meter)?.is_none() {
                    insert(&mut seen, key, Value::None, meter)?;
                    unique.push(item);
                }
            }
            meter.once("generator", unique)
        }
        "groupby" => group(value, args, meter),
        "batch" => {
            let args = args.bind(name, ["linecount", "fill_with"], 1)?;
            let items = items(value, meter)?;
            let count = args.int(0, 1)?;
            if !(1..=PARTS_MAX).contains(&count) && !items.is_empty() {
                return Err(fault("batch takes a number of items from 1 to 100000"));
            }
            let mut batches: Vec<Vec<Value>> = items.chunks(count.max(1) as usize).map(<[Value]>::to_vec).collect();
            if let (Some(fill), Some(last)) = (args.some(1), batches.last_mut()) {
                meter.room(count as usize)?;
                last.resize(count as usize, fill.clone());
            }
            meter.once("generator", batches.into_iter().map(|batch| meter.list(batch)).collect::<Outcome<_>>()?)
        }
        "slice" => {
            let args = args.bind(name, ["slices", "fill_with"], 1)?;
            let items = items(value, meter)?;
            let slices = args.int(0, 1)?;
            if slices == 0 || slices > PARTS_MAX {
                return Err(fault("slice takes a number of parts from 1 to 100000"));
            }
            meter.room(slices.max(0) as usize)?;
            let (size, extra) = (items.len() / slices.max(1) as usize, items.len() % slices.max(1) as usize);
            let mut rest = &items[..];
            let mut parts = Vec::new();
            for number in 0..slices.max(0) as usize {
                let (part, after) = rest.split_at(size + usize::from(number < extra));
                rest = after;
                let fill = args.some(1).filter(|_| number >= extra);
                parts.push(meter.list(part.iter().chain(fill).cloned().collect())?);
            }
            meter.once("generator", parts)
        }
        "map" => map(value, args, meter),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, value, args, meter),
        _ => Err(fault(format!("there is no filter named `{name}`"))),
    }
}

/// The items of a value that Python's `reversed` accepts.
fn reversible(value: &Value, meter: &Meter) -> Outcome<Vec<Value>> {
    match value {
        Value::Object(object) if matches!(&**object, Object::Once { .. } | Object::Loop(_)) => Err(fault("a generator cannot be reversed")),
        _ => items(value, meter),
    }
}

fn joined(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("join", ["d", "attribute"], 0)?;
    let separator = args.0[0].clone().unwrap_or(Value::fixed(""));
    let mut parts = items(value, meter)?;
    if args.some(1).is_some() {
        let path = Path::new(&args.value(1))?;
        parts = parts.into_iter().map(|part| path.of(part, None, meter)).collect::<Outcome<_>>()?;
    }
    let safe = |value: &Value| matches!(value, Value::Str(text) if text.safe);
    let escapes = meter.escapes.get() && (safe(&separator) || parts.iter().any(safe));
    let written = |value: &Value| if escapes { escape(value, meter) } else { text(value, meter) };
    let parts = parts.iter().map(written).collect::<Outcome<Vec<_>>>()?;
    match join(written(&separator)?.as_str(), &parts, meter)? {
        Value::Str(text) => Ok(Value::Str(text.with_safe(escapes))),
        other => Ok(other),
    }
}

/// The path of an attribute, as filters accept it: `a.b.0`.
struct Path {
    parts: Vec<Value>,
}

impl Path {
    fn new(attribute: &Value) -> Outcome<Path> {
        let part = |part: &str| match part.parse() {
            Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Value::Int(number),
            _ => Value::Str(super::value::Text::new(part)),
        };
        Ok(Path {
            parts: match attribute {
                Value::None => Vec::new(),
                Value::Str(text) => text.as_str().split('.').map(part).collect(),
                other => vec![other.clone()],
            },
        })
    }

    /// Several paths, between commas.
    fn several(attribute: &Value) -> Outcome<Vec<Path>> {
        match attribute {
            Value::Str(text) => text.as_str().split(',').map(|one| Path::new(&Value::Str(super::value::Text::new(one)))).collect(),
            other => Ok(vec![Path::new(other)?]),
        }
    }

    fn of(&self, value: Value, default: Option<&Value>, meter: &Meter) -> Outcome<Value> {
        let mut value = value;
        for part in &self.parts {
            value = item(&value, part, meter)?;
            if let (true, Some(default)) = (value.is_undefined(), default) {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

/// The keys by which items are sorted.
struct Keys {
    paths: Vec<Path>,
    ignores_case: bool,
    /// Whether the key is one value and not a list.
    single: bool,
}

impl Keys {
    fn of(&self, value: &Value, meter: &Meter) -> Outcome<Value> {
        let keys = self.paths.iter().map(|path| {
            let key = path.of(value.clone(), None, meter)?;
            if self.ignores_case { ignore_case(key, meter) } else { Ok(key) }
        });
        let mut keys = keys.collect::<Outcome<Vec<_>>>()?;
        match keys.pop() {
            Some(key) if self.single => Ok(key),
            last => Ok(Value::list(keys.into_iter().chain(last).collect())),
        }
    }
}

fn group(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let path = Path::new(&args.value(0))?;
    let plain = |item: &Value| path.of(item.clone(), args.some(1), meter);
    let keyed = items(value, meter)?.into_iter().map(|item| {
        let key = plain(&item)?;
        Ok((if args.truth(2) { key } else { ignore_case(key, meter)? }, item))
    });
    let keyed: Vec<(Value, Value)> = keyed.collect::<Outcome<_>>()?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in sorted(keyed, false, meter)? {
        let key = plain(&item)?;
        let folded = if args.truth(2) { key.clone() } else { ignore_case(key.clone(), meter)? };
        match groups.last_mut() {
            Some((last, items)) if super::compare::equal(last, &folded, meter)? => items.push(item),
            _ => groups.push((folded, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(key, items)| {
        let key = if args.truth(2) { key } else { items.first().map_or(Ok(key), plain)? };
        let items = meter.list(items)?;
        let pair = Items { group: true, ..Items::new(vec![key, items]) };
        meter.nests(pair.depth)?;
        Ok(Value::Tuple(std::rc::Rc::new(pair)))
    });
    meter.list(groups.collect::<Outcome<_>>()?)
}

fn map(value: &Value, mut args: Args, meter: &Meter) -> Outcome<Value> {
    if !value.truth() {
        return meter.once("generator", Vec::new());
    }
    let by_attribute = args.positional.is_empty() && args.named.iter().any(|(name, _)| name.as_str() == "attribute");
    let mut mapped = Vec::new();
    if by_attribute {
        let args = args.bind("map", ["attribute", "default"], 1)?;
        let path = Path::new(&args.value(0))?;
        for item in items(value, meter)? {
            mapped.push(path.of(item, args.some(1), meter)?);
        }
    } else {
        if args.positional.is_empty() {
            return Err(fault("map takes the name of a filter, or attribute="));
        }
        let name = filter_name(&args.positional.remove(0))?;
        for item in items(value, meter)? {
            meter.step(args.positional.len() + args.named.len())?;
            let args = Args { positional: args.positional.clone(), named: args.named.clone() };
            mapped.push(filter(&name, &item, args, meter)?);
        }
    }
    meter.once("generator", mapped)
}

fn filter_name(name: &Value) -> Outcome<String> {
    name.as_str()
        .map(str::to_owned)
        .ok_or_else(|| fault(format!("the name of a filter or test is a str, not a value of type {}", name.kind())))
}

fn select(name: &str, value: &Value, mut args: Args, meter: &Meter) -> Outcome<Value> {
    if !value.truth() {
        return meter.once("generator", Vec::new());
    }
    let (keeps, by_attribute) = (name.starts_with("select"), name.ends_with("attr"));
    let path = match by_attribute {
        true if args.positional.is_empty() => return Err(fault(format!("{name} takes the name of an attribute"))),
        true => Path::new(&args.positional.remove(0))?,
        false => Path { parts: Vec::new() },
    };
    let test = if args.positional.is_empty() { None } else { Some(filter_name(&args.positional.remove(0))?) };
    let mut kept = Vec::new();
    for item in items(value, meter)? {
        let looked_at = path.of(item.clone(), None, meter)?;
        let holds = match &test {
            Some(test) => {
                meter.step(args.positional.len() + args.named.len())?;
                let args = Args { positional: args.positional.clone(), named: args.named.clone() };
                checks::apply(test, &looked_at, args, meter)?
            }
            None => looked_at.truth(),
        };
        if holds == keeps {
            kept.push(item);
        }
    }
    meter.once("generator", kept)
}
