//! `miroir-ctl`: the operator's command line.

fn main() {}
