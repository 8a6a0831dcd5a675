"""From a context to an answer's text: by quoting the evidence, or by a language model over HTTP."""
