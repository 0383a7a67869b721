//! Ctrl-C: stops the answer while there is one, and otherwise the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;

/// What a program ends with that Ctrl-C has ended: 128 + SIGINT.
pub const EXIT_CODE: u8 = 130;

static ANSWERING: AtomicBool = AtomicBool::new(false);
static HEARD: AtomicBool = AtomicBool::new(false);

/// Listens from here on. Once in a program.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        HEARD.store(true, Ordering::SeqCst);
        if !ANSWERING.load(Ordering::SeqCst) {
            process::exit(EXIT_CODE.into());
        }
    })?;
    Ok(())
}

/// While it lives, Ctrl-C only makes [`heard`] true.
pub struct Answering;

/// Begins an answer, nothing heard yet.
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

/// Whether Ctrl-C came since the answer began.
pub fn heard() -> bool {
    HEARD.load(Ordering::SeqCst)
}
