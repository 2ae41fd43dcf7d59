"""A fake engine that ships with the package: six manners of answering, and scripts, for tests of clients and of Hausgeist itself."""

from hausgeist.engines.fake.engine import Fake

__all__ = ["Fake"]
