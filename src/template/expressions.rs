//! Evaluates the expressions of a template.

use std::rc::Rc;

use minijinja::machinery::ast::{BinOp, BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};

use super::args::Args;
use super::attributes::{attribute, item};
use super::compare::insert;
use super::operators::{binary, is_sliceable, negated, slice};
use super::run::{Run, at, constant};
use super::scope::Scope;
use super::value::{Dict, Missing, Object, Outcome, Text, Value, fault};
use super::{checks, filters, loops};

impl<'a> Run<'a, '_> {
    /// The value of an expression.
    pub(super) fn expression(&mut self, expression: &'a Expr<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        self.meter.enter(1)?;
        self.meter.step(1)?;
        let value = self.evaluate(expression, scope);
        self.meter.leave(1);
        at(expression.span(), value)
    }

    fn evaluate(&mut self, expression: &'a Expr<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        match expression {
            Expr::Var(name) => self.variable(name.id, scope),
            Expr::Const(value) => match value.value.as_str() {
                // A text constant is made once per rendering, so that a loop does not copy it.
                Some(text) => {
                    let place = std::ptr::from_ref(&value.value).addr();
                    Ok(self.constants.entry(place).or_insert_with(|| constant(text)).clone())
                }
                None => Value::from_outside(&value.value, self.meter),
            },
            Expr::GetAttr(of) => {
                let value = self.expression(&of.expr, scope)?;
                attribute(&value, of.name, self.meter)
            }
            Expr::GetItem(of) => {
                let value = self.expression(&of.expr, scope)?;
                let key = self.expression(&of.subscript_expr, scope)?;
                item(&value, &key, self.meter)
            }
            Expr::BinOp(operation) => self.operation(operation, scope),
            Expr::UnaryOp(operation) => {
                let value = self.expression(&operation.expr, scope)?;
                match operation.op {
                    UnaryOpKind::Not => Ok(Value::Bool(!value.truth())),
                    UnaryOpKind::Neg => negated(&value),
                }
            }
            Expr::Compare(_) => self.comparison(expression, scope),
            Expr::IfExpr(of) => {
                if self.expression(&of.test_expr, scope)?.truth() {
                    self.expression(&of.true_expr, scope)
                } else if let Some(other) = &of.false_expr {
                    self.expression(other, scope)
                } else {
                    Ok(self.meter.undefined(Missing::Because("an `if` without `else` gave nothing")))
                }
            }
            Expr::Filter(filter) => {
                let value = match &filter.expr {
                    Some(value) => self.expression(value, scope)?,
                    None => return Err(fault("a filter has no value before it")),
                };
                let args = self.args(&filter.args, scope)?;
                self.filter(filter.name, &value, args)
            }
            Expr::Test(test) => {
                let value = self.expression(&test.expr, scope)?;
                let args = self.args(&test.args, scope)?;
                self.test(test.name, value, args)
            }
            Expr::Call(_) => self.call_expression(expression, scope),
            Expr::Slice(_) => self.slice_expression(expression, scope),
            Expr::List(list) => {
                let items = self.all(&list.items, scope)?;
                self.meter.list(items)
            }
            Expr::Tuple(tuple) => {
                let items = self.all(&tuple.items, scope)?;
                self.meter.tuple(items)
            }
            Expr::Map(map) => {
                let mut dict = Dict::default();
                for (key, value) in map.keys.iter().zip(&map.values) {
                    let key = self.expression(key, scope)?;
                    let value = self.expression(value, scope)?;
                    insert(&mut dict, key, value, self.meter)?;
                }
                self.meter.dict(dict.entries)
            }
        }
    }

    fn all(&mut self, expressions: &'a [Expr<'a>], scope: &Rc<Scope<'a>>) -> Outcome<Vec<Value>> {
        expressions.iter().map(|expression| self.expression(expression, scope)).collect()
    }

    /// `a + b + c`: evaluates a chain of operators from the left with a loop, so that a long chain takes no
    /// stack.
    #[inline(never)]
    fn operation(&mut self, operation: &'a BinOp<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let mut row = vec![operation];
        let mut leftmost = &operation.left;
        while let Expr::BinOp(next) = leftmost {
            row.push(next);
            leftmost = &next.left;
        }
        self.meter.step(row.len())?;
        let mut value = self.expression(leftmost, scope)?;
        for operation in row.into_iter().rev() {
            let decided = match operation.op {
                BinOpKind::ScAnd => !value.truth(),
                BinOpKind::ScOr => value.truth(),
                _ => false,
            };
            if !decided {
                let right = self.expression(&operation.right, scope)?;
                value = self.binary(operation.op, &value, &right)?;
            }
        }
        Ok(value)
    }

    /// Applies an operator. Comparisons see decoded texts.
    #[inline(never)]
    fn binary(&self, operator: BinOpKind, a: &Value, b: &Value) -> Outcome<Value> {
        use BinOpKind::{Eq, Gt, Gte, In, Lt, Lte, Ne};
        match self.coding {
            Some(coding) if matches!(operator, Eq | Ne | Lt | Lte | Gt | Gte | In) => {
                binary(operator, &coding.plain(a, self.meter)?, &coding.plain(b, self.meter)?, self.meter)
            }
            _ => binary(operator, a, b, self.meter),
        }
    }

    #[inline(never)]
    fn test(&self, name: &str, value: Value, args: Args) -> Outcome<Value> {
        let (value, args) = match self.coding {
            Some(coding) => (coding.plain(&value, self.meter)?, coding.plain_args(&args, self.meter)?),
            None => (value, args),
        };
        checks::apply(name, &value, args, self.meter).map(Value::Bool)
    }

    #[inline(never)]
    fn filter(&self, name: &str, value: &Value, args: Args) -> Outcome<Value> {
        match self.coding {
            Some(coding) => coding.run(value, args, self.meter, &|value, args| filters::apply(name, value, args, self.meter)),
            None => filters::apply(name, value, args, self.meter),
        }
    }

    /// `a < b < c`
    #[inline(never)]
    fn comparison(&mut self, expression: &'a Expr<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let Expr::Compare(comparison) = expression else { return Ok(Value::None) };
        let mut left = self.expression(&comparison.expr, scope)?;
        for operation in &comparison.ops {
            let right = self.expression(&operation.expr, scope)?;
            let (operator, negates) = match operation.op {
                CompareOpKind::Eq => (BinOpKind::Eq, false),
                CompareOpKind::Ne => (BinOpKind::Ne, false),
                CompareOpKind::Lt => (BinOpKind::Lt, false),
                CompareOpKind::Lte => (BinOpKind::Lte, false),
                CompareOpKind::Gt => (BinOpKind::Gt, false),
                CompareOpKind::Gte => (BinOpKind::Gte, false),
                CompareOpKind::In => (BinOpKind::In, false),
                CompareOpKind::NotIn => (BinOpKind::In, true),
            };
            if self.binary(operator, &left, &right)?.truth() == negates {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    #[inline(never)]
    fn slice_expression(&mut self, expression: &'a Expr<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let Expr::Slice(of) = expression else { return Ok(Value::None) };
        let value = self.expression(&of.expr, scope)?;
        let mut bounds = [Value::None, Value::None, Value::None];
        for (bound, given) in bounds.iter_mut().zip([&of.start, &of.stop, &of.step]) {
            if let Some(given) = given {
                *bound = self.expression(given, scope)?;
            }
        }
        let [start, stop, step] = &bounds;
        match slice(&value, [start, stop, step], self.meter) {
            // jinja2 treats a slice of a constant like an item of it, and finds nothing.
            Err(_) if !is_sliceable(&value) && is_constant(&of.expr) => {
                Ok(self.meter.undefined(Missing::Because("a constant that has no slices is sliced")))
            }
            sliced => sliced,
        }
    }

    /// The arguments of a call.
    pub(super) fn args(&mut self, given: &'a [CallArg<'a>], scope: &Rc<Scope<'a>>) -> Outcome<Args> {
        let mut args = Args::default();
        let name = |args: &mut Args, name: Text, value: Value| {
            if args.named.iter().any(|(other, _)| other.as_str() == name.as_str()) {
                return Err(fault(format!("a call gives its argument `{}` twice", name.as_str())));
            }
            args.named.push((name, value));
            Ok(())
        };
        for arg in given {
            match arg {
                CallArg::Pos(value) => args.positional.push(self.expression(value, scope)?),
                CallArg::Kwarg(key, value) => {
                    let value = self.expression(value, scope)?;
                    name(&mut args, Text::new(*key), value)?;
                }
                CallArg::PosSplat(value) => {
                    let values = self.expression(value, scope)?;
                    args.positional.extend(loops::items(&values, self.meter)?);
                }
                CallArg::KwargSplat(value) => match self.expression(value, scope)? {
                    Value::Dict(dict) => {
                        for (key, value) in &dict.entries {
                            let Value::Str(key) = key else { return Err(fault("** has a key that is not a str")) };
                            self.meter.step(args.named.len())?;
                            name(&mut args, key.clone(), value.clone())?;
                        }
                    }
                    other => return Err(fault(format!("** takes a dict, not a value of type {}", other.kind()))),
                },
            }
        }
        Ok(args)
    }

    /// Applies a chain of filters to `caught`, the text of a block.
    pub(super) fn filtered(&mut self, filter: &'a Expr<'a>, caught: Value, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let Expr::Filter(of) = filter else { return self.expression(filter, scope) };
        self.meter.enter(1)?;
        let value = match &of.expr {
            Some(inner) => self.filtered(inner, caught, scope)?,
            None => caught,
        };
        self.meter.leave(1);
        let args = self.args(&of.args, scope)?;
        at(of.span(), self.filter(of.name, &value, args))
    }

    #[inline(never)]
    fn call_expression(&mut self, expression: &'a Expr<'a>, scope: &Rc<Scope<'a>>) -> Outcome<Value> {
        let Expr::Call(call) = expression else { return Ok(Value::None) };
        let callee = match &call.expr {
            Expr::GetAttr(of) => {
                let owner = self.expression(&of.expr, scope)?;
                if matches!(&owner, Value::Object(object) if matches!(&**object, Object::Blocks)) {
                    let args = self.args(&call.args, scope)?;
                    return self.call_named_block(of.name, args);
                }
                attribute(&owner, of.name, self.meter)?
            }
            other => self.expression(other, scope)?,
        };
        let args = self.args(&call.args, scope)?;
        self.call(&callee, args)
    }
}

/// Whether jinja2 evaluates the expression before it runs the template.
fn is_constant(expression: &Expr) -> bool {
    match expression {
        Expr::Const(_) => true,
        Expr::List(list) => list.items.iter().all(is_constant),
        Expr::Tuple(tuple) => tuple.items.iter().all(is_constant),
        Expr::Map(map) => map.keys.iter().chain(&map.values).all(is_constant),
        _ => false,
    }
}
