"""Papers on the page: stores, uploads, questions with citations. All of it is asked of the gateway."""
