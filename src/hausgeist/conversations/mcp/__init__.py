"""Servers of tools (Model Context Protocol) that models may call: asked by this server, as its owner has allowed."""

from hausgeist.conversations.mcp.tool import McpTools

__all__ = ["McpTools"]
