"""Text: tokens of a prompt, and what the text encoder makes of them."""
