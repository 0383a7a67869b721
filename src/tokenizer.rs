//! Text to tokens, and the decoder that never splits a character.
