//! Reads safetensors, in chunks and shards, into checked and owned weights.
