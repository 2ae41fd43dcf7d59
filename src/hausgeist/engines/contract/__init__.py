"""What every engine must do, as checks that run against a worker: by the tests for all engines, and by `hausgeist engine verify` for one."""

from hausgeist.engines.contract.checks import Check, ContractBroken, Outcome, run_check, run_checks
from hausgeist.engines.contract.suite import CHECKS

__all__ = ["CHECKS", "Check", "ContractBroken", "Outcome", "run_check", "run_checks"]
