"""Kernel side: models, units, tools. Never imports the driver."""
