//! The one integration binary: whole roles, through real sockets and files.

mod collect;
