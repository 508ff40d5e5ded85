"""The browser pages (Gradio). They talk to the gateway and to nothing else."""
