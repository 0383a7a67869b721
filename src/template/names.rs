//! Finds the variables and the fields of variables that a template reads.

use std::collections::{BTreeSet, HashSet};

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Macro, Stmt};

/// The variables that a template reads, those of them that it reads before it sets them, and the fields that
/// it reads.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) read: BTreeSet<&'a str>,
    pub(super) unset: BTreeSet<&'a str>,
    /// Variables with their fields: `of.field`, `of['field']`, `of.get('field')`, `'field' in of`.
    pub(super) fields: BTreeSet<(&'a str, String)>,
    set: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn statements(&mut self, body: &'a [Stmt<'a>]) {
        body.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &'a Stmt<'a>) {
        match statement {
            Stmt::Template(of) => self.statements(&of.children),
            Stmt::EmitExpr(of) => self.expression(&of.expr),
            Stmt::ForLoop(of) => {
                self.expression(&of.iter);
                self.set.insert("loop");
                self.target(&of.target);
                of.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.statements(&of.body);
                self.statements(&of.else_body);
            }
            Stmt::IfCond(of) => {
                self.expression(&of.expr);
                self.statements(&of.true_body);
                self.statements(&of.false_body);
            }
            Stmt::WithBlock(of) => {
                for (target, value) in &of.assignments {
                    self.expression(value);
                    self.target(target);
                }
                self.statements(&of.body);
            }
            Stmt::Set(of) => {
                self.expression(&of.expr);
                self.target(&of.target);
            }
            Stmt::SetBlock(of) => {
                self.statements(&of.body);
                of.filter.iter().for_each(|filter| self.expression(filter));
                self.target(&of.target);
            }
            Stmt::FilterBlock(of) => {
                self.statements(&of.body);
                self.expression(&of.filter);
            }
            Stmt::AutoEscape(of) => {
                self.expression(&of.enabled);
                self.statements(&of.body);
            }
            Stmt::Block(of) => self.statements(&of.body),
            Stmt::Macro(of) => {
                self.set.insert(of.name);
                self.declared(of);
            }
            Stmt::CallBlock(of) => {
                self.expression(&of.call.expr);
                self.args(&of.call.args);
                self.declared(&of.macro_decl);
            }
            Stmt::EmitRaw(_)
            | Stmt::Continue(_)
            | Stmt::Break(_)
            | Stmt::Include(_)
            | Stmt::Import(_)
            | Stmt::FromImport(_)
            | Stmt::Extends(_)
            | Stmt::Do(_) => {}
        }
    }

    fn declared(&mut self, of: &'a Macro<'a>) {
        self.set.extend(["caller", "kwargs", "varargs"]);
        of.defaults.iter().for_each(|default| self.expression(default));
        of.args.iter().for_each(|argument| self.target(argument));
        self.statements(&of.body);
    }

    fn target(&mut self, target: &'a Expr<'a>) {
        match target {
            Expr::Var(name) => _ = self.set.insert(name.id),
            Expr::List(several) => several.items.iter().for_each(|one| self.target(one)),
            Expr::Tuple(several) => several.items.iter().for_each(|one| self.target(one)),
            other => self.expression(other),
        }
    }

    fn args(&mut self, args: &'a [CallArg<'a>]) {
        for arg in args {
            match arg {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                    self.expression(value);
                }
            }
        }
    }

    fn field(&mut self, of: &'a Expr<'a>, field: Option<&str>) {
        if let (Expr::Var(name), Some(field)) = (of, field) {
            self.fields.insert((name.id, field.to_owned()));
        }
    }

    fn expression(&mut self, expression: &'a Expr<'a>) {
        match expression {
            Expr::Var(name) => {
                self.read.insert(name.id);
                if !self.set.contains(name.id) {
                    self.unset.insert(name.id);
                }
            }
            Expr::Const(_) => {}
            Expr::Slice(of) => {
                self.expression(&of.expr);
                [&of.start, &of.stop, &of.step].into_iter().flatten().for_each(|bound| self.expression(bound));
            }
            Expr::UnaryOp(of) => self.expression(&of.expr),
            Expr::BinOp(of) => {
                if let BinOpKind::In = of.op {
                    self.field(&of.right, constant(&of.left));
                }
                self.expression(&of.left);
                self.expression(&of.right);
            }
            Expr::Compare(of) => {
                self.expression(&of.expr);
                of.ops.iter().for_each(|operation| self.expression(&operation.expr));
            }
            Expr::IfExpr(of) => {
                self.expression(&of.test_expr);
                self.expression(&of.true_expr);
                of.false_expr.iter().for_each(|other| self.expression(other));
            }
            Expr::Filter(of) => {
                of.expr.iter().for_each(|value| self.expression(value));
                self.args(&of.args);
            }
            Expr::Test(of) => {
                self.expression(&of.expr);
                self.args(&of.args);
            }
            Expr::GetAttr(of) => {
                self.field(&of.expr, Some(of.name));
                self.expression(&of.expr);
            }
            Expr::GetItem(of) => {
                self.field(&of.expr, constant(&of.subscript_expr));
                self.expression(&of.expr);
                self.expression(&of.subscript_expr);
            }
            Expr::Call(of) => {
                if let (Expr::GetAttr(method), Some(CallArg::Pos(field))) = (&of.expr, of.args.first()) {
                    self.field(&method.expr, constant(field));
                }
                self.expression(&of.expr);
                self.args(&of.args);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|item| self.expression(item)),
        }
    }
}

/// The text of a constant.
fn constant<'e>(expression: &'e Expr) -> Option<&'e str> {
    if let Expr::Const(of) = expression { of.value.as_str() } else { None }
}
