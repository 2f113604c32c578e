//! Many streams over a few carriers: frames, credits, scheduling, resume.
