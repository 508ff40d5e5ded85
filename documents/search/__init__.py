"""Korean full-text search over the chunks of a store of documents."""
