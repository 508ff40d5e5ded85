"""The routes that FastAPI answers: documents, administration, feedback."""
