//! The command line as a user runs it: the real program, through pipes and in a terminal.
#![cfg(all(unix, feature = "cli"))]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rexpect::session::{PtySession, spawn_command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fireside");

/// Longer than any test here takes on a busy machine. Units: milliseconds.
const PATIENCE_MS: u64 = 120_000;

/// An answer without an end: the context is shifted forever.
const ENDLESS: [&str; 6] = ["--min-tokens", "1000000", "--max-tokens", "1000000", "--overflow", "shift"];

fn fireside(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("TERM", "xterm");
    command
}

/// The output of a chat with these flags for these lines.
fn piped(flags: &[&str], lines: &str) -> Output {
    let mut command = fireside(&[&["chat", "--temperature", "0"], flags].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its flags exits without reading.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The answers to these lines, one by one.
fn answers(flags: &[&str], lines: &str) -> Vec<String> {
    let output = piped(flags, lines);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

/// A path for this test's file, which does not exist yet.
fn fresh(name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&file);
    file
}

#[test]
fn a_name_of_the_hub_in_place_of_a_folder_is_recognised() {
    let told = |model: &str| stderr(&fireside(&["chat", "--model", model]).output().unwrap()).to_owned();
    for model in ["HuggingFaceTB/SmolLM2-135M-Instruct", "hf:HuggingFaceTB/SmolLM2-135M-Instruct"] {
        assert!(told(model).contains("Did you mean hf:HuggingFaceTB/SmolLM2-135M-Instruct?"), "{}", told(model));
    }
    // These are paths, although they look like hub names.
    for model in ["models/nowhere", "./HuggingFaceTB/SmolLM2-135M-Instruct", "nowhere", "/nowhere/at-all"] {
        assert!(told(model).contains("A model folder has config.json"), "{}", told(model));
    }
}

#[test]
fn a_chat_remembers_and_forgets() {
    let said = answers(&[], "My name is Ada.\nWhat is my name?\n/reset\nWhat is my name?\n");
    assert_eq!(said.len(), 3);
    assert!(said[1].contains("Ada") && !said[2].contains("Ada"), "{said:?}");
}

#[test]
fn a_copy_of_a_chat_is_independent() {
    let straight = answers(&[], "My name is Ada.\nWhat is my name?\n");
    let said = answers(&[], "My name is Ada.\n/clone\n/reset\nMy name is Tom.\nWhat is my name?\n/back\nWhat is my name?\n");
    assert!(said[2].contains("Tom"), "{said:?}");
    assert_eq!((&said[0], &said[3]), (&straight[0], &straight[1]), "the chat is as it was at /clone");
    let output = piped(&[], "/back\n");
    assert!(stderr(&output).contains("fireside: this is not a copy; /clone makes one\n"), "{}", stderr(&output));
}

#[test]
fn an_answer_is_regenerated() {
    let said = answers(&[], "My name is Ada.\n/regenerate\nWhat is my name?\n");
    assert_eq!(said[0], said[1]);
    assert_eq!(said[2], answers(&[], "My name is Ada.\nWhat is my name?\n")[1], "in place of the other answer");
    let output = piped(&[], "/regenerate\n");
    assert!(stderr(&output).contains("expected a chat in which something was asked"), "{}", stderr(&output));
}

#[test]
fn a_chat_continues_in_another_process() {
    let file = fresh("chat.state");
    let path = file.to_str().unwrap();
    let said = answers(&[], &format!("My name is Ada.\n/save {path}\nWhat is my name?\n"));
    let output = piped(&[], &format!("/load {path}\nWhat is my name?\n"));
    assert_eq!(stdout(&output).trim_end(), said[1]);
    // Nothing of the first turn is computed again.
    assert!(stderr(&output).contains("2 messages") && first_cached(&output) > 10, "{}", stderr(&output));
}

/// The output of the npm package's chat for these lines.
fn piped_node(lines: &str) -> Output {
    let mut command = Command::new("node");
    command.args(["www/lib/node/cli.js", "chat", "--model", "models/chat", "--temperature", "0", "--threads", "1"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

#[test]
#[ignore = "needs node, and the npm package built of the same source: `node scripts/test.mjs lib` runs it"]
fn a_chat_saved_by_one_of_the_two_programs_continues_in_the_other() {
    let file = fresh("native.state");
    let path = file.to_str().unwrap();
    let native = answers(&[], &format!("My name is Ada.\n/save {path}\nWhat is my name?\n"));
    let node = piped_node(&format!("/load {path}\nWhat is my name?\n"));
    assert!(native[1].contains("Ada"), "{native:?}");
    assert_eq!(stdout(&node).trim_end(), native[1], "{}", stderr(&node));
    assert!(first_cached(&node) > 10, "{}", stderr(&node));

    let file = fresh("npm.state");
    let path = file.to_str().unwrap();
    let node = piped_node(&format!("My name is Ada.\n/save {path}\nWhat is my name?\n"));
    let native = piped(&[], &format!("/load {path}\nWhat is my name?\n"));
    assert_eq!(stdout(&native).trim_end(), stdout(&node).lines().nth(1).unwrap(), "{}", stderr(&native));
    assert!(first_cached(&native) > 10, "{}", stderr(&native));
}

/// How many tokens of the first turn were cached.
fn first_cached(output: &Output) -> usize {
    stderr(output).split(" of them cached").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn failures_are_reported_and_the_chat_continues() {
    let damaged = fresh("damaged.state");
    std::fs::write(&damaged, b"no state").unwrap();
    let lines = format!(
        "My name is Ada.\n/dance\n/save\n/load /no/such/file\n/load {}\n/save /no/such/folder/file\n/reset now\nWhat is my name?\n",
        damaged.display()
    );
    let output = piped(&[], &lines);
    assert!(output.status.success());
    assert!(stdout(&output).lines().nth(1).unwrap().contains("Ada"), "{}", stdout(&output));
    let told = stderr(&output);
    for expected in [
        "fireside: there is no command /dance; /help lists them\n",
        "fireside: /save needs a file: /save FILE\n",
        "fireside: cannot read /no/such/file: ",
        "damaged.state: These bytes are not a saved session. Pass what `session.save()` returned",
        "fireside: cannot write /no/such/folder/file: ",
        "fireside: /reset takes no argument; /help lists the commands\n",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
}

#[test]
fn help_lists_every_command_and_a_leading_space_makes_text() {
    let output = piped(&[], "/help\n /help\n/exit\nnever said\n");
    for command in ["/help", "/regenerate", "/clone", "/back", "/save FILE", "/load FILE", "/reset", "/exit"] {
        assert!(stderr(&output).contains(&format!("\n{command} ")), "{command}");
    }
    assert_eq!(stdout(&output).lines().count(), 1, "one answer, to the second line");
}

#[test]
fn the_system_prompt_comes_first_also_after_a_reset() {
    let prompt_tokens = |flags: &[&str], lines: &str| -> Vec<usize> {
        let output = piped(flags, lines);
        let reports = stderr(&output).lines().filter_map(|line| line.strip_prefix("[prompt ")?.split(' ').next()?.parse().ok());
        reports.collect()
    };
    let without = prompt_tokens(&[], "Hello\n")[0];
    let with = prompt_tokens(&["--system", "You are kind and short."], "Hello\n/reset\nHello\n");
    assert!(with[0] > without && with[0] == with[1], "{without} and {with:?}");
}

#[test]
fn a_variable_of_the_chat_template_is_checked() {
    let output = piped(&["--template-kwarg", "enable_thinking=false"], "Hello\n");
    let expected = "option `chatTemplateKwargs.enable_thinking`: This model's chat template reads no name of a caller. Leave it out.";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    let output = piped(&["--template-kwarg", "messages=[]"], "Hello\n");
    assert!(stderr(&output).contains("option `--template-kwarg.messages`"), "{}", stderr(&output));
}

#[test]
fn wrong_options_are_refused_before_the_model_is_loaded() {
    let code = |arguments: &[&str]| {
        let output = fireside(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), stderr(&output).lines().next().unwrap().to_owned())
    };
    let refused = "fireside: option `frequencyPenalty`: expected a number from -2 to 2 (0 is off), got 3.".to_owned();
    assert_eq!(code(&["chat", "--frequency-penalty", "3"]), (1, refused.clone()));
    assert_eq!(code(&["generate", "Once", "--frequency-penalty", "3"]), (1, refused));
    for wrong in [["--logit-bias", "5"], ["--overflow", "wrap"], ["--stop-token", "-1"], ["--temprature", "1"]] {
        assert_eq!(code(&[&["generate", "Once"], &wrong[..]].concat()).0, 2, "{wrong:?}");
    }
}

#[test]
fn the_sampling_flags_reach_the_model() {
    let said = |flags: &[&str]| {
        let output = fireside(&[&["generate", "Once upon a time", "--max-tokens", "6"], flags].concat()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        (stdout(&output).to_owned(), stderr(&output).to_owned())
    };
    let (plain, told) = said(&["--temperature", "0", "--logprobs", "2"]);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" of ") && line.starts_with("[-")).collect();
    assert_eq!(lines.len(), 6, "{told}");
    assert!(lines[0].matches('"').count() == 6, "the token and two of the likeliest: {}", lines[0]);
    assert_ne!(said(&["--temperature", "0", "--repetition-penalty", "1.9"]).0, plain);
    assert_ne!(said(&["--temperature", "0", "--logit-bias", "40=100", "--logit-bias", "41=-100"]).0, plain);
    let (several, told) = said(&["-n", "2", "--temperature", "1", "--seed", "3"]);
    assert!(several.lines().count() == 2 && told.contains("[completion 2]\n"), "{several}{told}");
}

#[test]
fn the_native_example_of_the_manual_prints_what_the_page_says() {
    let page = include_str!("../docs/terminal.md");
    let (_, rest) = page.split_once("```sh native example\n").unwrap();
    let (code, rest) = rest.split_once("```\n\n").unwrap();
    let expected: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("    ")).collect();
    let path = format!("{}:{}", Path::new(PROGRAM).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", code]).current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", path).output().unwrap();
    assert_eq!(stdout(&output).lines().collect::<Vec<_>>(), expected, "{}", stderr(&output));
    assert!(expected.len() == 2);
}

#[test]
fn the_manual_has_every_option_and_no_other() {
    let page = include_str!("../docs/sampling.md");
    let rows: Vec<&str> =
        page.lines().skip_while(|line| !line.starts_with("| name |")).skip(2).take_while(|line| line.starts_with('|')).collect();
    let documented: Vec<&str> = rows.iter().flat_map(|row| row.split('|').nth(1).unwrap().split('`').nth(1)).collect();
    let error = fireside::Options::from_json(&serde_json::json!({"unheard of": 1})).unwrap_err().to_string();
    let (known, _) = error.split_once("one of ").unwrap().1.split_once(", got").unwrap();
    let sorted = |mut names: Vec<&str>| {
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(sorted(documented), sorted(known.split(", ").collect()));
    // Each other name is known too, whatever is wrong with its value.
    for spelling in rows.iter().flat_map(|row| row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2)) {
        let options = serde_json::Map::from_iter([(spelling.to_owned(), serde_json::json!("?"))]);
        let error = fireside::Options::from_json(&options.into()).map(drop).err().map(|error| error.to_string());
        assert!(error.is_none_or(|error| !error.contains("an unknown name")), "{spelling}");
    }
}

/// A chat in a terminal, at its first prompt.
fn typed(flags: &[&str]) -> PtySession {
    let mut terminal = spawn_command(fireside(&[&["chat", "--temperature", "0"], flags].concat()), Some(PATIENCE_MS)).unwrap();
    terminal.exp_string("> ").unwrap();
    terminal
}

#[test]
fn a_terminal_does_not_obey_control_characters_of_a_model() {
    let tokenizer = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/story/tokenizer.json")).unwrap();
    let escape = fireside::Tokenizer::from_bytes(&tokenizer, None).unwrap().id("<0x1B>").unwrap();
    let bias = format!("{escape}=100");
    let arguments = ["generate", "Once", "--temperature", "0", "--max-tokens", "3", "--logit-bias", &bias];
    let mut terminal = spawn_command(fireside(&arguments), Some(PATIENCE_MS)).unwrap();
    let shown = terminal.exp_eof().unwrap();
    // rexpect treats each byte as a character.
    let replaced: String = "Once\u{fffd}\u{fffd}\u{fffd}".bytes().map(char::from).collect();
    assert!(shown.contains(&replaced) && !shown.contains('\x1b'), "{shown:?}");
    // A pipe gets the text unchanged.
    assert_eq!(stdout(&fireside(&arguments).output().unwrap()), "Once\x1b\x1b\x1b\n");
}

#[test]
fn a_reader_that_has_gone_is_a_failure_and_no_crash() {
    let mut command = fireside(&[&["generate", "Once upon a time"], &ENDLESS[..]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).ends_with("fireside: Broken pipe (os error 32)\n"), "{}", stderr(&output));
}

/// The exit status of the program in a terminal. Its type belongs to nix, which this crate does not import;
/// it is printed as `Exited(Pid(1), 0)`.
fn exit_code(terminal: &PtySession) -> i32 {
    let status = format!("{:?}", terminal.process().wait().unwrap());
    let code = status.strip_prefix("Exited(").and_then(|rest| rest.strip_suffix(')')?.rsplit(' ').next()?.parse().ok());
    code.unwrap_or_else(|| panic!("{status}"))
}

#[test]
fn ctrl_c_stops_the_answer_and_at_the_prompt_ends_the_program() {
    let mut terminal = typed(&ENDLESS);
    terminal.send_line("Tell me a story.").unwrap();
    // More than a few words: the answer is running.
    terminal.exp_regex(r"story\.[\s\S]{80,}").unwrap();
    terminal.send_control('c').unwrap();
    terminal.exp_string("ended by abort]").unwrap();
    terminal.exp_string("[stopped: the chat is as it was before this turn]").unwrap();
    terminal.exp_string("> ").unwrap();
    terminal.send_line("/clone").unwrap();
    terminal.exp_string("in a copy of the chat").unwrap();
    terminal.exp_string("copy > ").unwrap();
    terminal.send_control('c').unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&terminal), 130);
}

#[test]
fn a_terminal_has_a_line_history_and_ctrl_d_ends() {
    let mut terminal = typed(&["--max-tokens", "8"]);
    terminal.send_line("/dance").unwrap();
    terminal.exp_string("there is no command /dance").unwrap();
    terminal.exp_string("> ").unwrap();
    terminal.send("\x1b[A\r").unwrap(); // the line before, once more
    terminal.flush().unwrap();
    terminal.exp_string("there is no command /dance").unwrap();
    terminal.exp_string("> ").unwrap();
    terminal.send_control('d').unwrap();
    terminal.exp_eof().unwrap();
    assert_eq!(exit_code(&terminal), 0);
}

#[test]
fn an_interrupt_ends_a_program_that_waits_at_a_pipe() {
    let mut child = fireside(&["chat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // It handles the signal once it has answered.
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"Hello\n").unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut first).unwrap();
    assert!(!first.trim().is_empty());
    // The program prints the end of the answer before it waits for input. An interrupt in between only ends
    // an answer that has ended.
    while child.try_wait().unwrap().is_none() {
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
