//! The types of options. Each reads itself from JSON and checks its range.

use std::collections::HashSet;

use serde_json::Value;

use super::table::{Kind, Range, Text, Type};
use crate::error::Result;

/// A sequence of tokens, and what is added to the logit of the last of them where the others precede it.
pub(super) type SequenceBias = (Vec<u32>, f32);

/// The largest number up to which JavaScript has every whole number: 2^53 - 1.
const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

#[cfg_attr(target_family = "wasm", allow(dead_code))]
const NUMBER: Type = Type { typescript: "number", text: Text::Number, many: false };

// Not inlined: a table calls these for each of its rows.
impl<T: Kind> Kind for Option<T> {
    const TYPE: Type = T::TYPE;

    fn read(option: &str, value: &Value, range: &Range) -> Result<Option<Self>> {
        Ok(T::read(option, value, range)?.map(Some))
    }

    #[inline(never)]
    fn outside(&self, range: &Range) -> Option<String> {
        self.as_ref().and_then(|value| value.outside(range))
    }

    #[inline(never)]
    fn each_id(&self, each: &mut dyn FnMut(u32)) {
        if let Some(value) = self {
            value.each_id(each);
        }
    }
}

impl Kind for usize {
    const TYPE: Type = NUMBER;

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<usize>> {
        Ok(count(value))
    }

    fn outside(&self, range: &Range) -> Option<String> {
        (!range.holds(*self as f64)).then(|| self.to_string())
    }

    fn json(&self) -> Value {
        (*self).into()
    }
}

impl Kind for f32 {
    const TYPE: Type = NUMBER;

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<f32>> {
        Ok(number(value))
    }

    fn outside(&self, range: &Range) -> Option<String> {
        (!range.holds(f64::from(*self))).then(|| self.to_string())
    }

    /// As it is written: 0.8, not the 0.800000011920929 that is nearest to it in f32.
    fn json(&self) -> Value {
        self.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    }
}

impl Kind for u64 {
    const TYPE: Type = NUMBER;

    /// A range of whole numbers takes nothing else; any other drops what is behind the point.
    fn read(_: &str, value: &Value, range: &Range) -> Result<Option<u64>> {
        let number = || value.as_f64().filter(|&number| range.holds(number)).map(|number| number as u64);
        Ok(if range.whole { whole(value) } else { number() })
    }
}

/// Texts: one, or a list of them.
impl Kind for Vec<String> {
    const TYPE: Type = Type { typescript: "string | string[]", text: Text::Text, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Vec<String>>> {
        Ok(list(value).iter().map(|text| text.as_str().map(String::from)).collect())
    }

    fn outside(&self, range: &Range) -> Option<String> {
        let many = (self.len() > range.len_max).then(|| format!("{} texts", self.len()));
        many.or_else(|| self.iter().any(String::is_empty).then(|| "an empty text".into()))
    }
}

/// Token ids: one, or a list of them.
impl Kind for Vec<u32> {
    const TYPE: Type = Type { typescript: "number | number[]", text: Text::Number, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Vec<u32>>> {
        Ok(list(value).iter().map(id).collect())
    }

    fn outside(&self, range: &Range) -> Option<String> {
        (self.len() > range.len_max).then(|| format!("{} ids", self.len()))
    }

    fn each_id(&self, each: &mut dyn FnMut(u32)) {
        self.iter().copied().for_each(each);
    }
}

/// What is added to the logits of tokens: an object whose names are token ids, as JavaScript writes numbers.
impl Kind for Vec<(u32, f32)> {
    const TYPE: Type = Type { typescript: "Record<number, number>", text: Text::Bias, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Vec<(u32, f32)>>> {
        let pair = |(name, bias): (&String, &Value)| {
            let token = name.parse().ok().filter(|token: &u32| token.to_string() == *name)?;
            Some((token, number(bias)?))
        };
        Ok(value.as_object().and_then(|object| object.iter().map(pair).collect()))
    }

    fn outside(&self, range: &Range) -> Option<String> {
        let many = (self.len() > range.len_max).then(|| format!("{} tokens", self.len()));
        let bias = || self.iter().find(|(_, bias)| !range.holds(f64::from(*bias)));
        many.or_else(|| bias().map(|(token, bias)| format!("{bias} for token {token}")))
    }

    fn each_id(&self, each: &mut dyn FnMut(u32)) {
        self.iter().for_each(|(token, _)| each(*token));
    }
}

/// Sequences of token ids.
impl Kind for Vec<Vec<u32>> {
    const TYPE: Type = Type { typescript: "number[][]", text: Text::Number, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Vec<Vec<u32>>>> {
        Ok(value.as_array().and_then(|sequences| sequences.iter().map(ids).collect()))
    }

    fn outside(&self, range: &Range) -> Option<String> {
        let empty = self.iter().any(Vec::is_empty).then(|| "an empty list in it".into());
        empty.or_else(|| too_many(self.iter(), range))
    }

    fn each_id(&self, each: &mut dyn FnMut(u32)) {
        self.iter().flatten().copied().for_each(each);
    }
}

/// Pairs `[sequence of token ids, number]`.
impl Kind for Vec<SequenceBias> {
    const TYPE: Type = Type { typescript: "[number[], number][]", text: Text::Number, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Vec<SequenceBias>>> {
        Ok(sequence_biases(value))
    }

    fn outside(&self, range: &Range) -> Option<String> {
        let whole = self.iter().all(|(ids, bias)| !ids.is_empty() && bias.is_finite());
        (!whole).then(|| "an entry without them".into()).or_else(|| too_many(self.iter().map(|(ids, _)| ids), range))
    }

    fn each_id(&self, each: &mut dyn FnMut(u32)) {
        self.iter().flat_map(|(ids, _)| ids).copied().for_each(each);
    }
}

/// A number of tokens and a factor; an empty list is a factor of 1, which changes nothing.
impl Kind for (usize, f32) {
    const TYPE: Type = Type { typescript: "[number, number] | []", text: Text::Number, many: true };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<(usize, f32)>> {
        Ok(match value.as_array().map(Vec::as_slice) {
            Some([]) => Some((0, 1.0)),
            Some([start, factor]) => count(start).zip(number(factor)),
            _ => None,
        })
    }

    fn outside(&self, range: &Range) -> Option<String> {
        (!range.holds(f64::from(self.1))).then(|| "another factor".into())
    }
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32)
}

/// A whole number that JavaScript can tell from its neighbours, also where it is written as 3.0.
fn whole(value: &Value) -> Option<u64> {
    let number = || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=SAFE_INTEGER).contains(number));
    value.as_u64().or_else(|| number().map(|number| number as u64))
}

/// A whole number; one beyond 32 bits is the largest of these.
fn count(value: &Value) -> Option<usize> {
    whole(value).map(|whole| whole.min(u64::from(u32::MAX)) as usize)
}

/// A token id.
pub(super) fn id(value: &Value) -> Option<u32> {
    whole(value).and_then(|id| u32::try_from(id).ok())
}

fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(id).collect()
}

/// One value, or a list of them.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), |list| list)
}

/// Of a sequence that is named twice the last entry is kept, as in a dict of Python.
fn sequence_biases(value: &Value) -> Option<Vec<SequenceBias>> {
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [sequence, bias] => Some((ids(sequence)?, number(bias)?)),
        _ => None,
    };
    let mut biases: Vec<SequenceBias> = value.as_array()?.iter().map(pair).collect::<Option<_>>()?;
    // From the end, so that the last entry of a sequence is the first one seen.
    let mut seen = HashSet::new();
    let kept: Vec<bool> = biases.iter().rev().map(|(sequence, _)| seen.insert(sequence.clone())).collect();
    let mut kept = kept.into_iter().rev();
    biases.retain(|_| kept.next().unwrap_or(true));
    Some(biases)
}

fn too_many<'s>(sequences: impl Iterator<Item = &'s Vec<u32>>, range: &Range) -> Option<String> {
    let ids: usize = sequences.map(Vec::len).sum();
    (ids > range.len_max).then(|| format!("{ids} ids"))
}
