//! What a server sends, as bytes: what it may cost, and the replies in it. Nothing here waits for the network.

mod budget;
mod builder;
mod meter;
mod replies;

pub(crate) use budget::{Budget, OWN_ANSWERS};
pub(crate) use replies::{Broken, Replies, Reply};
