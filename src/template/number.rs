//! Formats numbers by Python's format specification, and parses numbers as Python does.

use super::characters::{decimal_digit, is_space};
use super::format::WIDTH_MAX;
use super::value::{Fault, Outcome, fault};
use super::written;

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`
pub(super) struct Spec {
    pub(super) fill: char,
    pub(super) align: Option<char>,
    pub(super) sign: char,
    pub(super) alternate: bool,
    pub(super) width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    /// `\0` if the specification has none.
    pub(super) kind: char,
    /// Whether the specification asks for a sign.
    pub(super) signed: bool,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec { fill: ' ', align: None, sign: '-', alternate: false, width: 0, grouping: None, precision: None, kind: '\0', signed: false }
    }
}

fn broken() -> Box<Fault> {
    fault("a format specification is invalid")
}

impl Spec {
    pub(super) fn parse(text: &str) -> Outcome<Spec> {
        let mut spec = Spec::default();
        let mut rest: Vec<char> = text.chars().collect();
        rest.reverse();
        let is_align = |character: Option<&char>| character.is_some_and(|character| "<>=^".contains(*character));
        let filled = rest.len() > 1 && is_align(rest.get(rest.len() - 2));
        if filled {
            spec.fill = rest.pop().unwrap_or(' ');
            spec.align = rest.pop();
        } else if is_align(rest.last()) {
            spec.align = rest.pop();
        }
        if let Some(sign) = rest.pop_if(|sign| matches!(sign, '+' | '-' | ' ')) {
            (spec.sign, spec.signed) = (sign, true);
        }
        spec.alternate = rest.pop_if(|sign| *sign == '#').is_some();
        if rest.pop_if(|sign| *sign == '0').is_some() && !filled {
            spec.fill = '0';
            spec.align.get_or_insert('=');
        }
        let number = |rest: &mut Vec<char>| -> Outcome<Option<usize>> {
            let mut digits = String::new();
            while let Some(digit) = rest.pop_if(|digit| digit.is_ascii_digit()) {
                digits.push(digit);
            }
            if digits.is_empty() {
                return Ok(None);
            }
            digits.parse().ok().filter(|width| *width <= WIDTH_MAX).map(Some).ok_or_else(|| fault(super::limits::TOO_LARGE))
        };
        spec.width = number(&mut rest)?.unwrap_or(0);
        spec.grouping = rest.pop_if(|sign| matches!(sign, ',' | '_'));
        if rest.pop_if(|sign| *sign == '.').is_some() {
            spec.precision = Some(number(&mut rest)?.ok_or_else(broken)?);
        }
        spec.kind = rest.pop().unwrap_or('\0');
        if !rest.is_empty() || !"bcdeEfFgGnosxX%\0".contains(spec.kind) {
            return Err(broken());
        }
        Ok(spec)
    }

    /// Pads a text to the width of its field.
    pub(super) fn padded_text(&self, text: &str) -> String {
        let cut: String = self.precision.map_or_else(|| text.to_owned(), |precision| text.chars().take(precision).collect());
        self.padded("", &cut)
    }

    pub(super) fn text(&self, text: &str) -> Outcome<String> {
        if !matches!(self.kind, 's' | '\0')
            || self.signed
            || self.alternate
            || self.grouping.is_some()
            || self.align == Some('=') && self.fill != '0'
        {
            return Err(broken());
        }
        let align = self.align.filter(|align| *align != '=').unwrap_or('<');
        Ok(Spec { align: Some(align), ..*self }.padded_text(text))
    }

    fn padded(&self, sign: &str, digits: &str) -> String {
        let length = sign.chars().count() + digits.chars().count();
        let margin = self.width.saturating_sub(length);
        let fill = |count| std::iter::repeat_n(self.fill, count).collect::<String>();
        match self.align.unwrap_or('>') {
            '<' => [sign, digits, &fill(margin)].concat(),
            '^' => [&fill(margin / 2), sign, digits, &fill(margin - margin / 2)].concat(),
            '=' => [sign, &fill(margin), digits].concat(),
            _ => [&fill(margin), sign, digits].concat(),
        }
    }

    fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, '+') => "+",
            (false, ' ') => " ",
            _ => "",
        }
    }

    /// Puts the grouping sign between the digits of the integer part, `size` at a time.
    fn grouped(&self, digits: &str, size: usize) -> String {
        let Some(sign) = self.grouping else { return digits.to_owned() };
        let (whole, rest) = digits.split_at(digits.find(['.', 'e', 'E', '%']).unwrap_or(digits.len()));
        if !whole.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return digits.to_owned();
        }
        let mut whole = whole.to_owned();
        if self.fill == '0' && self.align == Some('=') {
            // The zeros that fill a field are grouped too.
            while grouped_len(whole.len(), size) + rest.len() < self.width {
                whole.insert(0, '0');
            }
        }
        let mut out = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index) % size == 0 {
                out.push(sign);
            }
            out.push(digit);
        }
        out + rest
    }

    /// `format(number, spec)` of an integer.
    pub(super) fn checked_whole(&self, number: i128) -> Outcome<String> {
        match self.kind {
            _ if self.precision.is_some() => Err(broken()),
            'c' => {
                let character = u32::try_from(number).ok().and_then(char::from_u32).ok_or_else(broken)?;
                Ok(Spec { align: Some(self.align.unwrap_or('<')), ..*self }.padded("", &character.to_string()))
            }
            's' => Err(broken()),
            'b' | 'o' | 'x' | 'X' if self.grouping == Some(',') => Err(broken()),
            _ => Ok(self.whole(number, 0)),
        }
    }

    /// `format(true, spec)` without a type, which formats a number too.
    pub(super) fn number_of_bool(&self, number: i128) -> Outcome<String> {
        self.checked_whole(number)
    }

    /// Formats an integer with at least `least` digits.
    pub(super) fn whole(&self, number: i128, least: usize) -> String {
        let magnitude = number.unsigned_abs();
        let (prefix, digits, size) = match self.kind {
            'x' => ("0x", format!("{magnitude:x}"), 4),
            'X' => ("0X", format!("{magnitude:X}"), 4),
            'o' => ("0o", format!("{magnitude:o}"), 4),
            'b' => ("0b", format!("{magnitude:b}"), 4),
            _ => ("", magnitude.to_string(), 3),
        };
        let sign = [self.sign_of(number < 0), if self.alternate { prefix } else { "" }].concat();
        let digits = format!("{digits:0>least$}");
        self.numeric(&sign, &self.grouped_for(&sign, &digits, size))
    }

    fn grouped_for(&self, sign: &str, digits: &str, size: usize) -> String {
        Spec { width: self.width.saturating_sub(sign.len()), ..*self }.grouped(digits, size)
    }

    fn numeric(&self, sign: &str, digits: &str) -> String {
        let align = self.align.unwrap_or(if self.fill == '0' { '=' } else { '>' });
        Spec { align: Some(align), ..*self }.padded(sign, digits)
    }

    /// `format(number, spec)` of a float.
    pub(super) fn float(&self, number: f64) -> Outcome<String> {
        let negative = number.is_sign_negative() && !number.is_nan();
        let magnitude = number.abs();
        let upper = matches!(self.kind, 'E' | 'F' | 'G');
        let precision = self.precision.unwrap_or(6);
        if precision > 300 {
            return Err(fault("a format asks for more than 300 digits"));
        }
        let point = |digits: String| if self.alternate && !digits.contains('.') { digits + "." } else { digits };
        let mut digits = if magnitude.is_nan() {
            "nan".to_owned()
        } else if magnitude.is_infinite() {
            "inf".to_owned()
        } else {
            match self.kind {
                'f' | 'F' => point(format!("{magnitude:.precision$}")),
                '%' => format!("{:.precision$}", magnitude * 100.0),
                'e' | 'E' => exponent(magnitude, precision),
                'g' | 'G' | 'n' => general(magnitude, precision.max(1), self.alternate, false),
                '\0' => match self.precision {
                    Some(precision) => general(magnitude, precision.max(1), false, true),
                    None => written::float(magnitude),
                },
                _ => return Err(broken()),
            }
        };
        if self.kind == '%' {
            digits.push('%');
        }
        if upper {
            digits = digits.to_uppercase();
        }
        let sign = self.sign_of(negative);
        Ok(self.numeric(sign, &self.grouped_for(sign, &digits, 3)))
    }
}

fn grouped_len(digits: usize, size: usize) -> usize {
    digits + (digits - 1) / size
}

/// `1.5e+00`
fn exponent(magnitude: f64, precision: usize) -> String {
    let text = format!("{magnitude:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Formats `precision` significant digits, with an exponent where that is shorter, and without zeros at the
/// end.
fn general(magnitude: f64, precision: usize, keep_zeros: bool, point: bool) -> String {
    let scientific = exponent(magnitude, precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let limit = precision as i32;
    let trim = |digits: &str| {
        if keep_zeros || !digits.contains('.') { digits.to_owned() } else { digits.trim_end_matches('0').trim_end_matches('.').to_owned() }
    };
    if power < -4 || power >= limit - i32::from(point) {
        let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "+00"));
        return format!("{}e{power}", trim(digits));
    }
    let places = (limit - 1 - power).max(0) as usize;
    let digits = trim(&format!("{magnitude:.places$}"));
    if point && !digits.contains('.') { digits + ".0" } else { digits }
}

/// The integer part of a float.
pub(super) fn truncated(number: f64) -> Outcome<i128> {
    if number.is_nan() || number.abs() >= 1e38 {
        return Err(fault("a float is too large for an int of 127 bits"));
    }
    Ok(number as i128)
}

/// Strips blanks around a number, removes `_` between digits, and turns all digits into those of ASCII.
fn plain_digits(text: &str) -> Option<String> {
    // Python strips C's blanks from an ASCII text, and its own from any other.
    let is_blank = |character: char| if text.is_ascii() { matches!(character, '\t'..='\r' | ' ') } else { is_space(character) };
    let trimmed = text.trim_matches(is_blank);
    let characters: Vec<char> = trimmed.chars().collect();
    let mut out = String::new();
    for (at, &character) in characters.iter().enumerate() {
        if character == '_' {
            let beside = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_ascii_alphanumeric());
            if !beside(at.checked_sub(1)) || !beside(Some(at + 1)) {
                return None;
            }
        } else if character.is_ascii() {
            out.push(character);
        } else {
            out.push(char::from_digit(decimal_digit(character)?, 10)?);
        }
    }
    Some(out)
}

/// Python's `int(text, base)`; `None` if the text is not a number.
///
/// Errors: a number that is too large, an invalid base.
pub(super) fn int(text: &str, base: i128) -> Outcome<Option<i128>> {
    if base != 0 && !(2..=36).contains(&base) {
        return Ok(None);
    }
    if text.len() > 1000 {
        return Err(fault("it reads a number from a text of more than 1000 bytes"));
    }
    let Some(text) = plain_digits(text) else { return Ok(None) };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed =
        [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(prefix, of)| lower.starts_with(prefix) && (base == 0 || base == *of));
    let (digits, base) = match prefixed {
        Some((_, of)) => (&lower[2..], of),
        None if base == 0 && lower.len() > 1 && lower.starts_with('0') && lower.bytes().any(|digit| digit != b'0') => return Ok(None),
        None => (&lower[..], if base == 0 { 10 } else { base }),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base as u32)) {
        return Ok(None);
    }
    let number = i128::from_str_radix(digits, base as u32).map_err(|_| fault("it reads an int of more than 127 bits"))?;
    Ok(Some(if negative { -number } else { number }))
}

/// Python's `float(text)`; `None` if the text is not a number.
pub(super) fn float(text: &str) -> Option<f64> {
    if text.len() > 1000 {
        return None;
    }
    let text = plain_digits(text)?;
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    if !matches!(unsigned.as_str(), "inf" | "infinity" | "nan") && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().ok()
}
