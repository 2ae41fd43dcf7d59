"""What is said here and kept: conversations, responses, stored completions; who may see them, and how they go."""

from hausgeist.conversations.service import Conversations

__all__ = ["Conversations"]
