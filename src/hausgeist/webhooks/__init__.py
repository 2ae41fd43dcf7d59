"""Addresses that are told when something is done: kept for a project, written to by durable jobs, signed as Standard Webhooks are."""

from hausgeist.webhooks.service import Webhooks

__all__ = ["Webhooks"]
