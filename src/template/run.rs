//! Runs a template: its statements, one after the other.
//!
//! minijinja reads the template; what it means is decided here and in the modules beside this one, by jinja2's rules, because a chat template is a
//! Python program in all but name: `+` on a text and a number, white space, `%`, the way a list is written. Every step is counted (`limits`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use minijinja::machinery::ast::{Block, Expr, ForLoop, IfCond, Macro, Set, SetBlock, Stmt};
use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::compare::insert;
use super::limits::Meter;
use super::loops::{Loop, Source, items, source};
use super::value::{Missing, Object, Outcome, Text, Value, fault};
use super::written::{escape, text};
use crate::text::Coding;

/// What a statement weighs among the nested calls.
const STATEMENT_COST: usize = 3;

/// The variables of a block, inside those of the block around it.
pub(super) struct Scope<'a> {
    names: RefCell<BTreeMap<&'a str, Value>>,
    parent: Option<Rc<Scope<'a>>>,
}

impl<'a> Scope<'a> {
    pub(super) fn inside(parent: &Rc<Scope<'a>>) -> Rc<Scope<'a>> {
        Rc::new(Scope { names: RefCell::default(), parent: Some(parent.clone()) })
    }

    pub(super) fn set(&self, name: &'a str, value: Value) {
        self.names.borrow_mut().insert(name, value);
    }

    /// What a name stands for, and how many scopes it was looked for in.
    fn find(&self, name: &str) -> (Option<Value>, usize) {
        let (mut scope, mut scopes) = (self, 1);
        loop {
            if let Some(value) = scope.names.borrow().get(name) {
                return (Some(value.clone()), scopes);
            }
            match &scope.parent {
                Some(parent) => (scope, scopes) = (parent, scopes + 1),
                None => return (None, scopes),
            }
        }
    }
}

/// How a statement ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

/// A rendering under way.
pub(super) struct Run<'a, 'm> {
    pub(super) meter: &'m Meter,
    /// What callers typed of special tokens.
    pub(super) coding: Option<&'m Coding>,
    /// What the caller passed in, and jinja2's own functions.
    context: BTreeMap<&'a str, Value>,
    /// The text, and the texts that are caught inside it.
    out: Vec<String>,
    pub(super) macros: Vec<(&'a Macro<'a>, Rc<Scope<'a>>)>,
    pub(super) recursions: Vec<(&'a ForLoop<'a>, Rc<Scope<'a>>)>,
    pub(super) blocks: BTreeMap<&'a str, &'a Block<'a>>,
    pub(super) root: Rc<Scope<'a>>,
    pub(super) constants: HashMap<usize, Value>,
    /// Where the template says `caller`, `kwargs` and `varargs`.
    special: Vec<(u32, &'static str)>,
}

/// Renders a template that was read before.
pub(super) fn render<'a>(
    template: &'a [Stmt<'a>],
    source: &str,
    syntax: &SyntaxConfig,
    context: BTreeMap<&'a str, Value>,
    coding: Option<&Coding>,
    meter: &Meter,
) -> Outcome<String> {
    let root = Rc::new(Scope { names: RefCell::default(), parent: None });
    let mut run = Run {
        meter,
        coding,
        context,
        out: vec![String::new()],
        macros: Vec::new(),
        recursions: Vec::new(),
        blocks: BTreeMap::new(),
        root: root.clone(),
        constants: HashMap::new(),
        special: special_names(source, syntax),
    };
    blocks(template, &mut run.blocks);
    run.statements(template, &root)?;
    Ok(run.out.pop().unwrap_or_default())
}

/// A macro takes further arguments where its body speaks of them, so the places are noted where it does.
fn special_names(source: &str, syntax: &SyntaxConfig) -> Vec<(u32, &'static str)> {
    let mut after_dot = false;
    let mut found = Vec::new();
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        let name = match token {
            Token::Ident("caller") => Some("caller"),
            Token::Ident("kwargs") => Some("kwargs"),
            Token::Ident("varargs") => Some("varargs"),
            _ => None,
        };
        found.extend(name.filter(|_| !after_dot).map(|name| (span.start_offset, name)));
        after_dot = matches!(token, Token::Dot);
    }
    found
}

/// Finds the blocks of a template.
fn blocks<'a>(body: &'a [Stmt<'a>], found: &mut BTreeMap<&'a str, &'a Block<'a>>) {
    for statement in body {
        match statement {
            Stmt::Block(block) => {
                found.insert(block.name, block);
                blocks(&block.body, found);
            }
            Stmt::IfCond(of) => {
                blocks(&of.true_body, found);
                blocks(&of.false_body, found);
            }
            Stmt::ForLoop(of) => blocks(&of.body, found),
            Stmt::WithBlock(of) => blocks(&of.body, found),
            _ => {}
        }
    }
}

impl<'a> Run<'a, '_> {
    pub(super) fn special_count(&self) -> usize {
        self.special.len()
    }

    /// Whether a macro speaks of a special name.
    pub(super) fn speaks_of(&self, name: &str, span: Span) -> bool {
        self.special.iter().any(|(at, other)| *other == name && (span.start_offset..span.end_offset).contains(at))
    }

    /// What a name stands for.
    pub(super) fn variable(&self, name: &str, scope: &Scope<'a>) -> Outcome<Value> {
        let (found, scopes) = scope.find(name);
        self.meter.step(scopes / 2)?;
        Ok(match found.or_else(|| self.context.get(name).cloned()) {
            Some(value) => value,
            None => match name {
                "range" | "dict" | "namespace" | "cycler" | "joiner" | "lipsum" | "raise_exception" => {
                    Value::object(Object::Function(function_name(name)))
                }
                "strftime_now" if self.meter.now.is_some() => Value::object(Object::Function("strftime_now")),
                "self" => Value::object(Object::Blocks),
                _ => self.meter.undefined(Missing::Variable(name.to_owned())),
            },
        })
    }

    /// Writes text.
    fn write(&mut self, text: &str) -> Outcome<()> {
        self.meter.write(text.len())?;
        if let Some(out) = self.out.last_mut() {
            out.push_str(text);
        }
        Ok(())
    }

    pub(super) fn emit(&mut self, value: &Value) -> Outcome<()> {
        let text = if self.meter.escapes.get() { escape(value, self.meter)? } else { text(value, self.meter)? };
        self.write(text.as_str())
    }

    /// Catches what is written meanwhile.
    pub(super) fn caught(&mut self, write: impl FnOnce(&mut Self) -> Outcome<()>) -> Outcome<Value> {
        let depth = self.out.len();
        self.out.push(String::new());
        let result = write(self);
        let text = self.out.pop().unwrap_or_default();
        self.out.truncate(depth);
        result?;
        Ok(Value::Str(self.meter.plain(text)?.with_safe(self.meter.escapes.get())))
    }

    pub(super) fn statements(&mut self, body: &'a [Stmt<'a>], scope: &Rc<Scope<'a>>) -> Outcome<Flow> {
        self.meter.enter(STATEMENT_COST)?;
        for statement in body {
            self.meter.step(1)?;
            let flow = self.statement(statement, scope)?;
            if flow != Flow::Next {
                self.meter.leave(STATEMENT_COST);
                return Ok(flow);
            }
        }
        self.meter.leave(STATEMENT_COST);
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &'a Stmt<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Flow> {
        match statement {
            Stmt::Template(template) => return self.statements(&template.children, scope),
            Stmt::EmitRaw(raw) => self.write(raw.raw)?,
            Stmt::EmitExpr(emit) => {
                let value = self.expression(&emit.expr, scope)?;
                at(emit.span(), self.emit(&value))?;
            }
            Stmt::IfCond(condition) => return self.condition(condition, scope),
            Stmt::ForLoop(of) => at(of.span(), self.for_loop(of, scope))?,
            Stmt::Set(set) => at(set.span(), self.set(set, scope))?,
            Stmt::SetBlock(set) => at(set.span(), self.set_block(set, scope))?,
            Stmt::WithBlock(with) => {
                let inner = Scope::inside(scope);
                for (target, value) in &with.assignments {
                    let value = self.expression(value, scope)?;
                    at(with.span(), self.assign(target, value, &inner))?;
                }
                return self.statements(&with.body, &inner);
            }
            Stmt::FilterBlock(filter) => {
                let inner = Scope::inside(scope);
                let caught = self.caught(|run| run.statements(&filter.body, &inner).map(|_| ()))?;
                let value = self.filtered(&filter.filter, caught, scope)?;
                if value.as_str().is_none() {
                    return at(filter.span(), Err(fault(format!("a filter block gives a value of type {}, and no text", value.kind()))));
                }
                self.emit(&value)?;
            }
            Stmt::AutoEscape(auto) => {
                let enabled = self.expression(&auto.enabled, scope)?.truth();
                let before = self.meter.escapes.replace(enabled);
                let flow = self.statements(&auto.body, scope);
                self.meter.escapes.set(before);
                return flow;
            }
            Stmt::Macro(of) => {
                let value = self.declare(of, Some(of.name), of.span(), scope)?;
                scope.set(of.name, value);
            }
            Stmt::CallBlock(block) => {
                let value = at(block.span(), self.call_block(block, scope))?;
                self.emit(&value)?;
            }
            Stmt::Block(block) => return self.block(block),
            Stmt::Continue(_) => return Ok(Flow::Continue),
            Stmt::Break(_) => return Ok(Flow::Break),
            Stmt::Include(of) => return at(of.span(), alone("include")),
            Stmt::Import(of) => return at(of.span(), alone("import")),
            Stmt::FromImport(of) => return at(of.span(), alone("import")),
            Stmt::Extends(of) => return at(of.span(), alone("extends")),
            Stmt::Do(of) => return at(of.span(), Err(fault("the tag `do` is not one that transformers knows"))),
        }
        Ok(Flow::Next)
    }

    /// A block of the template, which sees the variables of the outermost level.
    pub(super) fn block(&mut self, block: &'a Block<'a>) -> Outcome<Flow> {
        let scope = Scope::inside(&self.root.clone());
        self.statements(&block.body, &scope)
    }

    fn condition(&mut self, mut condition: &'a IfCond<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Flow> {
        loop {
            if self.expression(&condition.expr, scope)?.truth() {
                return self.statements(&condition.true_body, scope);
            }
            // A row of `elif` is one level.
            match &condition.false_body[..] {
                [Stmt::IfCond(next)] => condition = next,
                other => return self.statements(other, scope),
            }
        }
    }

    fn for_loop(&mut self, of: &'a ForLoop<'a>, scope: &Rc<Scope<'a>>) -> Outcome<()> {
        let value = self.expression(&of.iter, scope)?;
        self.walk(of, &value, 0, scope)
    }

    /// Runs a loop over a value; a recursive one comes back here with its parts.
    pub(super) fn walk(&mut self, of: &'a ForLoop<'a>, value: &Value, level: usize, scope: &Rc<Scope<'a>>) -> Outcome<()> {
        let meter = self.meter;
        let source = match &of.filter_expr {
            None => source(value, meter)?,
            Some(condition) => {
                let mut kept = Vec::new();
                let walked = Loop::new(source(value, meter)?, level, None, meter)?;
                while let Some(item) = walked.advance() {
                    meter.step(1)?;
                    let inner = Scope::inside(scope);
                    self.assign(&of.target, item.clone(), &inner)?;
                    if self.expression(condition, &inner)?.truth() {
                        kept.push(item);
                        meter.fits(8 * kept.len())?;
                    }
                }
                Source::Items(meter.items(kept)?)
            }
        };
        let recurse = if of.recursive {
            meter.keep_scope()?;
            self.recursions.push((of, scope.clone()));
            Some(self.recursions.len() - 1)
        } else {
            None
        };
        let state = meter.object(Object::Loop(Loop::new(source, level, recurse, meter)?))?;
        let Value::Object(object) = &state else { return Ok(()) };
        let Object::Loop(state_of) = &**object else { return Ok(()) };
        // As in jinja2, an item that `break` or `continue` ended does not count.
        let mut none_whole = true;
        let mut inner = Scope::inside(scope);
        while let Some(item) = state_of.advance() {
            meter.step(1)?;
            // A macro may have kept the scope of the item before.
            match Rc::get_mut(&mut inner) {
                Some(inner) => inner.names.get_mut().clear(),
                None => inner = Scope::inside(scope),
            }
            inner.set("loop", state.clone());
            self.assign(&of.target, item, &inner)?;
            match self.statements(&of.body, &inner)? {
                Flow::Next => none_whole = false,
                Flow::Continue => {}
                Flow::Break => break,
            }
        }
        state_of.end();
        if none_whole {
            self.statements(&of.else_body, &Scope::inside(scope))?;
        }
        Ok(())
    }

    fn set(&mut self, set: &'a Set<'a>, scope: &Rc<Scope<'a>>) -> Outcome<()> {
        let value = self.expression(&set.expr, scope)?;
        self.assign(&set.target, value, scope)
    }

    fn set_block(&mut self, set: &'a SetBlock<'a>, scope: &Rc<Scope<'a>>) -> Outcome<()> {
        let inner = Scope::inside(scope);
        let mut value = self.caught(|run| run.statements(&set.body, &inner).map(|_| ()))?;
        if let Some(filter) = &set.filter {
            value = self.filtered(filter, value, scope)?;
        }
        self.assign(&set.target, value, scope)
    }

    /// Assigns to a name, to several names, or to an attribute of a namespace.
    pub(super) fn assign(&mut self, target: &'a Expr<'a>, value: Value, scope: &Rc<Scope<'a>>) -> Outcome<()> {
        let several = match target {
            Expr::Var(name) => {
                scope.set(name.id, value);
                return Ok(());
            }
            Expr::GetAttr(attribute) => {
                if !matches!(attribute.expr, Expr::Var(_)) {
                    return Err(fault("`set` takes a name, or an attribute of a namespace that has a name"));
                }
                let owner = self.expression(&attribute.expr, scope)?;
                return self.set_attribute(&owner, attribute.name, value);
            }
            Expr::List(targets) => &targets.items,
            Expr::Tuple(targets) => &targets.items,
            _ => return Err(fault("it assigns to what is no name")),
        };
        let values = items(&value, self.meter)?;
        if values.len() != several.len() {
            return Err(fault(format!("it assigns {} values to {} names", values.len(), several.len())));
        }
        for (target, value) in several.iter().zip(values) {
            self.assign(target, value, scope)?;
        }
        Ok(())
    }

    fn set_attribute(&mut self, owner: &Value, name: &str, value: Value) -> Outcome<()> {
        if let Value::Object(object) = owner
            && let Object::Namespace(dict) = &**object
        {
            private(name)?;
            let key = Value::Str(self.meter.plain(name)?);
            self.meter.nests(value.depth() + 1)?;
            return insert(&mut dict.borrow_mut(), key, value, self.meter);
        }
        Err(fault(format!("it sets an attribute of a value of type {}; only a namespace has those", owner.kind())))
    }
}

/// Transformers keeps names with an underscore out of namespaces.
pub(super) fn private(name: &str) -> Outcome<()> {
    if name.starts_with('_') { Err(fault(format!("a namespace has no attribute that begins with _, as `{name}` does"))) } else { Ok(()) }
}

/// What every template has.
pub(super) const GLOBALS: [&str; 10] =
    ["range", "dict", "namespace", "cycler", "joiner", "lipsum", "raise_exception", "strftime_now", "self", "loop"];

fn function_name(name: &str) -> &'static str {
    ["range", "dict", "namespace", "cycler", "joiner", "lipsum"].into_iter().find(|known| *known == name).unwrap_or("raise_exception")
}

fn alone<T>(tag: &str) -> Outcome<T> {
    Err(fault(format!("the tag `{tag}` needs another template, and a chat template stands alone")))
}

/// The line of a fault, where it is not known yet.
pub(super) fn at<T>(span: Span, outcome: Outcome<T>) -> Outcome<T> {
    outcome.map_err(|mut fault| {
        if fault.line == 0 {
            fault.line = span.start_line as usize;
        }
        fault
    })
}

/// A text of the template.
pub(super) fn constant(text: &str) -> Value {
    Value::Str(Text::new(text))
}
