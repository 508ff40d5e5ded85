"""Training of models of vectors, method embed."""
