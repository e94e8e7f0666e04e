//! Documents in and out.

use super::*;
