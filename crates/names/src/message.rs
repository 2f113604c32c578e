//! Reading and rewriting of answers.
