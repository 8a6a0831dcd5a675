"""The HTTP side: routes that translate between the wire and the engine's verbs, and nothing more."""
