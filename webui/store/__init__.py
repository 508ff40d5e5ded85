"""What the web UI keeps: who asks, their conversations and settings."""
