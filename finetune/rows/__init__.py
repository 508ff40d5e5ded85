"""What a row is: one definition for checking, cleaning and training."""
