//! Splits, strips, replaces and joins texts as Python's `str` does.

use super::characters::is_space;
use super::limits::Meter;
use super::value::{Outcome, Text, Value, fault};

/// Python's `str.strip`, `lstrip` and `rstrip`: removes white space, or any of `chars`.
pub(super) fn strip<'t>(of: &'t str, chars: Option<&str>, name: &str, meter: &Meter) -> Outcome<&'t str> {
    if let Some(chars) = chars {
        meter.step(of.len().saturating_mul(chars.len()) / 64)?;
    }
    let off = |character: char| chars.map_or_else(|| is_space(character), |chars| chars.contains(character));
    Ok(match name {
        "lstrip" => of.trim_start_matches(off),
        "rstrip" => of.trim_end_matches(off),
        _ => of.trim_matches(off),
    })
}

pub(super) fn not_empty(separator: &str) -> Outcome<&str> {
    if separator.is_empty() { Err(fault("a separator is empty")) } else { Ok(separator) }
}

pub(super) fn listed(parts: Vec<&str>, meter: &Meter) -> Outcome<Value> {
    meter.room(parts.len())?;
    let parts = parts.into_iter().map(|part| meter.text(part)).collect::<Outcome<Vec<_>>>()?;
    meter.list(parts)
}

/// Python's `str.split` and, from the end, `str.rsplit`.
pub(super) fn split<'t>(of: &'t str, separator: Option<&str>, max: usize, from_end: bool, meter: &Meter) -> Outcome<Value> {
    let parts: Vec<&'t str> = match separator {
        Some(separator) => {
            let separator = not_empty(separator)?;
            let count = of.matches(separator).count().min(max);
            meter.room(count)?;
            if from_end {
                let mut parts: Vec<&str> = of.rsplitn(count + 1, separator).collect();
                parts.reverse();
                parts
            } else {
                of.splitn(count + 1, separator).collect()
            }
        }
        None => {
            // The part that remains after the last cut keeps the blanks at its far end.
            let mut parts = Vec::new();
            let trimmed = |rest: &'t str| if from_end { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
            let mut rest = trimmed(of);
            while !rest.is_empty() {
                let cut = if parts.len() >= max {
                    None
                } else if from_end {
                    rest.char_indices().rev().find(|(_, character)| is_space(*character)).map(|(at, space)| at + space.len_utf8())
                } else {
                    rest.find(is_space)
                };
                let (part, next) = match cut {
                    None => (rest, ""),
                    Some(at) if from_end => (&rest[at..], &rest[..at]),
                    Some(at) => (&rest[..at], &rest[at..]),
                };
                parts.push(part);
                rest = trimmed(next);
            }
            if from_end {
                parts.reverse();
            }
            parts
        }
    };
    listed(parts, meter)
}

/// Python's `str.replace`; a negative count means all.
pub(super) fn replace(of: &str, old: &str, new: &str, count: i128, meter: &Meter) -> Outcome<Value> {
    meter.walk(of.len())?;
    let found = if old.is_empty() { of.chars().count() + 1 } else { of.matches(old).count() };
    let found = usize::try_from(count).map_or(found, |count| found.min(count));
    if found == 0 {
        return meter.text(of);
    }
    meter.fits((of.len() - if old.is_empty() { 0 } else { found * old.len() }).saturating_add(found.saturating_mul(new.len())))?;
    meter.step(found)?;
    meter.text(of.replacen(old, new, found))
}

/// Joins texts.
pub(super) fn join(separator: &str, parts: &[Text], meter: &Meter) -> Outcome<Value> {
    let total = parts.iter().map(|part| part.as_str().len()).sum::<usize>();
    meter.fits(total.saturating_add(separator.len().saturating_mul(parts.len())))?;
    let mut out = String::with_capacity(total);
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(part.as_str());
    }
    meter.text(out)
}
