//! What a session tells and takes over its socket: state, events, commands.
