//! What may be asked of the privileged helper; nothing else.
