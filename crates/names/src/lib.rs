//! DNS on the laptop: which names are ours, expansion, cache, why a name failed.
