"""May they, who did, and what leaves the machine: actions, decisions, the audit table, usage, and the one outbound client."""

from hausgeist.governance.actions import ACTIONS, Action
from hausgeist.governance.audit import AuditEntry, AuditLog
from hausgeist.governance.consumption import Consumption
from hausgeist.governance.egress import Egress
from hausgeist.governance.policy import Decision
from hausgeist.governance.service import Governor
from hausgeist.governance.usage import UsageLog, UsageRow, UsageTotal

__all__ = ["ACTIONS", "Action", "AuditEntry", "AuditLog", "Consumption", "Decision", "Egress", "Governor", "UsageLog", "UsageRow", "UsageTotal"]
