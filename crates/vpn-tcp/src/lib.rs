//! The whole laptop: helper lease, ranges, host DNS.
