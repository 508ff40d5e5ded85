"""What text is unethical: the model that says so. Needs NumPy and safetensors, no torch."""
