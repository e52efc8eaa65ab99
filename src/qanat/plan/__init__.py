"""Studies, offline: surveys, link budgets, passes, placement, provisioning, reports.

Empty until its issue: the room is drawn so that no wall has to move for it.
"""
