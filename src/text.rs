//! What the modules of the text side share: messages of a chat, values for a chat template, the time, typed
//! special tokens, and what a model's files say about its tokens.

mod config;
mod kwargs;
mod marks;
mod message;
mod now;

pub(crate) use config::TokenizerConfig;
pub use kwargs::TemplateKwargs;
pub(crate) use kwargs::{is_reserved, with_strings};
pub(crate) use marks::Rendered;
pub(crate) use marks::{Coding, Mark, is_private, mark_special};
pub use message::Message;
pub(crate) use message::{FIELDS, deserialize_list as deserialize_messages, unread_field};
pub use now::Now;
