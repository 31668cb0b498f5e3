//! The one integration binary: each further one would link the engines once more.

mod collect;
mod lake;
