"""A folder as diffusers saves it: components, weights, tokenizer, scheduler."""
