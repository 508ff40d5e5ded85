"""Recipes for the models of the Korean instruction-tuning field, one YAML file each."""
