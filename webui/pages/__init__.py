"""The pages as Gradio draws them."""
