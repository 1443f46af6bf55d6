//! What runs, as people and programs see it: lines, numbers, events, what is wrong, and what there
//! is at all. One file for each way of looking.

pub mod diagnosis;
pub mod events;
pub mod inventory;
pub mod logs;
pub mod stats;
