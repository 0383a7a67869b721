//! Drives a run to its end: text goes to standard output as it is generated, information about it to
//! standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use fireside::{Completion, FinishReason, Piece, Run, Session, Step, TokenLogprobs, Tokenizer};

use crate::{Result, interrupt};

/// Limits a prefill step to about one layer's pass over the prompt, so that Ctrl-C takes effect soon.
/// Units: tokens times layers.
const PREFILL_WORK: usize = 64;

/// The cost of a generation, as one line.
pub struct Report {
    completion: Completion,
    prefill: Duration,
    decode: Duration,
}

impl Report {
    /// Whether the user stopped it.
    pub fn stopped(&self) -> bool {
        self.completion.finish_reason == FinishReason::Abort
    }
}

/// Drives a run to its end. Ctrl-C aborts it.
pub fn drive(session: &mut Session, mut run: Run) -> Result<Report> {
    let _answering = interrupt::answering();
    run.set_prefill_work(PREFILL_WORK);
    let (started, mut prefill) = (Instant::now(), None);
    let printer = Printer { terminal: io::stdout().is_terminal() };
    let completion = loop {
        if interrupt::heard() {
            break session.abort(&mut run);
        }
        match session.step(&mut run)? {
            Step::Overflow(dropped) => {
                eprintln!("[the context is full: {} messages and {} tokens were dropped]", dropped.messages, dropped.tokens);
            }
            Step::Prefill { .. } => {}
            Step::Token(piece) => {
                prefill.get_or_insert_with(|| started.elapsed());
                printer.print(&piece)?;
            }
            Step::End(piece, completion) => {
                printer.print(&piece)?;
                break completion;
            }
        }
    };
    let end = started.elapsed();
    writeln!(io::stdout())?;
    for (index, choice) in completion.others.iter().enumerate() {
        eprintln!("[completion {}]", index + 2);
        printer.write(&choice.text)?;
        writeln!(io::stdout())?;
    }
    tell(&completion, session.model().tokenizer())?;
    let prefill = prefill.unwrap_or(end);
    Ok(Report { completion, prefill, decode: end - prefill })
}

struct Printer {
    /// Whether the text goes to a terminal, which obeys control sequences.
    terminal: bool,
}

impl Printer {
    /// Prints the text of a piece at once. Further completions are generated at the same time and printed
    /// when the run has ended.
    fn print(&self, piece: &Piece) -> io::Result<()> {
        if piece.choice == 0 { self.write(&piece.text) } else { Ok(()) }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        if self.terminal {
            write!(out, "{}", harmless(text))?;
        } else {
            write!(out, "{text}")?;
        }
        out.flush()
    }
}

/// Prints one line for each token whose log-probability was requested.
fn tell(completion: &Completion, tokenizer: &Tokenizer) -> Result<()> {
    let shown = |id: u32, logprob: f32| -> Result<String> {
        Ok(format!("{logprob:.3} {:?}", String::from_utf8_lossy(&tokenizer.piece_bytes(id)?)))
    };
    let others = completion.others.iter().flat_map(|choice| &choice.logprobs);
    for TokenLogprobs { token, logprob, top } in completion.logprobs.iter().chain(others) {
        let top: Vec<String> = top.iter().map(|&(id, logprob)| shown(id, logprob)).collect::<Result<_>>()?;
        eprintln!("[{}{}{}]", shown(*token, *logprob)?, if top.is_empty() { "" } else { " of " }, top.join(", "));
    }
    Ok(())
}

/// Replaces control characters: a model from an untrusted source may write sequences that a terminal takes
/// for commands.
fn harmless(text: &str) -> String {
    let control = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    text.chars().map(|character| if control(character) { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let usage = &self.completion.usage;
        let per_second = |tokens: usize, time: Duration| tokens as f64 / time.as_secs_f64().max(1e-9);
        let computed = usage.prompt_tokens - usage.cached_tokens;
        write!(
            f,
            "[prompt {} tokens, {} of them cached, {:.0} a second; answer {} tokens, {:.0} a second; ended by {}]",
            usage.prompt_tokens,
            usage.cached_tokens,
            per_second(computed, self.prefill),
            usage.completion_tokens,
            per_second(usage.completion_tokens, self.decode),
            self.completion.finish_reason.as_str(),
        )
    }
}
