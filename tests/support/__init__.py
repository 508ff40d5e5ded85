"""What tests start, script and look into. No file here is a test."""
