"""From rows to clean rows: findings, mending, duplicates, and a report of it all."""
