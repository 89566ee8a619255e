"""Host side: the notebook, the live kernel and the agent. Never imports torch or the lab."""
