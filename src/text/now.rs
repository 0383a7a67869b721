//! The time for chat templates: Python's `strftime` in the C locale, as glibc formats it.
//!
//! Templates are written for Python, so the output must equal glibc's, with its flags, widths and modifiers
//! (`%-d`, `%10Y`, `%Ey`).

/// A point in time. The caller passes it, because the engine has no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// How far local time is ahead of UTC. Units: minutes.
    pub utc_offset_minutes: i32,
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// The limit on the width of a field.
const WIDTH_MAX: usize = 1000;

/// The parts of a date and time.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// 0 is Sunday.
    weekday: i64,
    /// From 0.
    year_day: i64,
    unix_seconds: i64,
}

/// How a directive pads its field.
#[derive(Clone, Copy, PartialEq)]
enum Fill {
    None,
    With(char),
}

impl Now {
    /// Formats the local time.
    ///
    /// Errors: names a directive that glibc does not have.
    pub fn strftime(&self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        self.parts().write(format, 0, &mut out)?;
        Ok(out)
    }

    fn parts(&self) -> Parts {
        let local = self.unix_seconds.saturating_add(i64::from(self.utc_offset_minutes) * 60);
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        Parts {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            weekday: (days + 4).rem_euclid(7),
            year_day: days - first_day(year),
            unix_seconds: self.unix_seconds,
        }
    }
}

impl Parts {
    fn write(&self, format: &str, depth: usize, out: &mut String) -> Result<(), String> {
        let mut characters = format.chars().peekable();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let mut directive = String::from("%");
            let (mut fill, mut upper, mut swap, mut width) = (None, false, false, None);
            while let Some(flag) = characters.next_if(|flag| "_-0^#+".contains(*flag)) {
                directive.push(flag);
                match flag {
                    '_' => fill = Some(Fill::With(' ')),
                    '-' => fill = Some(Fill::None),
                    '0' => fill = Some(Fill::With('0')),
                    '^' => upper = true,
                    '#' => swap = true,
                    _ => return Err(unknown(&directive)),
                }
            }
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                directive.push(digit);
                width = Some(width.unwrap_or(0usize).saturating_mul(10) + digit.to_digit(10).unwrap_or(0) as usize);
            }
            if width.is_some_and(|width| width > WIDTH_MAX) {
                return Err(format!("strftime is asked for a field wider than {WIDTH_MAX} by {directive}"));
            }
            // E and O choose alternative numerals. The C locale has no others.
            let modifier = characters.next_if(|modifier| matches!(modifier, 'E' | 'O'));
            directive.extend(modifier);
            let Some(kind) = characters.next() else { return Err(unknown(&directive)) };
            directive.push(kind);
            let takes = match modifier {
                Some('E') => "cCxXyY",
                Some(_) => "BbdeHImMSuUVwWy",
                None => "",
            };
            if modifier.is_some() && !takes.contains(kind) {
                return Err(unknown(&directive));
            }
            let mut piece = String::new();
            let number = |value: i64, digits: usize, usual: char| match fill.unwrap_or(Fill::With(usual)) {
                Fill::None => padded(value, width.unwrap_or(0), ' '),
                Fill::With(filler) => padded(value, width.unwrap_or(digits).max(digits), filler),
            };
            let hour12 = (self.hour + 11) % 12 + 1;
            let mut text = |text: &str, swapped: fn(&str) -> String| piece += &if swap { swapped(text) } else { text.to_owned() };
            let is_number = match kind {
                'Y' => Some(number(self.year, 1, '0')),
                'C' => Some(number(self.year.div_euclid(100), 2, '0')),
                'y' => Some(number(self.year.rem_euclid(100), 2, '0')),
                'G' => Some(number(self.iso_week().0, 1, '0')),
                'g' => Some(number(self.iso_week().0.rem_euclid(100), 2, '0')),
                'V' => Some(number(self.iso_week().1, 2, '0')),
                'U' => Some(number((self.year_day + 7 - self.weekday) / 7, 2, '0')),
                'W' => Some(number((self.year_day + 7 - (self.weekday + 6) % 7) / 7, 2, '0')),
                'm' => Some(number(self.month, 2, '0')),
                'd' => Some(number(self.day, 2, '0')),
                'e' => Some(number(self.day, 2, ' ')),
                'j' => Some(number(self.year_day + 1, 3, '0')),
                'H' => Some(number(self.hour, 2, '0')),
                'k' => Some(number(self.hour, 2, ' ')),
                'I' => Some(number(hour12, 2, '0')),
                'l' => Some(number(hour12, 2, ' ')),
                'M' => Some(number(self.minute, 2, '0')),
                'S' => Some(number(self.second, 2, '0')),
                'u' => Some(number((self.weekday + 6) % 7 + 1, 1, '0')),
                'w' => Some(number(self.weekday, 1, '0')),
                's' => Some(number(self.unix_seconds, 1, ' ')),
                _ => None,
            };
            if let Some(number) = is_number {
                out.push_str(&number);
                continue;
            }
            match kind {
                'A' => text(DAYS[self.weekday as usize], str::to_uppercase),
                'a' => text(&DAYS[self.weekday as usize][..3], str::to_uppercase),
                'B' => text(MONTHS[self.month as usize - 1], str::to_uppercase),
                'b' | 'h' => text(&MONTHS[self.month as usize - 1][..3], str::to_uppercase),
                'p' => text(if self.hour < 12 { "AM" } else { "PM" }, str::to_lowercase),
                'P' => {
                    piece += if self.hour < 12 { "am" } else { "pm" };
                    upper = false;
                }
                // Python adds these, here for a time without a zone. They allow no flags.
                'f' if directive == "%f" => piece += "000000",
                'z' | 'Z' if directive.len() == 2 => {}
                '%' => piece.push('%'),
                'n' => piece.push('\n'),
                't' => piece.push('\t'),
                _ => {
                    let inner = match kind {
                        'c' => "%a %b %e %H:%M:%S %Y",
                        'x' | 'D' => "%m/%d/%y",
                        'X' | 'T' => "%H:%M:%S",
                        'F' => "%Y-%m-%d",
                        'R' => "%H:%M",
                        'r' => "%I:%M:%S %p",
                        _ => return Err(unknown(&directive)),
                    };
                    if depth == 0 {
                        self.write(inner, 1, &mut piece)?;
                    }
                }
            }
            let piece = if upper { piece.to_uppercase() } else { piece };
            let filler = if fill == Some(Fill::With('0')) { '0' } else { ' ' };
            let margin = width.unwrap_or(0).saturating_sub(piece.len());
            out.extend(std::iter::repeat_n(filler, margin));
            out.push_str(&piece);
        }
        Ok(())
    }

    /// The year and the week of ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let monday_based = (self.weekday + 6) % 7;
        let week = (self.year_day - monday_based + 10) / 7;
        let weeks = |year: i64| {
            let first = (first_day(year) + 3).rem_euclid(7); // from Monday, 0
            let leap = first_day(year + 1) - first_day(year) == 366;
            if first == 3 || first == 2 && leap { 53 } else { 52 }
        };
        if week < 1 {
            (self.year - 1, weeks(self.year - 1))
        } else if week > weeks(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }
}

fn padded(value: i64, width: usize, filler: char) -> String {
    let digits = value.unsigned_abs().to_string();
    let sign = if value < 0 { "-" } else { "" };
    let fill: String = std::iter::repeat_n(filler, width.saturating_sub(digits.len() + sign.len())).collect();
    if filler == ' ' { fill + sign + &digits } else { sign.to_owned() + &fill + &digits }
}

fn unknown(directive: &str) -> String {
    format!("strftime has no directive {directive}")
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

/// The first day of a year, counted from 1970-01-01.
fn first_day(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn written(unix_seconds: i64, utc_offset_minutes: i32, format: &str) -> String {
        Now { unix_seconds, utc_offset_minutes }.strftime(format).expect(format)
    }

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
            assert_eq!(written(unix_seconds, utc_offset_minutes, "%Y-%m-%d %H:%M:%S %a %A %j %y %I %p"), expected);
        }
    }

    /// datetime.fromtimestamp(...).strftime(...) of CPython 3.11 with glibc, TZ=Etc/GMT-2
    #[test]
    fn every_directive_is_that_of_glibc() {
        let cases = [
            ("%c|%x|%X|%r|%R|%T|%D|%F", "Fri Jul 31 15:01:01 2026|07/31/26|15:01:01|03:01:01 PM|15:01|15:01:01|07/31/26|2026-07-31"),
            ("%G-%V %g %U %W %u %w %C %s", "2026-31 26 30 30 5 5 20 1785502861"),
            ("%-d %_m %-I %e %k %l %-H %P %^a %#B %^B %#p", "31  7 3 31 15  3 15 pm FRI JULY JULY pm"),
            ("%f%n%t%%%z%Z", "000000\n\t%"),
            ("%10Y|%_10Y|%-10Y|%010d|%12B|%-12p", "0000002026|      2026|      2026|0000000031|        July|          PM"),
            ("%Ey %Od %EY", "26 31 2026"),
        ];
        for (format, expected) in cases {
            assert_eq!(written(1_785_502_861, 120, format), expected, "{format}");
        }
        // The days around a new year, by ISO 8601 and by weeks from Sunday and from Monday.
        let weeks = [0, 1, 2, 3].map(|day| written(1_230_681_600 + day * 86_400, 0, "%G-%V %U %W"));
        assert_eq!(weeks, ["2009-01 52 52", "2009-01 00 00", "2009-01 00 00", "2009-01 00 00"]);
    }

    #[test]
    fn unknown_directives_are_named() {
        for (format, named) in [("%Q", "%Q"), ("a %-5i", "%-5i"), ("%", "%"), ("%E", "%E"), ("%0f", "%0f"), ("%Ed", "%Ed")] {
            let error = Now { unix_seconds: 0, utc_offset_minutes: 0 }.strftime(format).unwrap_err();
            assert_eq!(error, format!("strftime has no directive {named}"));
        }
    }

    #[test]
    fn no_moment_is_too_far_away() {
        for unix_seconds in [i64::MIN, i64::MAX] {
            assert!(!written(unix_seconds, i32::MIN, "%c %Y %j %A %G %V").is_empty());
        }
    }
}
