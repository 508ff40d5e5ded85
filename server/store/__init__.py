"""The database: how it is opened, migrated and backed up, and what people said of answers."""
