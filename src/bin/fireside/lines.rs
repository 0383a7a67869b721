//! Reads lines of input: with editing and a history from a terminal, plain ones from a pipe.

use std::io::{self, BufRead, IsTerminal};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::Result;

/// Where lines come from.
pub enum Lines {
    /// A terminal.
    Typed(Box<DefaultEditor>),
    /// A pipe or a file. Also a terminal whose output is redirected, because the editor would write into
    /// the output.
    Plain { prompted: bool },
}

/// The result of reading a line.
pub enum Said {
    /// A line, without its end.
    Line(String),
    /// The end of the input.
    End,
    /// Ctrl-C.
    Interrupt,
}

impl Lines {
    /// The lines of standard input.
    pub fn new() -> Result<Lines> {
        match (io::stdin().is_terminal(), io::stdout().is_terminal()) {
            (true, true) => Ok(Lines::Typed(Box::new(DefaultEditor::new()?))),
            (prompted, _) => Ok(Lines::Plain { prompted }),
        }
    }

    /// Waits for the next line.
    pub fn next(&mut self, prompt: &str) -> Result<Said> {
        match self {
            Lines::Typed(editor) => match editor.readline(prompt) {
                Ok(line) => {
                    editor.add_history_entry(&line)?;
                    Ok(Said::Line(line))
                }
                Err(ReadlineError::Eof) => Ok(Said::End),
                Err(ReadlineError::Interrupted) => Ok(Said::Interrupt),
                Err(error) => Err(error.into()),
            },
            Lines::Plain { prompted } => {
                if *prompted {
                    eprint!("{prompt}");
                }
                let mut line = Vec::new();
                if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
                    return Ok(Said::End);
                }
                let line = String::from_utf8(line).map_err(|_| "standard input is not UTF-8 text")?;
                Ok(Said::Line(line.trim_end_matches(['\r', '\n']).into()))
            }
        }
    }
}
