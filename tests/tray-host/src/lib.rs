//! A tray for tests.
