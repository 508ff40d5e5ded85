"""Training rows that a model writes: from documents, from seed tasks, and by translating other rows."""
