//! Commands, one file each.

pub(crate) mod change;
pub(crate) mod cleanup;
pub(crate) mod connect;
pub(crate) mod disconnect;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod helper;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod names;
pub(crate) mod profiles;
pub(crate) mod run;
pub(crate) mod status;
