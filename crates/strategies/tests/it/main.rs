//! What the swarm draws, measured on a reference of its own and by the swarm's shadow.

mod shares;
mod stream;
