//! Calls of macros, and of the functions that jinja2 and transformers define for a template.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{CallBlock, Expr, Macro};

use super::args::Args;
use super::attributes::call_method;
use super::compare::insert;
use super::loops::items;
use super::run::Run;
use super::scope::{Scope, private};
use super::value::{Catches, Dict, Missing, Object, Outcome, Range, Text, Value, fault};
use super::written::text;

/// The cost of a nested call, in the unit of [`Meter::enter`](super::limits::Meter::enter).
const CALL_COST: usize = 12;

/// jinja2's sandbox allows a range of this length.
const RANGE_MAX: usize = 100_000;

impl<'a> Run<'a, '_> {
    /// Declares a macro. Its body sees the variables around it with their values at the time of the call.
    pub(super) fn declare(&mut self, of: &'a Macro<'a>, name: Option<&str>, span: Span, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let argument = |argument: &Expr| {
            if let Expr::Var(name) = argument { Ok(Text::new(name.id)) } else { Err(fault("a macro has an argument that is not a name")) }
        };
        let arguments = of.args.iter().map(argument).collect::<Outcome<Vec<_>>>()?;
        let catches = |name: &str| self.program.reads_special(name, span) && !arguments.iter().any(|argument| argument.as_str() == name);
        let catches =
            Catches { varargs: catches("varargs"), kwargs: catches("kwargs"), caller: self.program.reads_special("caller", span) };
        self.meter.keep_scope()?;
        self.meter.room(arguments.len())?;
        self.meter.step(self.program.special_count() / 4)?;
        self.macros.push((of, scope.clone()));
        self.meter.object(Object::Macro { id: self.macros.len() - 1, name: name.map(Text::new), arguments, catches })
    }

    /// `{% call(item) list(items) %}...{% endcall %}`
    pub(super) fn call_block(&mut self, block: &'a CallBlock<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let caller = self.declare(&block.macro_decl, None, block.macro_decl.span(), scope)?;
        let callee = self.expression(&block.call.expr, scope)?;
        let mut args = self.args(&block.call.args, scope)?;
        args.named.push((Text::fixed("caller"), caller));
        self.call(&callee, args)
    }

    /// `self.title()`
    pub(super) fn call_named_block(&mut self, name: &str, args: Args) -> Outcome<Value> {
        args.none(name)?;
        let Some(block) = self.blocks.get(name).copied() else { return Err(fault(format!("there is no block named `{name}`"))) };
        self.meter.enter(CALL_COST)?;
        let text = self.caught(|run| run.block(block).map(|_| ()))?;
        self.meter.leave(CALL_COST);
        Ok(text)
    }

    /// Calls a value: a function, a method, a macro or a joiner, or `loop` of a recursive `for`.
    pub(super) fn call(&mut self, callee: &Value, args: Args) -> Outcome<Value> {
        let object = match callee {
            Value::Object(object) => object,
            Value::Undefined(missing) => return Err(fault(missing.to_string())),
            _ => return Err(fault(format!("it calls a value of type {}, which is not a function", callee.kind()))),
        };
        match &**object {
            Object::Method(value, name) => match self.coding {
                // Only methods of texts can tell a coded character from a plain one.
                Some(coding) if value.as_str().is_some() => {
                    coding.run(value, args, self.meter, &|value, args| call_method(value, name, args, self.meter))
                }
                _ => call_method(value, name, args, self.meter),
            },
            Object::Function(name) => self.call_function(name, args),
            Object::Macro { id, name, arguments, catches } => {
                let name = name.as_ref().map_or("caller", Text::as_str);
                self.call_macro(*id, name, arguments, *catches, args)
            }
            Object::Joiner { separator, used } => {
                args.none("joiner")?;
                Ok(if used.replace(true) { separator.clone() } else { Value::fixed("") })
            }
            Object::Loop(of) => {
                let parts = args.bind("loop()", ["iterable"], 1)?.value(0);
                let Some((body, scope)) = of.recurse.and_then(|id| self.recursions.get(id)).cloned() else {
                    return Err(fault("loop() is called in a `for` that is not marked `recursive`"));
                };
                let level = of.level() + 1;
                self.meter.enter(CALL_COST)?;
                let text = self.caught(|run| run.walk(body, &parts, level, &scope))?;
                self.meter.leave(CALL_COST);
                Ok(text)
            }
            _ => Err(fault(format!("it calls a value of type {}, which is not a function", callee.kind()))),
        }
    }

    fn call_macro(&mut self, id: usize, name: &str, arguments: &[Text], catches: Catches, args: Args) -> Outcome<Value> {
        let Some((of, outer)) = self.macros.get(id).cloned() else { return Err(fault("it calls a macro of another rendering")) };
        let Args { positional, mut named } = args;
        self.meter.step(1 + positional.len() + named.len())?;
        let scope = Scope::inside(&outer);
        let given = positional.len().min(arguments.len());
        let mut values: Vec<Option<Value>> = positional[..given].iter().cloned().map(Some).collect();
        for argument in &arguments[given..] {
            let place = named.iter().position(|(other, _)| other.as_str() == argument.as_str());
            values.push(place.map(|place| named.remove(place).1));
        }
        if catches.caller && !arguments.iter().any(|argument| argument.as_str() == "caller") {
            let caller = named.iter().position(|(other, _)| other.as_str() == "caller").map(|place| named.remove(place).1);
            scope.set("caller", caller.unwrap_or_else(|| self.meter.undefined(Missing::Because("there is no caller"))));
        }
        if catches.kwargs {
            let entries = std::mem::take(&mut named).into_iter().map(|(name, value)| (Value::Str(name), value)).collect();
            scope.set("kwargs", self.meter.dict(entries)?);
        }
        if let Some((other, _)) = named.first() {
            return Err(fault(format!("the macro `{name}` has no argument named `{}`", other.as_str())));
        }
        if catches.varargs {
            scope.set("varargs", self.meter.tuple(positional[given..].to_vec())?);
        } else if positional.len() > arguments.len() {
            return Err(fault(format!("the macro `{name}` takes at most {} arguments, and gets {}", arguments.len(), positional.len())));
        }
        self.meter.enter(CALL_COST)?;
        let without_default = of.args.len() - of.defaults.len().min(of.args.len());
        for (index, (target, value)) in of.args.iter().zip(values).enumerate() {
            let value = match value {
                Some(value) => value,
                None => match index.checked_sub(without_default).and_then(|index| of.defaults.get(index)) {
                    Some(default) => self.expression(default, &scope)?,
                    None => self.meter.undefined(Missing::Because("a macro is called without one of its arguments")),
                },
            };
            self.assign(target, value, &scope)?;
        }
        let text = self.caught(|run| run.statements(&of.body, &scope).map(|_| ()))?;
        self.meter.leave(CALL_COST);
        Ok(text)
    }

    fn call_function(&mut self, name: &'static str, args: Args) -> Outcome<Value> {
        let meter = self.meter;
        match name {
            "range" => {
                let args = args.bind(name, ["_start", "_stop", "_step"], 1)?;
                let bound = |at| args.int(at, 1).map(Some);
                let range = if args.0[1].is_some() {
                    Range::within(bound(0)?, bound(1)?, bound(2)?)?
                } else {
                    Range::within(Some(0), bound(0)?, Some(1))?
                };
                if range.step == 0 {
                    return Err(fault("a range has a step of 0"));
                }
                if range.len() > RANGE_MAX {
                    return Err(fault(format!("a range has more than {RANGE_MAX} numbers")));
                }
                Ok(Value::Range(Rc::new(range)))
            }
            "dict" => Ok(Value::Dict(Rc::new(self.dict(name, args)?))),
            "namespace" => {
                let dict = self.dict(name, args)?;
                dict.entries.iter().filter_map(|(key, _)| key.as_str()).try_for_each(private)?;
                meter.object(Object::Namespace(RefCell::new(dict)))
            }
            "cycler" => {
                if !args.named.is_empty() || args.positional.is_empty() {
                    return Err(fault("cycler takes at least one positional argument and no named ones"));
                }
                let depth = 1 + args.positional.iter().map(Value::depth).max().unwrap_or(0);
                meter.room(args.positional.len())?;
                meter.object(Object::Cycler { items: args.positional, next: Cell::new(0), depth })
            }
            "joiner" => {
                let separator = args.bind(name, ["sep"], 0)?.0[0].clone().unwrap_or(Value::fixed(", "));
                meter.object(Object::Joiner { separator, used: Cell::new(false) })
            }
            "raise_exception" => {
                let message = text(&args.bind(name, ["message"], 1)?.value(0), meter)?;
                let mut refused = fault(message.as_str());
                refused.refusal = true;
                Err(refused)
            }
            "strftime_now" => {
                let format = args.bind(name, ["format"], 1)?.str(0)?;
                meter.step(8 * format.as_str().len())?;
                let now = meter.now.ok_or_else(|| fault("`strftime_now` is undefined"))?;
                meter.text(now.strftime(format.as_str()).map_err(fault)?)
            }
            _ => Err(fault(format!("Fireside does not have the function {name}, because its text differs each time"))),
        }
    }

    /// Python's `dict(...)`: from a dict or from pairs, and from named arguments.
    fn dict(&mut self, what: &str, args: Args) -> Outcome<Dict> {
        let mut dict = Dict::default();
        if args.positional.len() > 1 {
            return Err(fault(format!("{what} takes at most one positional argument")));
        }
        match args.positional.first() {
            Some(Value::Dict(of)) => {
                self.meter.dict(of.entries.clone())?;
                dict.entries.clone_from(&of.entries);
            }
            Some(pairs) => {
                for pair in items(pairs, self.meter)? {
                    match <[Value; 2]>::try_from(items(&pair, self.meter)?) {
                        Ok([key, value]) => insert(&mut dict, key, value, self.meter)?,
                        Err(_) => return Err(fault(format!("{what} takes a dict or a list of pairs"))),
                    }
                }
            }
            None => {}
        }
        for (name, value) in args.named {
            insert(&mut dict, Value::Str(name), value, self.meter)?;
        }
        let Value::Dict(made) = self.meter.dict(dict.entries)? else { return Ok(Dict::default()) };
        Ok(Rc::into_inner(made).unwrap_or_default())
    }
}
