//! The namespace in which every captured address is local, and the child process that makes and keeps it.

/// Becomes the private namespace's process if that is what this process was started for; else returns at once.
///
/// Call it first thing in `main`, before any thread exists: a namespace of one's own can only be made by a
/// process with a single thread.
pub fn child_main_if_asked() {}
