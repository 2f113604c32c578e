//! IP packets read and written: pure functions over bytes.
