//! A session as bytes: its chat, its tokens, and their keys and values.
//!
//! ```text
//! "FIRESIDE"  version: u32  length: u32  head: JSON  tokens: u32 each  keys and values
//! SHA-256 of all before it
//! ```
//!
//! All numbers are little-endian. The bytes may come from anywhere, so they are checked like a model file,
//! and restoring allocates no more than their length justifies. Keys and values depend on the model and on
//! its storage formats, so only the same model in the same formats takes them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Session, SessionOptions};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::text::{Message, deserialize_messages};

const MAGIC: &[u8; 8] = b"FIRESIDE";
const VERSION: u32 = 1;
const DIGEST_BYTES: usize = 32;
const PASS_SAVED: &str = "Pass what `session.save()` returned";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Head {
    model: String,
    dtype: String,
    kv_dtype: String,
    #[serde(deserialize_with = "deserialize_messages")]
    messages: Vec<Message>,
    /// Absent for a session without options, and in sessions that older versions saved.
    #[serde(default, skip_serializing_if = "SessionOptions::is_default")]
    options: SessionOptions,
    tokens: usize,
}

impl Head {
    fn of(model: &Model, messages: Vec<Message>, options: SessionOptions, tokens: usize) -> Head {
        let (dtype, kv_dtype) = (model.weights().dtype().to_string(), model.kv_dtype().name().into());
        Head { model: model.fingerprint().into(), dtype, kv_dtype, messages, options, tokens }
    }
}

impl Session {
    /// Writes the session as bytes. `with_cache` includes the tokens and their keys and values, so that a
    /// restored session computes nothing again. Without them, the bytes are few.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    pub fn save(&self, with_cache: bool) -> Result<Vec<u8>> {
        // Entries after a cut depend on evicted tokens, so no other text could use them.
        let len = if with_cache { self.sequence.reach(self.cut.unwrap_or(self.tokens.len())) } else { 0 };
        let head = serde_json::to_vec(&Head::of(&self.model, self.messages.clone(), self.options.clone(), len))
            .expect("strings and numbers are JSON");
        let parts = [MAGIC.len() + 8 + head.len(), 4 * len, DIGEST_BYTES].map(|bytes| bytes as u64);
        let requested_bytes = parts.iter().sum::<u64>() + self.sequence.export_bytes(len);
        let mut bytes = Vec::new();
        if !usize::try_from(requested_bytes).is_ok_and(|room| bytes.try_reserve_exact(room).is_ok()) {
            return Err(Error::OutOfMemory { what: "the state of the session".into(), requested_bytes });
        }
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        self.tokens[..len].iter().for_each(|token| bytes.extend_from_slice(&token.to_le_bytes()));
        self.sequence.export(len, &mut bytes);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// Restores a saved session on the same model with the same storage formats.
    ///
    /// Errors: `BAD_INPUT` if the bytes are not a saved session, are damaged, or belong to another version,
    /// model or storage format; `OUT_OF_MEMORY`.
    pub fn restore(model: Arc<Model>, bytes: &[u8]) -> Result<Session> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(bad("These bytes are not a saved session", PASS_SAVED));
        };
        let (version, rest) = number(rest)?;
        if version != VERSION {
            let fact = format!("This session was saved in format {version}, and this version of Fireside reads format {VERSION}");
            return Err(bad(fact, "Restore it with the version that saved it"));
        }
        let body = rest.len().checked_sub(DIGEST_BYTES).ok_or_else(cut_short)?;
        let (body, digest) = rest.split_at(body);
        if *Sha256::digest(&bytes[..bytes.len() - DIGEST_BYTES]) != *digest {
            return Err(bad("The saved session is damaged or cut short", PASS_SAVED));
        }
        let (length, body) = number(body)?;
        let (head, body) = body.split_at_checked(length as usize).ok_or_else(cut_short)?;
        let head: Head =
            serde_json::from_slice(head).map_err(|error| bad(format!("The saved session has a bad header: {error}"), PASS_SAVED))?;
        let own = Head::of(&model, Vec::new(), SessionOptions::default(), 0);
        for (what, got, expected, remedy) in [
            ("weights stored as", &head.dtype, &own.dtype, "Load the model with the same `dtype`"),
            ("a KV cache stored as", &head.kv_dtype, &own.kv_dtype, "Load the model with the same `kvDtype`"),
            ("model", &head.model, &own.model, "Restore it on the same model"),
        ] {
            if got != expected {
                let fact = format!("This session was saved with {what} {got:.16}, and here it is {expected:.16}");
                return Err(bad(fact, remedy));
            }
        }
        let (tokens, kv) = head.tokens.checked_mul(4).and_then(|bytes| body.split_at_checked(bytes)).ok_or_else(cut_short)?;
        let tokens: Vec<u32> = tokens.chunks_exact(4).map(|token| u32::from_le_bytes(token.try_into().expect("four bytes"))).collect();
        if tokens.len() > model.config().plan.context || tokens.iter().any(|&token| token as usize >= model.config().plan.vocab) {
            return Err(bad("The saved session holds tokens outside this model's vocabulary, or more than its context", PASS_SAVED));
        }
        let mut session = Session::new(model);
        if session.sequence.import(tokens.len(), kv)?.is_none() {
            return Err(bad("The saved session does not hold finite keys and values for each of its tokens", PASS_SAVED));
        }
        session.tokens = tokens;
        session.messages = head.messages;
        session.options = head.options;
        Ok(session)
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(cut_short)?;
    Ok((u32::from_le_bytes(*number), rest))
}

fn cut_short() -> Error {
    bad("The saved session is cut short", PASS_SAVED)
}

fn bad(fact: impl Into<String>, remedy: &str) -> Error {
    Error::BadState { fact: fact.into(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_messages_of_a_saved_session_are_read_by_the_rules_of_a_call() {
        let head = |message: &str| {
            let json = format!(r#"{{"model": "m", "dtype": "f32", "kvDtype": "f32", "messages": [{message}], "tokens": 0}}"#);
            serde_json::from_str::<Head>(&json).map(|head| head.messages).map_err(|error| error.to_string())
        };
        assert_eq!(head(r#"{"role": "user", "content": "hi"}"#), Ok(vec![Message::new("user", "hi")]));
        let error = head(r#"{"role": "user", "content": "hi", "images": []}"#).unwrap_err();
        assert!(error.starts_with("messages[0].images is not a field that is supported"), "{error}");
    }
}
