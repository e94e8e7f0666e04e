//! One executor per core: accept, authenticate, plan, scatter, merge, answer. Never imports the control plane.
