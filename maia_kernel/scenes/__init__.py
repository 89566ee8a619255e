"""The embedded world: pictures, language and networks whose truth is known."""
