"""Options: their types, their help texts, what they are called in other trainers, and the configs that hold them."""
