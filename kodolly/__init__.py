"""The face: command line, `up`, `doctor`, `demo`. Nobody imports it."""
