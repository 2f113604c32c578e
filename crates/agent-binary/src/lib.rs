//! Binary of the agent, as bytes.
//!
//! The session uploads this binary into a pod, so a session and its agent always have the same version. The build script
//! of this crate builds it: linked statically, for the only platform on which agents run.

/// Agent as an ELF executable for Linux on x86-64, without an interpreter.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/slipway-agent"));

#[cfg(test)]
mod tests {
    use super::AGENT;

    const PT_INTERP: u32 = 3;

    #[test]
    fn the_agent_needs_no_dynamic_loader() {
        assert_eq!(&AGENT[..5], b"\x7fELF\x02", "a 64-bit executable");
        let number = |at: usize, length: usize| {
            AGENT[at..at + length]
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | usize::from(*byte))
        };
        // ELF-64: e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type is the first field of an entry.
        let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let kinds: Vec<usize> = (0..count).map(|entry| number(start + entry * size, 4)).collect();
        assert!(!kinds.is_empty());
        assert!(
            !kinds.contains(&(PT_INTERP as usize)),
            "no dynamic loader is needed"
        );
    }
}
