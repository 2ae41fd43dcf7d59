"""Who works together: users, projects, API keys, sessions and one-time links, and the principal that each stands for."""

__all__: list[str] = []
