//! The arguments of a call, positional and named.

use super::limits::Meter;
use super::value::{Outcome, Text, Value, fault};
use super::written;

/// The arguments as the template gives them.
#[derive(Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Value>,
    pub(super) named: Vec<(Text, Value)>,
}

impl Args {
    /// Binds the arguments to `names`, the parameters. The first `required` parameters must be given. A
    /// parameter whose name begins with `_` is positional only.
    ///
    /// Errors: too many or too few arguments, an unknown name, an argument that is given twice.
    pub(super) fn bind<const N: usize>(self, what: &str, names: [&str; N], required: usize) -> Outcome<Bound<N>> {
        if self.positional.len() > N {
            return Err(fault(format!("{what} takes at most {N} arguments, and gets {}", self.positional.len())));
        }
        let mut values = [const { None }; N];
        for (slot, value) in values.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let name = name.as_str();
            let known = names.iter().position(|other| *other == name).filter(|_| !name.starts_with('_'));
            let Some(at) = known else { return Err(fault(format!("{what} has no argument named `{name}`"))) };
            if values[at].replace(value).is_some() {
                return Err(fault(format!("{what} gets its argument `{name}` twice")));
            }
        }
        if let Some(at) = (0..required).find(|&at| values[at].is_none()) {
            return Err(fault(format!("{what} lacks its argument `{}`", names[at].trim_start_matches('_'))));
        }
        Ok(Bound(values))
    }

    /// Binds no arguments.
    ///
    /// Errors: there are some.
    pub(super) fn none(self, what: &str) -> Outcome<()> {
        self.bind(what, [], 0).map(|_| ())
    }
}

/// The arguments in the order of the parameters.
pub(super) struct Bound<const N: usize>(pub(super) [Option<Value>; N]);

impl<const N: usize> Bound<N> {
    /// The argument; `None` if it is missing or `none`.
    pub(super) fn some(&self, at: usize) -> Option<&Value> {
        self.0[at].as_ref().filter(|value| !matches!(value, Value::None))
    }

    pub(super) fn value(&self, at: usize) -> Value {
        self.0[at].clone().unwrap_or(Value::None)
    }

    pub(super) fn truth(&self, at: usize) -> bool {
        self.0[at].as_ref().is_some_and(Value::truth)
    }

    /// The argument as an integer.
    pub(super) fn int(&self, at: usize, default: i128) -> Outcome<i128> {
        match &self.0[at] {
            None => Ok(default),
            Some(Value::Undefined(missing)) => Err(fault(missing.to_string())),
            Some(value) => value.as_int().ok_or_else(|| fault(format!("an int is needed, not a value of type {}", value.kind()))),
        }
    }

    /// The argument, which must be a str.
    pub(super) fn str(&self, at: usize) -> Outcome<Text> {
        match &self.0[at] {
            Some(Value::Str(text)) => Ok(text.clone()),
            other => Err(fault(format!("a str is needed, not a value of type {}", other.as_ref().map_or("NoneType", Value::kind)))),
        }
    }

    /// The argument as `str(value)` gives it.
    pub(super) fn text(&self, at: usize, default: &'static str, meter: &Meter) -> Outcome<Text> {
        self.0[at].as_ref().map_or(Ok(Text::fixed(default)), |value| written::text(value, meter))
    }
}
