"""Which models a folder may hold: a file for each family, and for each piece of a card."""
