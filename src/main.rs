//! `miroir`: the server and its development tools.

fn main() {}
