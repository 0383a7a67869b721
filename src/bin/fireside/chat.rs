//! `fireside chat`: reads lines and answers them. A chat can be saved, copied and restored.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use fireside::session::Session;

use crate::answer::drive;
use crate::args::{ChatArgs, ModelArgs, SamplingArgs};
use crate::lines::{Lines, Said};
use crate::{Result, interrupt};

/// The commands, as `/help` shows them.
const HELP: &str = "\
/help        lists the commands
/regenerate  answers the last message again
/clone       continues in a copy of the chat
/back        returns to the chat as it was at /clone
/save FILE   writes the chat and its KV cache to a file
/load FILE   continues the chat of such a file
/reset       starts the chat over
/exit        ends the program, as Ctrl-D does; Ctrl-C stops a running answer, or else ends the program
A line that begins with a space is sent as text, even if a / follows.";

/// A chat in a terminal.
struct Chat<'a> {
    session: Session,
    /// The chats that were left for a copy, the latest last.
    originals: Vec<Session>,
    sampling: &'a SamplingArgs,
}

/// Reads lines and answers them until the input ends.
pub fn chat(model: &ModelArgs, sampling: &SamplingArgs, chat: &ChatArgs) -> Result<ExitCode> {
    sampling.options().check()?;
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
        let file = || match rest.trim() {
            "" => Err(format!("/{name} needs a file: /{name} FILE")),
            file => Ok(Path::new(file)),
        };
        match name {
            "save" => return self.save(file()?),
            "load" => return self.load(file()?),
            _ if !rest.trim().is_empty() => return Err(format!("/{name} takes nothing after it; /help lists the commands").into()),
            "help" => eprintln!("{HELP}"),
            "reset" => {
                self.session.reset();
                eprintln!("[the chat is forgotten]");
            }
            "regenerate" => {
                let run = self.session.begin_regenerate(&self.sampling.options())?;
                return self.tell(run);
            }
            "clone" => {
                let copy = self.session.clone();
                self.originals.push(std::mem::replace(&mut self.session, copy));
                eprintln!("[in a copy of the chat; /back leaves it]");
            }
            "back" => {
                self.session = self.originals.pop().ok_or("this is no copy: /clone makes one")?;
                eprintln!("[back in the chat as it was: {}]", self.size());
            }
            _ => return Err(format!("there is no command /{name}; /help lists them").into()),
        }
        Ok(())
    }

    fn answer(&mut self, line: &str) -> Result<()> {
        let run = self.session.begin_chat(line.into(), &self.sampling.options())?;
        self.tell(run)
    }

    fn tell(&mut self, run: fireside::session::Run) -> Result<()> {
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
