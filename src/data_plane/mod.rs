//! One executor per core: accept, authenticate, plan, scatter, merge, answer. Never imports the control plane.
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | what a handler gets: snapshot, bridge, nodes, time |
//! | [`upstream`] | the interface towards nodes |
//! | [`gather`] | several sub-requests at once on one executor |
//! | [`handlers`] | one file per operation |

pub mod core;
#[cfg(test)]
pub mod fake;
pub mod gather;
pub mod handlers;
pub mod upstream;
