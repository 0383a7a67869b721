//! Flags made from the table of options, with their names, values and help.

use std::marker::PhantomData;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use fireside::internals::{Row, Text};
use fireside::{LoadOptions, Options};
use serde_json::{Map, Value};

/// A table of options.
pub trait Table {
    /// Its rows.
    const ROWS: &[Row];

    /// Errors: if a value is invalid.
    fn check(options: &Value) -> fireside::Result<()>;
}

/// The options of a generation.
pub struct Sampling;

/// The options of loading a model.
pub struct Loading;

impl Table for Sampling {
    const ROWS: &[Row] = Options::ROWS;

    fn check(options: &Value) -> fireside::Result<()> {
        Options::from_json(options).map(|_| ())
    }
}

impl Table for Loading {
    const ROWS: &[Row] = LoadOptions::ROWS;

    fn check(options: &Value) -> fireside::Result<()> {
        LoadOptions::from_json(options).map(|_| ())
    }
}

/// The values given for the options of a table.
#[derive(Clone)]
pub struct Flags<T>(Map<String, Value>, PhantomData<T>);

impl<T> Flags<T> {
    /// The options as a JSON object.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// The rows that have a flag, with the flag and the name of its value.
fn flags<T: Table>() -> impl Iterator<Item = (&'static Row, &'static str, &'static str)> {
    T::ROWS.iter().filter_map(|row| row.help.flag.map(|(flag, value)| (row, flag, value)))
}

impl<T: Table> Args for Flags<T> {
    fn augment_args(command: Command) -> Command {
        flags::<T>().fold(command, |command, (row, flag, value)| {
            let arg =
                Arg::new(flag).value_name(value).help(row.flag_help()).allow_negative_numbers(row.range.min < 0.0 || !row.range.whole);
            let arg = if flag.len() == 1 { arg.short(flag.chars().next().expect("a letter")) } else { arg.long(flag) };
            let action = if row.help.value.many { ArgAction::Append } else { ArgAction::Set };
            command.arg(arg.action(action).value_parser(move |text: &str| parse::<T>(row, text)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Table> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut given = Flags(Map::new(), PhantomData);
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for (row, flag, _) in flags::<T>() {
            let Some(values) = matches.get_many::<Value>(flag) else { continue };
            let values: Vec<Value> = values.cloned().collect();
            let value = match (row.help.value.text, row.help.value.many) {
                (Text::Bias, _) => Value::Object(values.into_iter().filter_map(|pair| pair.as_object().cloned()).flatten().collect()),
                (_, true) => Value::Array(values),
                (_, false) => values.into_iter().next_back().unwrap_or_default(),
            };
            self.0.insert(row.name(), value);
        }
        Ok(())
    }
}

/// Reads the value of a flag. A value of another kind is a wrong argument. A number out of range is refused
/// later, with the engine's own error.
fn parse<T: Table>(row: &Row, text: &str) -> Result<Value, String> {
    let number = |text: &str| match text.parse::<u64>() {
        Ok(whole) => Some(Value::from(whole)),
        Err(_) => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
    };
    let value = match row.help.value.text {
        Text::Number => number(text).ok_or("a number is expected")?,
        Text::Bias => {
            let pair = text.split_once('=').and_then(|(id, bias)| Some((id.parse::<u32>().ok()?, number(bias)?)));
            let (id, bias) = pair.ok_or("a token id and a number are expected, like 42=-100")?;
            Map::from_iter([(id.to_string(), bias)]).into()
        }
        Text::Text | Text::NumberOrAuto => text.into(),
    };
    if row.help.value.text == Text::Text || row.help.value.many && row.help.value.text == Text::Number {
        T::check(&Value::Object(Map::from_iter([(row.name(), value.clone())]))).map_err(|error| error.to_string())?;
    }
    Ok(value)
}
