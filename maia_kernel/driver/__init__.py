"""Host side: the notebook, the live kernel and the agent. Never imports torch or the lab."""

import sys
from importlib import import_module

# nbformat imports jsonschema, which builds a grammar of IRIs where JupyterLab has brought one (rfc3987-syntax): more
# than a second for every call of the command line, and no notebook holds a format of that kind to check.
if "jsonschema" not in sys.modules and "rfc3987_syntax" not in sys.modules:
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    try:
        import_module("jsonschema")
    finally:
        del sys.modules["rfc3987_syntax"]
