//! Ctrl-C: stops the running answer. If no answer is running, ends the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;

/// The exit status of a program ended by Ctrl-C: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

static ANSWERING: AtomicBool = AtomicBool::new(false);
static HEARD: AtomicBool = AtomicBool::new(false);

/// Installs the handler. Call it once.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        HEARD.store(true, Ordering::SeqCst);
        if !ANSWERING.load(Ordering::SeqCst) {
            process::exit(EXIT_CODE.into());
        }
    })?;
    Ok(())
}

/// While this value exists, Ctrl-C only makes [`heard`] return true.
pub struct Answering;

/// Marks the start of an answer.
pub fn answering() -> Answering {
    HEARD.store(false, Ordering::SeqCst);
    ANSWERING.store(true, Ordering::SeqCst);
    Answering
}

impl Drop for Answering {
    fn drop(&mut self) {
        ANSWERING.store(false, Ordering::SeqCst);
    }
}

/// Whether Ctrl-C was pressed since the answer began.
pub fn heard() -> bool {
    HEARD.load(Ordering::SeqCst)
}
