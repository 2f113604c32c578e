//! One session from connect to clean-up.
