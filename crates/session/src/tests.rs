//! Tests of the states: a scripted cluster, agents that speak the real tunnel protocol, and a method that records what it
//! is told. No root, no Kubernetes, and a clock that stands still while nothing happens.

mod agent;
mod bed;
mod carriers;
mod cluster;
mod connecting;
mod ending;
mod live;
mod method;
mod placing;
mod preparing;
