"""The re-run of a notebook: what reproduced, cell by cell, and which claims still stand."""

from maia_kernel.driver.verify.report import Report
from maia_kernel.driver.verify.rerun import rerun

__all__ = ["Report", "rerun"]
