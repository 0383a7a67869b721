//! Runs the statements of a template.
//!
//! minijinja parses the template, and this module and its neighbours run it by jinja2's rules. minijinja's
//! own rules would not do, because a chat template is a Python program in all but name: it relies on `+` of
//! a text and a number, on white space, on `%`, on how a list is written. Every step is counted (`limits`).

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{Block, ForLoop, IfCond, Macro, Set, SetBlock, Stmt};

use super::limits::Meter;
use super::loops::{Loop, Source, source};
use super::program::Program;
use super::scope::Scope;
use super::value::{Missing, Object, Outcome, Text, Value, fault};
use super::written::{escape, text};
use crate::text::Coding;

/// The cost of a nested block, in the unit of [`Meter::enter`].
const STATEMENT_COST: usize = 3;

/// How a statement ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flow {
    Next,
    Break,
    Continue,
}

/// The state of a rendering.
pub(super) struct Run<'a, 'm> {
    pub(super) meter: &'m Meter,
    /// The coding of special tokens that callers typed; `None` if they typed none.
    pub(super) coding: Option<&'m Coding>,
    /// The variables that the caller sets.
    context: BTreeMap<&'a str, Value>,
    /// The output, and the blocks inside it that are being caught.
    out: Vec<String>,
    pub(super) macros: Vec<(&'a Macro<'a>, Rc<Scope<'a>>)>,
    pub(super) recursions: Vec<(&'a ForLoop<'a>, Rc<Scope<'a>>)>,
    pub(super) blocks: BTreeMap<&'a str, &'a Block<'a>>,
    pub(super) root: Rc<Scope<'a>>,
    pub(super) constants: HashMap<usize, Value>,
    pub(super) program: &'a Program,
}

/// Renders a template.
pub(super) fn render<'a>(
    program: &'a Program,
    context: BTreeMap<&'a str, Value>,
    coding: Option<&Coding>,
    meter: &Meter,
) -> Outcome<String> {
    let root = Scope::outermost();
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
        program,
    };
    blocks(program.statements(), &mut run.blocks);
    run.statements(program.statements(), &root)?;
    Ok(run.out.pop().unwrap_or_default())
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
    /// The value of a variable, or of a global function.
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

    /// The text that `write` outputs.
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
                    return at(
                        filter.span(),
                        Err(fault(format!("a filter block gives a value of type {} in place of a text", value.kind()))),
                    );
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
            Stmt::Do(of) => return at(of.span(), Err(fault("transformers does not have the tag `do`"))),
        }
        Ok(Flow::Next)
    }

    /// Runs a named block. It sees only the variables of the outermost scope.
    pub(super) fn block(&mut self, block: &'a Block<'a>) -> Outcome<Flow> {
        let scope = Scope::inside(&self.root.clone());
        self.statements(&block.body, &scope)
    }

    fn condition(&mut self, mut condition: &'a IfCond<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Flow> {
        loop {
            if self.expression(&condition.expr, scope)?.truth() {
                return self.statements(&condition.true_body, scope);
            }
            // A chain of `elif` nests no deeper than one `if`.
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

    /// Runs a `for` over a value. A recursive `for` calls this again for parts of the value.
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
        // As in jinja2, `else` runs unless the body reached its end for some item.
        let mut none_whole = true;
        let mut inner = Scope::inside(scope);
        while let Some(item) = state_of.advance() {
            meter.step(1)?;
            // A macro may hold the scope of the previous item.
            match Rc::get_mut(&mut inner) {
                Some(inner) => inner.clear(),
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
}

/// The names that every template has.
pub(super) const GLOBALS: [&str; 10] =
    ["range", "dict", "namespace", "cycler", "joiner", "lipsum", "raise_exception", "strftime_now", "self", "loop"];

fn function_name(name: &str) -> &'static str {
    ["range", "dict", "namespace", "cycler", "joiner", "lipsum"].into_iter().find(|known| *known == name).unwrap_or("raise_exception")
}

fn alone<T>(tag: &str) -> Outcome<T> {
    Err(fault(format!("the tag `{tag}` needs another template, and a chat template stands alone")))
}

/// Adds the line to a fault that has none.
pub(super) fn at<T>(span: Span, outcome: Outcome<T>) -> Outcome<T> {
    outcome.map_err(|mut fault| {
        if fault.line == 0 {
            fault.line = span.start_line as usize;
        }
        fault
    })
}

/// The value of a text constant.
pub(super) fn constant(text: &str) -> Value {
    Value::Str(Text::new(text))
}
