//! The variables of a template, and how a template sets them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use minijinja::machinery::ast::Expr;

use super::compare::insert;
use super::loops::items;
use super::run::Run;
use super::value::{Object, Outcome, Value, fault};

/// The variables of a block, and the scope of the block around it.
pub(super) struct Scope<'a> {
    names: RefCell<BTreeMap<&'a str, Value>>,
    parent: Option<Rc<Scope<'a>>>,
}

impl<'a> Scope<'a> {
    pub(super) fn inside(parent: &Rc<Scope<'a>>) -> Rc<Scope<'a>> {
        Rc::new(Scope { names: RefCell::default(), parent: Some(parent.clone()) })
    }

    /// The scope around all others.
    pub(super) fn outermost() -> Rc<Scope<'a>> {
        Rc::new(Scope { names: RefCell::default(), parent: None })
    }

    pub(super) fn clear(&mut self) {
        self.names.get_mut().clear();
    }

    pub(super) fn set(&self, name: &'a str, value: Value) {
        self.names.borrow_mut().insert(name, value);
    }

    /// The value of a variable, and in how many scopes the search looked.
    pub(super) fn find(&self, name: &str) -> (Option<Value>, usize) {
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

impl<'a> Run<'a, '_> {
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
            _ => return Err(fault("it assigns to something that is not a name")),
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
        Err(fault(format!("it sets an attribute of a value of type {}: only a namespace allows that", owner.kind())))
    }
}

/// Refuses a name that transformers' sandbox keeps out of namespaces.
pub(super) fn private(name: &str) -> Outcome<()> {
    if name.starts_with('_') { Err(fault(format!("`{name}`: an attribute of a namespace must not begin with _"))) } else { Ok(()) }
}
