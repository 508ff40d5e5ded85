"""Studies: prompts that several raters judge, each rater at a queue of their own."""
