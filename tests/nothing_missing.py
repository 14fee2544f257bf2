"""A plugin for pytest (``-p nothing_missing``, as ``make test-neural`` has it): a missing package fails the run.

Elsewhere such tests are skipped; a target that exists to run them must not pass without them.
"""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    assert terminal is not None
    reasons = {str(report.longrepr[2]) for report in terminal.stats.get("skipped", [])}
    missing = sorted(reason for reason in reasons if "could not import" in reason)
    if missing:
        terminal.write_sep("=", "tests were skipped that must run here")
        for reason in missing:
            terminal.write_line(reason)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
