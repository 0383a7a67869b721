//! A device that keeps tokens and nothing else. After each append it reads the whole text again.
//!
//! It is slow, simple and responds late. A session that works on it relies only on what [`Sequence`]
//! promises. The device records the operations that it is asked for.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use fireside::internals::{Device, Executor, Network, Sequence};
use fireside::{Error, Model, Result};

/// The number of steps of an append, so that `poll` is pending more than once.
const DELAY: usize = 2;

#[derive(Default)]
struct Text {
    tokens: Vec<u32>,
    pending: Vec<u32>,
    logits: Option<Vec<f32>>,
    delay: usize,
    ended: Option<Result<()>>,
    work: usize,
}

/// The device.
pub struct Replay {
    network: Arc<Network>,
    executor: Mutex<Executor>,
    texts: Mutex<Vec<Arc<Mutex<Text>>>>,
    /// The recorded operations, in order.
    pub asked: Mutex<Vec<&'static str>>,
}

struct Replayed {
    device: Arc<Replay>,
    text: Arc<Mutex<Text>>,
}

/// The model on this device, and the device.
pub fn on_replay(model: Model) -> (Arc<Model>, Arc<Replay>) {
    let executor = Mutex::new(Executor::new(model.pool().clone()));
    let mut device = None;
    let model = model.on(|network| {
        let replay = Arc::new(Replay { network, executor, texts: Mutex::default(), asked: Mutex::default() });
        device = Some(replay.clone());
        replay
    });
    (Arc::new(model), device.expect("made above"))
}

impl Replay {
    fn add(self: Arc<Self>, tokens: Vec<u32>) -> Box<dyn Sequence> {
        let text = Arc::new(Mutex::new(Text { tokens, ..Text::default() }));
        self.texts.lock().unwrap().push(text.clone());
        Box::new(Replayed { device: self, text })
    }

    fn compute(&self, text: &mut Text) -> Result<()> {
        let all = [&text.tokens[..], &text.pending].concat();
        let mut logits = text.logits.take().unwrap_or_default();
        self.network.forward(&all, &mut self.network.cache(), &mut self.executor.lock().unwrap(), &mut logits)?;
        text.logits = Some(logits);
        text.tokens = all;
        Ok(())
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replay")
    }
}

impl fmt::Debug for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replayed")
    }
}

impl Device for Replay {
    fn sequence(self: Arc<Self>) -> Box<dyn Sequence> {
        self.add(Vec::new())
    }

    fn step(&self, _: usize) -> Option<usize> {
        let mut work = None;
        for text in self.texts.lock().unwrap().iter() {
            let text = &mut *text.lock().unwrap();
            if text.pending.is_empty() {
                continue;
            }
            work.get_or_insert(0);
            text.work += text.pending.len();
            text.delay -= 1;
            if text.delay == 0 {
                let wants = text.logits.is_some();
                text.ended = Some(self.compute(text));
                text.logits = text.logits.take().filter(|_| wants);
                text.pending.clear();
            }
        }
        work
    }
}

impl Drop for Replayed {
    fn drop(&mut self) {
        self.device.texts.lock().unwrap().retain(|text| !Arc::ptr_eq(text, &self.text));
    }
}

impl Replayed {
    fn ask(&self, operation: &'static str) -> std::sync::MutexGuard<'_, Text> {
        self.device.asked.lock().unwrap().push(operation);
        self.text.lock().unwrap()
    }
}

impl Sequence for Replayed {
    fn past(&self) -> usize {
        self.text.lock().unwrap().tokens.len()
    }

    fn append(&mut self, tokens: &[u32], logits: Option<Vec<f32>>) -> Result<()> {
        let mut text = self.ask("append");
        assert!(!tokens.is_empty() && text.pending.is_empty() && text.ended.is_none(), "the append before it was not taken");
        let (requested, context_window) = (text.tokens.len() + tokens.len(), self.device.network.plan().context);
        if requested > context_window {
            return Err(Error::ContextOverflow { requested, context_window });
        }
        text.pending = tokens.to_vec();
        (text.logits, text.delay, text.work) = (logits, DELAY, 0);
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<Option<Vec<f32>>>> {
        let mut text = self.ask("poll");
        match text.ended.take() {
            Some(ended) => Poll::Ready(ended.map(|()| text.logits.take())),
            None if text.pending.is_empty() => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        }
    }

    fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.text.lock().unwrap().work)
    }

    fn reach(&self, len: usize) -> usize {
        self.past().min(len)
    }

    fn truncate(&mut self, len: usize) {
        let mut text = self.ask("truncate");
        text.tokens.truncate(len);
        text.pending.clear();
        (text.logits, text.ended) = (None, None);
    }

    fn shift(&mut self, keep: usize, drop: usize) -> Result<()> {
        self.ask("shift").tokens.drain(keep..keep + drop);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Sequence> {
        let tokens = self.ask("fork").tokens.clone();
        self.device.clone().add(tokens)
    }

    fn export_bytes(&self, len: usize) -> u64 {
        4 * len as u64
    }

    fn export(&self, len: usize, out: &mut Vec<u8>) {
        self.ask("export").tokens[..len].iter().for_each(|token| out.extend_from_slice(&token.to_le_bytes()));
    }

    fn import(&mut self, len: usize, bytes: &[u8]) -> Result<Option<()>> {
        let mut text = self.ask("import");
        assert!(text.tokens.is_empty() && text.pending.is_empty(), "a sequence takes bytes only when it is empty");
        let vocab = self.device.network.plan().vocab;
        let tokens: Vec<u32> = bytes.chunks_exact(4).map(|token| u32::from_le_bytes(token.try_into().unwrap())).collect();
        if bytes.len() != 4 * len || tokens.iter().any(|&token| token as usize >= vocab) {
            return Ok(None);
        }
        text.tokens = tokens;
        Ok(Some(()))
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn shared_bytes(&self) -> u64 {
        0
    }
}
