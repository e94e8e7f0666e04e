//! Requests to a core whose journal is a function.
