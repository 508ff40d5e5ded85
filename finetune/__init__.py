"""Data to train to merge: Dolly rows in, a complete checkpoint directory out."""
