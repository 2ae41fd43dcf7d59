"""Euros, electricity, carbon and water: what hardware costs to buy and to run, what one would pay otherwise, and whether it pays."""

__all__ = ()
