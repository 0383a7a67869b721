//! The arithmetic: the contract of every kernel and the one place that chooses the implementation.
