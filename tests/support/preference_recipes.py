"""The recipe with which tests train a tiny model on preferences."""


def preference_recipe(method: str, data: str) -> str:
    """Its text; `data` is the file of pairs or of answers with a label, beside it."""
    return f"""
name: tiny-preferred
method: {method}
base: tiny-base
data: [{{path: {data}}}]
max_length: 256
epochs: 8
learning_rate: 3.0e-3
batch_size: 4
lora: {{rank: 16, alpha: 16}}
checkpoint_every: never
report_to: []
"""
