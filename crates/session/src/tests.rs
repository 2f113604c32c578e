//! Tests of the states, with a scripted cluster, agents that speak the real tunnel protocol, and a method that records
//! its calls. They need neither root nor Kubernetes. Time is simulated.

mod agent;
mod bed;
mod carriers;
mod changing;
mod cluster;
mod connecting;
mod ending;
mod laptop_probe;
mod live;
mod method;
mod placing;
mod preparing;
mod replacing;
mod self_check;
mod time_limit;
