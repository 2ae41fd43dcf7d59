"""How the built-in model is made: what people wrote for it, the recipe, and the blind test. Not part of the package that is installed."""
