//! What a chat template expects of Python and minijinja does otherwise: `tojson`, `strftime`, slices that go backwards, and the `generation` tag of
//! transformers.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// Deeper than any tool description, and no danger to the stack.
const JSON_DEPTH: usize = 64;

/// The widest indentation of a level.
const INDENT_MAX: usize = 64;

/// A slice whose step is below zero; `None` for any other, which minijinja takes as Python does.
///
/// Its own of these (3.0.5) looks for what is not there where nothing is left, and takes a stop at 0 for none.
pub(super) fn sliced_backwards(value: &Value, start: &Value, stop: &Value, step: &Value) -> Option<Value> {
    let step = step.as_i64().filter(|&step| step < 0)?;
    let bound = |at: &Value| if at.is_none() { Some(None) } else { at.as_i64().map(Some) };
    let (start, stop) = (bound(start)?, bound(stop)?);
    let picked = |len: usize| {
        let len = len as i64;
        let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at }.clamp(-1, len - 1);
        let (first, end) = (start.map_or(len - 1, place), stop.map_or(-1, place));
        std::iter::successors(Some(first), move |at| at.checked_add(step)).take_while(move |&at| at > end).map(|at| at as usize)
    };
    if let Some(text) = value.as_str() {
        let characters: Vec<char> = text.chars().collect();
        return Some(Value::from(picked(characters.len()).map(|at| characters[at]).collect::<String>()));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return None;
    }
    let items: Vec<Value> = value.try_iter().ok()?.collect();
    let picked: Vec<Value> = picked(items.len()).map(|at| items[at].clone()).collect();
    Some(if value.is_tuple() { Value::from(Tuple::from(picked)) } else { Value::from(picked) })
}

/// A moment, passed in because the engine has no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Minutes that the local time is ahead of UTC.
    pub utc_offset_minutes: i32,
}

impl Now {
    /// The local time as Python's `strftime` writes it in the C locale; directives that are not here stand as they are.
    pub fn strftime(&self, format: &str) -> String {
        const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
        const MONTHS: [&str; 12] =
            ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
        let local = self.unix_seconds.saturating_add(i64::from(self.utc_offset_minutes) * 60);
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let weekday = DAYS[days.rem_euclid(7) as usize];
        let month_name = MONTHS[(month - 1) as usize];
        let year_day = days - first_day(year) + 1;
        let mut out = String::new();
        let mut characters = format.chars().peekable();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let bare = characters.next_if_eq(&'-').is_some();
            let number = |value: i64, width: usize| if bare { value.to_string() } else { format!("{value:0width$}") };
            match characters.next() {
                Some('Y') => out += &number(year, 4),
                Some('y') => out += &number(year.rem_euclid(100), 2),
                Some('m') => out += &number(month, 2),
                Some('d') => out += &number(day, 2),
                Some('e') => out += &format!("{day:2}"),
                Some('j') => out += &number(year_day, 3),
                Some('H') => out += &number(hour, 2),
                Some('I') => out += &number(hour12, 2),
                Some('M') => out += &number(minute, 2),
                Some('S') => out += &number(second, 2),
                Some('p') => out += if hour < 12 { "AM" } else { "PM" },
                Some('A') => out += weekday,
                Some('a') => out += &weekday[..3],
                Some('B') => out += month_name,
                Some('b' | 'h') => out += &month_name[..3],
                Some('F') => out += &format!("{year:04}-{month:02}-{day:02}"),
                Some('T') => out += &format!("{hour:02}:{minute:02}:{second:02}"),
                Some('D') => out += &format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
                Some('R') => out += &format!("{hour:02}:{minute:02}"),
                Some('%') => out.push('%'),
                Some(other) => {
                    out += if bare { "%-" } else { "%" };
                    out.push(other);
                }
                None => out.push('%'),
            }
        }
        out
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days from 0000-03-01
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100); // from 1 March
    let month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The day on which a year begins, counted from 1970-01-01.
fn first_day(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 719_162
}

/// `{% generation %}` tells transformers which part of a text is the assistant's; what is inside is rendered as it is.
pub(super) fn without_generation_tags(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        out += before;
        rest = tag;
        let word_at = tag.len() - tag.trim_start_matches(['-', '+']).trim_start().len();
        for (word, plain) in [("generation", "if true"), ("endgeneration", "endif")] {
            if let Some(after) = tag[word_at..].strip_prefix(word)
                && after.trim_start().trim_start_matches(['-', '+']).starts_with("%}")
            {
                out += &tag[..word_at];
                out += plain;
                rest = after;
            }
        }
    }
    out + rest
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it.
pub(super) fn tojson(value: &Value, indent: Option<Value>, args: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => args.get::<Option<Value>>("indent")?,
    };
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) => {
            let indent = indent
                .as_str()
                .map_or_else(|| Ok(" ".repeat(usize::try_from(indent.clone())?.min(INDENT_MAX + 1))), |text| Ok::<_, Error>(text.into()))?;
            if indent.len() > INDENT_MAX {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("JSON is indented by at most {INDENT_MAX} characters")));
            }
            Some(indent)
        }
        None => None,
    };
    let separators = args.get::<Option<Vec<String>>>("separators")?.unwrap_or_default();
    let between = if indent.is_some() { "," } else { ", " };
    let [item, key] = separators.try_into().unwrap_or([between.into(), ": ".into()]);
    let sort_keys = args.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let ascii = args.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    args.assert_all_used()?;
    let mut json = Json { out: String::new(), indent, item, key, sort_keys, ascii };
    json.value(value, 0)?;
    Ok(Value::from_safe_string(json.out))
}

struct Json {
    out: String,
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
    ascii: bool,
}

impl Json {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > JSON_DEPTH {
            return Err(Error::new(ErrorKind::BadSerialization, "the value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.out += "null",
            ValueKind::Undefined => return Err(Error::new(ErrorKind::BadSerialization, "an undefined value is not JSON")),
            ValueKind::Bool => self.out += if value.is_true() { "true" } else { "false" },
            ValueKind::Number if value.is_integer() => self.out += &value.to_string(),
            ValueKind::Number => self.float(f64::try_from(value.clone())?),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.items('{', '}', keys, depth, |json, key| {
                    match key.as_str() {
                        Some(key) => json.string(key),
                        None => {
                            json.out.push('"');
                            json.value(key, depth + 1)?;
                            json.out.push('"');
                        }
                    }
                    json.out += &json.key.clone();
                    json.value(&value.get_item(key)?, depth + 1)
                })?;
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect();
                self.items('[', ']', items, depth, |json, item| json.value(item, depth + 1))?;
            }
            _ => self.string(&value.to_string()),
        }
        Ok(())
    }

    fn items(
        &mut self,
        open: char,
        close: char,
        items: Vec<Value>,
        depth: usize,
        write: impl Fn(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out += &self.item.clone();
            }
            self.line(depth + 1);
            write(self, item)?;
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out += &indent.repeat(depth);
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out += "\\\"",
                '\\' => self.out += "\\\\",
                '\n' => self.out += "\\n",
                '\r' => self.out += "\\r",
                '\t' => self.out += "\\t",
                '\u{8}' => self.out += "\\b",
                '\u{C}' => self.out += "\\f",
                '\0'..='\u{1F}' => self.out += &format!("\\u{:04x}", u32::from(character)),
                '\u{7F}'.. if self.ascii => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out += &format!("\\u{unit:04x}");
                    }
                }
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
    }

    /// A float as Python's `repr` has it: the shortest digits, an exponent below 1e-4 and from 1e16.
    fn float(&mut self, value: f64) {
        let magnitude = value.abs();
        self.out += &if value.is_nan() {
            "NaN".to_owned()
        } else if value.is_infinite() {
            if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
        } else if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            format!("{digits}e{sign}{exponent:0>2}")
        } else {
            let text = value.to_string();
            if text.contains('.') { text } else { text + ".0" }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::ChatTemplate;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn dates_are_those_of_python() {
        // datetime.fromtimestamp(seconds, timezone(timedelta(minutes=offset))).strftime(...) of Python 3.13
        let cases = [
            (0, 0, "1970-01-01 00:00:00 Thu Thursday 001 70 12 AM"),
            (-1, 0, "1969-12-31 23:59:59 Wed Wednesday 365 69 11 PM"),
            (951_782_400, 0, "2000-02-29 00:00:00 Tue Tuesday 060 00 12 AM"),
            (951_868_799, 330, "2000-03-01 05:29:59 Wed Wednesday 061 00 05 AM"),
            (1_735_689_599, 0, "2024-12-31 23:59:59 Tue Tuesday 366 24 11 PM"),
            (1_735_689_599, -720, "2024-12-31 11:59:59 Tue Tuesday 366 24 11 AM"),
            (4_107_542_400, 0, "2100-03-01 00:00:00 Mon Monday 060 00 12 AM"),
        ];
        for (unix_seconds, utc_offset_minutes, expected) in cases {
            let now = Now { unix_seconds, utc_offset_minutes };
            assert_eq!(now.strftime("%Y-%m-%d %H:%M:%S %a %A %j %y %I %p"), expected);
        }
    }

    #[test]
    fn unknown_directives_stand_as_they_are() {
        let now = Now { unix_seconds: 0, utc_offset_minutes: 0 };
        assert_eq!(now.strftime("%Q %-Q 100%% é% %-d %-m/%y %B%"), "%Q %-Q 100% é% 1 1/70 January%");
    }

    #[test]
    fn no_moment_is_too_far_away() {
        for unix_seconds in [i64::MIN, i64::MAX] {
            assert!(!Now { unix_seconds, utc_offset_minutes: i32::MIN }.strftime("%c %Y %j %A").is_empty());
        }
    }

    #[test]
    fn json_is_that_of_python() {
        // json.dumps of Python 3.13
        let mut engine = minijinja::Environment::new();
        engine.add_filter("tojson", tojson);
        let cases = [
            ("[]|tojson", "[]"),
            ("{}|tojson(indent=2)", "{}"),
            ("[1, [2, {}]]|tojson(indent=1)", "[\n 1,\n [\n  2,\n  {}\n ]\n]"),
            ("{'b': 1, 'a': 2}|tojson", r#"{"b": 1, "a": 2}"#),
            ("{'b': 1, 'a': 2}|tojson(sort_keys=true)", r#"{"a": 2, "b": 1}"#),
            ("{'b': 1, 'a': 2}|tojson(separators=[',', ':'])", r#"{"b":1,"a":2}"#),
            ("{1: 2, true: none}|tojson", r#"{"1": 2, "true": null}"#),
            ("'<>&\\'é🙂'|tojson", r#""<>&'é🙂""#),
            ("'é🙂'|tojson(ensure_ascii=true)", r#""\u00e9\ud83d\ude42""#),
            (
                "[0.1, 1.0, 100.0, 1e15, 1e16, 1.5e300, 0.0001, 0.00001, 123456.789]|tojson",
                "[0.1, 1.0, 100.0, 1000000000000000.0, 1e+16, 1.5e+300, 0.0001, 1e-05, 123456.789]",
            ),
        ];
        for (expression, expected) in cases {
            assert_eq!(engine.render_str(&format!("{{{{ {expression} }}}}"), ()).expect(expression), expected, "{expression}");
        }
        let control = engine.render_str("{{ text|tojson }}", minijinja::context! { text => "\u{0}\u{8}\u{c}\u{1f}\u{7f}" });
        assert_eq!(control.expect("JSON"), "\"\\u0000\\b\\f\\u001f\u{7f}\"");
    }

    #[test]
    fn generation_tags_vanish_and_nothing_else_does() {
        assert_eq!(without_generation_tags("a{%- generation -%}b{% endgeneration %}c"), "a{%- if true -%}b{% endif %}c");
        assert_eq!(without_generation_tags("{%generation%}b{%+ endgeneration +%}"), "{%if true%}b{%+ endif +%}");
        for unchanged in ["{% if generation %}", "{% generations %}", "generation {% set generation = 1 %}", "{%", "{% generation"] {
            assert_eq!(without_generation_tags(unchanged), unchanged);
        }
    }

    #[test]
    fn slices_are_those_of_python() {
        // Found by fuzzing: minijinja panicked at `[][::-1]`. The values are Python 3.11's, for "abcde".
        let cases = [
            ("::-1", "edcba"),
            ("3::-2", "db"),
            ("3:1:-1", "dc"),
            ("3:0:-1", "dcb"),
            (":-5:-1", "edcb"),
            (":-6:-1", "edcba"),
            ("-9::-1", ""),
            ("9:-3:-1", "ed"),
            ("1:3:-1", ""),
            ("0::-1", "a"),
            ("1:3:9223372036854775807", "b"),
            ("::-9223372036854775807", "e"),
            ("1:-1", "bcd"),
            ("::2", "ace"),
        ];
        for (slice, want) in cases {
            let source = format!(
                "{{{{ 'abcde'[{slice}] }}}},{{{{ ('abcde'|list)[{slice}]|join }}}},{{{{ ''[{slice}] }}}}{{{{ [][{slice}] }}}}{{{{ ()[{slice}] }}}}"
            );
            let template = ChatTemplate::from_files(None, Some(&source)).expect(slice);
            assert_eq!(template.render(&[], false, &[], None).expect(slice).text, format!("{want},{want},[]()"), "{slice}");
        }
    }
}
