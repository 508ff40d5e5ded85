"""Files larger than memory: read in stretches, written whole or not at all, worked on by all cores."""
