//! Reads `config.json` and `generation_config.json`: the shape of a model and the formulas it asks for.
