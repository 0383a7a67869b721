//! The error type of the crate.
//!
//! A message states the fact first and then the remedy. The fact names the place, the expected and the found.
//! [`Error::code`] is the `code` of JavaScript's `FiresideError`.

/// The result of every fallible function of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the engine.
///
/// A serialised error has the fields of its variant: the `details` of a `FiresideError`.
#[derive(Debug, Clone, PartialEq, thiserror::Error, serde::Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Error {
    /// The bytes are another kind of file: an HTML page, a Git LFS pointer, a GGUF file...
    #[error("{file} is not the model file it should be: it is {found}. {remedy}")]
    NotAModelFile {
        /// Name of the file.
        file: String,
        /// What the bytes turned out to be, with an article: "an HTML page".
        found: String,
        /// What to do about it, a full sentence.
        remedy: String,
    },

    /// A file of the right kind whose content is broken, or contradicts the other files of the model.
    #[error("{file}: {at}: expected {expected}, got {got}. Download the file again, or report it to the publisher of the model.")]
    BadFile {
        /// Name of the file.
        file: String,
        /// The place in the file: a field, a tensor, a byte range.
        at: String,
        /// What a sound file has there.
        expected: String,
        /// What this file has there.
        got: String,
    },

    /// A sound model that asks for a computation Fireside does not implement.
    #[error("{file}: {field} is {got}, which Fireside does not support (supported: {expected}). Choose another model.")]
    UnsupportedModel {
        /// Name of the file.
        file: String,
        /// The field that asks for it.
        field: String,
        /// What is supported.
        expected: String,
        /// What the field says.
        got: String,
    },

    /// `tokenizer.json` cannot be used.
    #[error("tokenizer.json: {at}: expected {expected}, got {got}. Use the tokenizer files published with this model.")]
    BadTokenizer {
        /// The place in the tokenizer.
        at: String,
        /// What a sound tokenizer has there.
        expected: String,
        /// What this one has there.
        got: String,
    },

    /// The chat template has a syntax error, failed to render, or exceeded its limits.
    #[error("chat template: {detail}. Pass a working template as `chatTemplate`, or use `generate` with a prompt of your own.")]
    BadTemplate {
        /// What the template engine said, with the line.
        detail: String,
    },

    /// The machine refused an allocation.
    #[error(
        "out of memory: {what} needs {requested_bytes} bytes, which this environment refused. Choose a smaller model, a smaller `dtype` or a shorter context."
    )]
    OutOfMemory {
        /// What the memory was for.
        what: String,
        /// Its size in bytes.
        requested_bytes: u64,
    },

    /// The model is too large for this environment, which is known before its weights are read.
    #[error("out of memory: this model as {dtype} needs {requested_bytes} bytes, and there are {available_bytes} for it. {remedy}")]
    ModelTooLarge {
        /// The storage format of the weights.
        dtype: String,
        /// The memory for the model and a short context. Units: bytes.
        requested_bytes: u64,
        /// The memory that this environment has for it. Units: bytes.
        available_bytes: u64,
        /// What to do: the widest format that fits, and the context that fits with it.
        remedy: String,
    },

    /// The KV caches of a model's sessions reached their limit.
    #[error(
        "out of memory: the KV caches of all sessions would take {requested_bytes} bytes, and there are {available_bytes} for them. Dispose of sessions or reset them, or load the model with a larger `kvBytesMax`."
    )]
    CachesFull {
        /// The memory of all KV caches with the new one. Units: bytes.
        requested_bytes: u64,
        /// The limit. Units: bytes.
        available_bytes: u64,
    },

    /// The tokens do not fit into the model's context.
    #[error(
        "{requested} tokens do not fit into this model's context of {context_window}. Shorten the prompt, reset the chat, or ask for fewer tokens."
    )]
    ContextOverflow {
        /// Tokens that would have been in the context.
        requested: usize,
        /// Tokens the context holds.
        context_window: usize,
    },

    /// An option that does not exist, or whose value is out of range.
    #[error("option `{option}`: expected {expected}, got {got}.")]
    BadOption {
        /// Name of the option, as the caller spelled it.
        option: String,
        /// Its range, or the list of known options.
        expected: String,
        /// What was passed.
        got: String,
    },

    /// An option that would have no effect here.
    #[error("option `{option}`: {fact}. {remedy}.")]
    UselessOption {
        /// Name of the option, as the caller spelled it.
        option: String,
        /// Why it would have no effect.
        fact: String,
        /// What to do about it.
        remedy: String,
    },

    /// Invalid input to a call: an empty prompt, an unknown token id...
    #[error("{what}: expected {expected}, got {got}.")]
    BadInput {
        /// Name of the input.
        what: String,
        /// What is expected.
        expected: String,
        /// What was passed.
        got: String,
    },

    /// An invalid message of a chat.
    #[error("{what} {fact}. {remedy}.")]
    BadMessage {
        /// The message and its field: `messages[1].content`.
        what: String,
        /// What is wrong with it: "is missing".
        fact: String,
        /// What to do about it.
        remedy: String,
    },

    /// Bytes from which no session can be restored.
    #[error("{fact}. {remedy}.")]
    BadState {
        /// What is wrong with them.
        fact: String,
        /// What to do about it.
        remedy: String,
    },

    /// The model computed NaN or infinity.
    #[error(
        "the model computed a logit that is {got} for token {token} at position {position}. The weights are damaged, or the model needs a wider `dtype` such as f32."
    )]
    NonFinite {
        /// The token id of that logit.
        token: usize,
        /// The position in the context, counted from 0.
        position: usize,
        /// "NaN" or "infinity".
        got: String,
    },
}

impl Error {
    /// The code for programs to branch on. It is the same in Rust, in wasm and in `FiresideError.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotAModelFile { .. } => "NOT_A_MODEL_FILE",
            Error::BadFile { .. } => "BAD_FILE",
            Error::UnsupportedModel { .. } => "UNSUPPORTED_MODEL",
            Error::BadTokenizer { .. } => "BAD_TOKENIZER",
            Error::BadTemplate { .. } => "BAD_TEMPLATE",
            Error::OutOfMemory { .. } | Error::ModelTooLarge { .. } | Error::CachesFull { .. } => "OUT_OF_MEMORY",
            Error::ContextOverflow { .. } => "CONTEXT_OVERFLOW",
            Error::BadOption { .. } | Error::UselessOption { .. } => "BAD_OPTION",
            Error::BadInput { .. } | Error::BadMessage { .. } | Error::BadState { .. } => "BAD_INPUT",
            Error::NonFinite { .. } => "NON_FINITE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_the_fact_and_then_the_remedy() {
        let error = Error::ContextOverflow { requested: 600, context_window: 512 };
        assert_eq!(error.code(), "CONTEXT_OVERFLOW");
        assert_eq!(
            error.to_string(),
            "600 tokens do not fit into this model's context of 512. Shorten the prompt, reset the chat, or ask for fewer tokens."
        );
    }
}
