"""Text is cut into passages along its structure, and into sentences."""

from hausgeist.knowledge.split.splitting import Piece, split

__all__ = ["Piece", "split"]
