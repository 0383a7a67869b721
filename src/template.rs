//! Chat templates: a list of messages becomes the text that the model was trained on.
