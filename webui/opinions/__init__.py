"""What readers think of answers: from the chat page to the gateway."""
