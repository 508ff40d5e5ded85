"""From the formats of published instruction data to rows."""
