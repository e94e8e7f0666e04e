//! The driver against embedded nodes.
