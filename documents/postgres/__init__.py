"""The documents service's PostgreSQL database: connections for threads, and its schema."""
