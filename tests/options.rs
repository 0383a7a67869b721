//! Makes files from the rows of src/options: types, flags and checks of the npm package, tables of the
//! docs.
//!
//! The test fails if a file is stale. `FIRESIDE_WRITE=1 cargo test --test options` writes them all.
#![cfg(not(target_family = "wasm"))]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use fireside::internals::{Row, Text, generate, load};
use fireside::{LoadOptions, Options};

const HEAD: &str = "// Made of the rows in src/options by `FIRESIDE_WRITE=1 cargo test --test options`.\n";

fn generating() -> impl Iterator<Item = &'static Row> {
    Options::ROWS.iter().chain(generate::AROUND)
}

fn loading() -> impl Iterator<Item = &'static Row> {
    LoadOptions::ROWS.iter().chain(load::AROUND)
}

/// The sentence about an option, with names as in JavaScript.
fn about(row: &Row) -> &str {
    row.help.about.trim()
}

/// The default, as the docs write it.
fn default(row: &Row) -> String {
    let value = match row.help.default {
        "Vec::new()" | "(0, 1.0)" => "none",
        number => number.strip_suffix(".0").unwrap_or(number),
    };
    format!("{value}{}", row.help.default_note)
}

/// A string literal of JavaScript.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Wraps at 100 columns.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut().expect("a line") {
            line if line.is_empty() => line.push_str(word),
            line if line.len() + word.len() < 100 => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

fn interface(name: &str, head: &str, rows: impl Iterator<Item = &'static Row>) -> String {
    let mut out = format!("\n/** {head} */\nexport interface {name} {{\n");
    for row in rows {
        let lines = [about(row).to_owned(), format!("Values: {}.", row.range.expected()), format!("Default: {}.", default(row))];
        let lines: Vec<String> = lines.iter().flat_map(|line| wrapped(line)).map(|line| format!("   * {line}\n")).collect();
        writeln!(out, "  /**\n{}   */\n  {}?: {};", lines.concat(), row.name(), row.typescript()).unwrap();
    }
    out + "}\n"
}

fn types() -> String {
    let mut out = format!("{HEAD}\nimport type {{ Progress }} from './types.d.ts';\n");
    out += &interface("LoadOptions", "How a model is loaded.", loading());
    let storage: Vec<String> = LoadOptions::ROWS.iter().map(|row| quoted(&row.name())).collect();
    let storage = storage.join(" | ");
    writeln!(out, "\n/** The options of loading that the engine takes. */\nexport type StorageOptions = Pick<LoadOptions, {storage}>;")
        .unwrap();
    out += &interface("GenerateOptions", "What a generation is asked for. The engine checks it and refuses unknown names.", generating());
    out += "\n/** The spellings of OpenAI's, Hugging Face's and vLLM's APIs. An option may be given in one spelling only. */\nexport interface GenerateAliases {\n";
    for row in Options::ROWS {
        for spelling in &row.spellings()[1..] {
            writeln!(out, "  {spelling}?: {};", row.typescript()).unwrap();
        }
    }
    out += "}\n\n/** The sampling options that a model's `generation_config.json` may set, with every default filled in. */\nexport interface SamplingDefaults {\n";
    for name in fireside::internals::Settings::default().defaults().keys() {
        writeln!(out, "  {name}: number;").unwrap();
    }
    out + "}\n"
}

/// The flags of the npm package's command line.
fn flags() -> String {
    let mut out = format!("{HEAD}\n/** @import {{ Option }} from './cli-options.js' */\n");
    for (name, rows) in [("LOADING", loading().collect::<Vec<_>>()), ("SAMPLING", generating().collect())] {
        writeln!(out, "\n/** @type {{Record<string, Option>}} */\nexport const {name} = {{").unwrap();
        for row in rows {
            let Some((flag, value)) = row.help.flag else { continue };
            let read = match row.help.value.text {
                Text::Number => ", read: 'number'",
                Text::Bias => ", read: 'bias'",
                Text::NumberOrAuto => ", read: 'numberOrAuto'",
                Text::Text => "",
            };
            let short = if flag.len() == 1 { format!(", short: {}", quoted(flag)) } else { String::new() };
            let many = if row.help.value.many { ", multiple: true" } else { "" };
            let (key, takes) = (quoted(&row.name()), quoted(value));
            let about = quoted(&row.flag_help());
            writeln!(out, "  {}: {{ key: {key}, takes: {takes}{read}{many}{short}, about: {about} }},", quoted(flag)).unwrap();
        }
        out += "};\n";
    }
    out
}

/// The parameters of OpenAI's API that are options.
fn parameters() -> String {
    let mut out = format!(
        "{HEAD}\n/** @type {{Record<string, {{ option: string, kind?: 'integer' | 'decimal', min?: number, max?: number }}>}} */\n"
    );
    out += "export const OPTIONS = {\n";
    for row in Options::ROWS {
        let Some((min, max)) = row.help.openai else { continue };
        let is_number = row.help.value.text == Text::Number && !row.help.value.many;
        let kind = if row.range.whole { "integer" } else { "decimal" };
        let range = if is_number { format!(", kind: '{kind}', min: {min}, max: {max}") } else { String::new() };
        writeln!(out, "  {}: {{ option: '{}'{range} }},", row.names[0], row.name()).unwrap();
    }
    out + "};\n"
}

/// The checks of load options in JavaScript: the allowed words of each, or the range that an error states.
fn loading_checks() -> String {
    let mut out = String::new();
    for row in loading() {
        let words: Vec<&str> = row.typescript().split(" | ").collect();
        let has_words = words.iter().all(|word| word.starts_with('\''));
        let check = if has_words { format!("[{}]", words.join(", ")) } else { quoted(&row.range.expected()) };
        writeln!(out, "  {}: {check},", row.name()).unwrap();
    }
    out
}

/// The options of a generation whose values are objects of any depth.
fn deep() -> String {
    let rows = Options::ROWS.iter().filter(|row| row.typescript() == "Record<string, unknown>");
    let names: Vec<String> = rows.flat_map(Row::spellings).map(|name| quoted(&name)).collect();
    names.join(", ")
}

fn table(rows: impl Iterator<Item = &'static Row>) -> String {
    let mut out = String::from("| name | other names | values | default | |\n|---|---|---|---|---|\n");
    for row in rows {
        let names: Vec<String> = row.spellings()[1..].iter().map(|name| format!("`{name}`")).collect();
        let star = if row.file.is_some() { " *" } else { "" };
        let values = row.range.expected().replace('"', "`");
        writeln!(out, "| `{}`{star} | {} | {values} | {} | {} |", row.name(), names.join(", "), default(row), about(row)).unwrap();
    }
    out
}

/// A document with `content` between its markers.
fn document(file: &str, content: &str) -> String {
    between(file, "<!-- options: made of src/options -->\n", &format!("\n{content}\n"), "<!-- /options -->")
}

/// A file with `content` between these markers.
fn between(file: &str, begin: &str, content: &str, end: &str) -> String {
    let text = read(file);
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{file} has no {end}"));
    format!("{before}{begin}{content}{end}{after}")
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

#[test]
fn files_made_from_the_table_are_current() {
    let files = [
        ("www/lib/shared/option-types.d.ts", types()),
        ("www/lib/client/load-options.js", between("www/lib/client/load-options.js", "LOADING = {\n", &loading_checks(), "};\n")),
        ("www/lib/client/options.js", between("www/lib/client/options.js", "DEEP = [", &deep(), "];\n")),
        ("www/lib/node/option-flags.js", flags()),
        ("www/lib/integrations/openai/option-parameters.js", parameters()),
        ("docs/sampling.md", document("docs/sampling.md", &table(Options::ROWS.iter()))),
        ("docs/loading.md", document("docs/loading.md", &table(loading()))),
    ];
    for (file, expected) in files {
        if read(file) == expected {
            continue;
        }
        assert!(std::env::var_os("FIRESIDE_WRITE").is_some(), "{file} is stale: run `FIRESIDE_WRITE=1 cargo test --test options`");
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), expected).unwrap();
    }
}

#[test]
fn every_option_has_a_sentence() {
    for row in generating().chain(loading()) {
        let about = about(row);
        assert!(about.len() > 10 && about.ends_with('.'), "{}: {about}", row.name());
        assert!(!row.typescript().is_empty() && !row.range.expected().is_empty() && !default(row).is_empty(), "{}", row.name());
    }
}

#[test]
fn the_readmes_name_every_load_option() {
    for file in ["README.md", "README.zh-CN.md"] {
        let text = read(file);
        for row in loading() {
            assert!(text.contains(&format!("`{}`", row.name())), "{file} does not name {}", row.name());
        }
    }
}
