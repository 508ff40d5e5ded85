"""Papers of a team: read into pages and blocks, cut into chunks, found again by Korean search."""
