//! Storage formats of weights: what a row of a matrix looks like in memory.
