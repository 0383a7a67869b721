//! Checks the arrows between the modules of `src/`: which module uses which.
//!
//! The table lists the modules from the ground up. A module may use only modules above it in the table, so
//! there are no circles. A new arrow is a decision: add it to the table in a commit that says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src/`, and the modules that it uses.
#[rustfmt::skip]
const ARROWS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("pool", &[]),
    ("stop", &[]),
    ("quant", &["error"]),
    ("sniff", &["error"]),
    ("json", &["error", "sniff"]),
    ("kernels", &["pool", "quant"]),
    ("cache", &["error", "quant", "kernels"]),
    ("text", &["error", "json"]),
    ("template", &["error", "sniff", "text"]),
    ("tokenizer", &["error", "sniff", "json", "text"]),
    ("options", &["error", "pool", "quant", "text"]),
    ("config", &["error", "quant", "json", "options"]),
    ("sampler", &["kernels", "options"]),
    ("weights", &["error", "quant", "sniff", "json", "config"]),
    ("estimate", &["error", "quant", "config", "options", "weights"]),
    ("network", &["error", "pool", "quant", "kernels", "cache", "config", "weights"]),
    ("model", &["error", "pool", "cache", "config", "template", "tokenizer", "weights", "network"]),
    ("session", &["error", "stop", "json", "text", "tokenizer", "options", "sampler", "network", "model"]),
    ("load", &["error", "pool", "sniff", "cache", "text", "template", "tokenizer", "config", "options", "weights", "estimate", "network", "model"]),
    ("wasm", &["error", "pool", "kernels", "cache", "text", "template", "config", "options", "sampler", "weights", "estimate", "network",
        "model", "session", "load"]),
];

/// Arrows that point down the table, until they are removed.
const CIRCLES: &[(&str, &str)] = &[];

/// A use of another module: the file, the line from 1, and the module.
type Use = (PathBuf, usize, String);

#[test]
fn modules_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(&str, String)> = BTreeSet::new();
    let uses = uses();
    for (module, _) in ARROWS {
        if !uses.contains_key(*module) {
            wrong.push(format!("tests/arrows.rs: there is no module `{module}` in src. Remove it from the table."));
        }
    }
    for (module, uses) in &uses {
        let Some((module, allowed)) = ARROWS.iter().find(|(name, _)| name == module) else {
            wrong.push(format!("tests/arrows.rs: the table lacks the module `{module}`. Add it below the modules that it uses."));
            continue;
        };
        for (file, line, other) in uses {
            used.insert((module, other.clone()));
            if !allowed.contains(&other.as_str()) {
                wrong.push(format!(
                    "{}:{line}: `{module}` uses `{other}`, which the table in tests/arrows.rs does not allow.",
                    file.display()
                ));
            }
        }
    }
    for (module, allowed) in ARROWS {
        for other in allowed.iter().filter(|other| !used.contains(&(module, (**other).to_owned()))) {
            wrong.push(format!("tests/arrows.rs: `{module}` does not use `{other}`. Remove it from the table."));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circles() {
    let place = |module: &str| ARROWS.iter().position(|(name, _)| *name == module);
    for (index, (module, allowed)) in ARROWS.iter().enumerate() {
        for other in *allowed {
            let is_above = place(other) < Some(index) || CIRCLES.contains(&(module, other));
            assert!(is_above, "`{module}` uses `{other}`, which is not above it in the table");
        }
        assert_eq!(place(module), Some(index), "`{module}` is in the table twice");
    }
}

/// The uses of other modules by each module, without those in tests.
fn uses() -> BTreeMap<String, Vec<Use>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find_files(&src, &mut files);
    let name = |file: &Path| file.strip_prefix(&src).unwrap().with_extension("").iter().next().unwrap().to_str().unwrap().to_owned();
    let modules: BTreeSet<String> = files.iter().map(|file| name(file)).filter(|name| name != "lib").collect();
    let mut uses: BTreeMap<String, Vec<Use>> = modules.iter().map(|module| (module.clone(), Vec::new())).collect();
    for file in files {
        let Some(of_module) = uses.get_mut(&name(&file)) else { continue };
        let shown = Path::new("src").join(file.strip_prefix(&src).unwrap());
        for (line, used) in used_paths(&code(&fs::read_to_string(&file).unwrap())) {
            // A name of the facade, as in `crate::Error`, is not in the table either.
            if used != name(&file) {
                of_module.push((shown.clone(), line, used));
            }
        }
    }
    uses
}

/// All files of the library under `folder`, without files of unit tests.
fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap().to_str().unwrap();
        if entry.is_dir() && name != "bin" && name != "tests" {
            find_files(&entry, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(entry);
        }
    }
}

/// The source without comments and without items for tests. Lines keep their numbers.
fn code(source: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut of_tests = false;
    for line in source.lines() {
        if of_tests && line.trim_start().starts_with("mod ") && line.ends_with('{') {
            break;
        }
        let skipped = of_tests || line.trim_start().starts_with("//");
        lines.push(if skipped { "" } else { line.split(" // ").next().unwrap() });
        of_tests = line.trim_start().starts_with("#[cfg(") && line.contains("test");
    }
    lines.join("\n")
}

/// The first segment of every path after `crate::`, with its line.
fn used_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            continue;
        }
        let line = 1 + code[..at].matches('\n').count();
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            None => found.push((line, first_segment(path))),
            Some(group) => found.extend(members(group).into_iter().map(|member| (line, first_segment(member)))),
        }
    }
    found
}

fn first_segment(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The members of a group of imports: `a, b::{c, d}}` has two.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(group[start..at].trim());
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.is_empty());
    members
}

#[test]
fn uses_are_found_and_tests_are_left_out() {
    let source = "//! `crate::doc`\nuse crate::a::{B, C};\nuse crate::{d::E, f};\n#[cfg(test)]\nuse crate::g;\nfn h() -> crate::I { 1 } // crate::j\n#[cfg(test)]\nmod tests {\n    use crate::k;\n}\n";
    let found: Vec<(usize, String)> = used_paths(&code(source));
    let expected = [(2, "a"), (3, "d"), (3, "f"), (6, "I")];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
}
