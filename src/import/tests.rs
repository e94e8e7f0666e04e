//! An import between servers that are only remembered.
