//! `fireside chat`: reads lines and answers them. A chat can be saved, copied and restored.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use fireside::Session;

use crate::answer::drive;
use crate::args::{ChatArgs, ModelArgs, SamplingArgs};
use crate::lines::{Lines, Said};
use crate::{Result, interrupt};

/// The commands, one in a line, as `/help` shows them. The chat of the npm package reads the same file.
const HELP: &str = include_str!("../../../www/lib/node/chat-help.txt");

/// Whether a command takes a file; `None` if there is no such command.
fn takes_file(name: &str) -> Option<bool> {
    let after = HELP.lines().find_map(|line| line.strip_prefix('/')?.strip_prefix(name)?.strip_prefix(' '))?;
    Some(after.starts_with("FILE"))
}

/// A chat in a terminal.
struct Chat<'a> {
    session: Session,
    /// The chats that were left for a copy, the latest last.
    originals: Vec<Session>,
    sampling: &'a SamplingArgs,
}

/// Reads lines and answers them until the input ends.
pub fn chat(model: &ModelArgs, sampling: &SamplingArgs, chat: &ChatArgs) -> Result<ExitCode> {
    sampling.options()?;
    let options = chat.options()?;
    let session = Session::with_options(model.load("chat")?, options)?;
    interrupt::listen()?;
    let mut chat = Chat { session, originals: Vec::new(), sampling };
    let mut lines = Lines::new()?;
    loop {
        let prompt = format!("{}> ", "copy ".repeat(chat.originals.len()));
        let line = match lines.next(&prompt)? {
            Said::Line(line) => line,
            Said::End => return Ok(ExitCode::SUCCESS),
            Said::Interrupt => return Ok(ExitCode::from(interrupt::EXIT_CODE)),
        };
        let outcome = match line.strip_prefix('/') {
            Some(command) if command.trim() == "exit" => return Ok(ExitCode::SUCCESS),
            Some(command) => chat.obey(command),
            None if line.trim().is_empty() => Ok(()),
            None => chat.answer(&line),
        };
        if let Err(error) = outcome {
            eprintln!("fireside: {error}");
        }
    }
}

impl Chat<'_> {
    /// Runs a command.
    fn obey(&mut self, command: &str) -> Result<()> {
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match takes_file(name) {
            None => return Err(format!("there is no command /{name}; /help lists them").into()),
            Some(true) if rest.is_empty() => return Err(format!("/{name} needs a file: /{name} FILE").into()),
            Some(false) if !rest.is_empty() => return Err(format!("/{name} takes no argument; /help lists the commands").into()),
            _ => {}
        }
        match name {
            "save" => self.save(Path::new(rest))?,
            "load" => self.load(Path::new(rest))?,
            "reset" => {
                self.session.reset();
                eprintln!("[a new chat]");
            }
            "regenerate" => {
                let run = self.session.begin_regenerate(&self.sampling.options()?)?;
                return self.tell(run);
            }
            "clone" => {
                let copy = self.session.clone();
                self.originals.push(std::mem::replace(&mut self.session, copy));
                eprintln!("[in a copy of the chat; /back leaves it]");
            }
            "back" => {
                self.session = self.originals.pop().ok_or("this is not a copy; /clone makes one")?;
                eprintln!("[back in the chat as it was: {}]", self.size());
            }
            _ => eprint!("{HELP}"), // only `help` is left
        }
        Ok(())
    }

    fn answer(&mut self, line: &str) -> Result<()> {
        let run = self.session.begin_chat(line.into(), &self.sampling.options()?)?;
        self.tell(run)
    }

    fn tell(&mut self, run: fireside::Run) -> Result<()> {
        let report = drive(&mut self.session, run)?;
        eprintln!("{report}");
        if report.stopped() {
            eprintln!("[stopped: the chat is as it was before this turn]");
        }
        Ok(())
    }

    fn save(&self, file: &Path) -> Result<()> {
        let bytes = self.session.save(true)?;
        fs::write(file, &bytes).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        eprintln!("[saved in {}: {}, {:.1} MB]", file.display(), self.size(), bytes.len() as f64 / 1e6);
        Ok(())
    }

    fn load(&mut self, file: &Path) -> Result<()> {
        let bytes = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        self.session = Session::restore(self.session.model().clone(), &bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        eprintln!("[loaded from {}: {}]", file.display(), self.size());
        Ok(())
    }

    /// The length of the chat, in words.
    fn size(&self) -> String {
        format!("{} messages, {} tokens", self.session.messages().len(), self.session.context_usage())
    }
}
